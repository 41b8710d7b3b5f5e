//! Chooses one of the devices that `adb devices` lists.

use super::error::DeviceError;

/// The serial of the device to use.
pub(super) fn choose(list: &str, wanted: Option<&str>) -> Result<String, DeviceError> {
    let devices = parse(list);
    let names = |devices: &[(&str, &str)]| match devices {
        [] => "none".to_owned(),
        some => some.iter().map(|(serial, _)| *serial).collect::<Vec<_>>().join(", "),
    };
    let (serial, state) = match (wanted, devices.as_slice()) {
        (Some(wanted), devices) => {
            *devices.iter().find(|(serial, _)| *serial == wanted).ok_or_else(|| {
                let connected = names(devices);
                DeviceError::NotConnected { serial: wanted.to_owned(), connected }
            })?
        }
        (None, []) => return Err(DeviceError::NoDevice),
        (None, [one]) => *one,
        (None, several) => return Err(DeviceError::Several(names(several))),
    };
    let serial = serial.to_owned();
    match state {
        "device" => Ok(serial),
        "unauthorized" | "authorizing" => Err(DeviceError::Unauthorised(serial)),
        "offline" | "connecting" => Err(DeviceError::Offline(serial)),
        state if state.starts_with("no permissions") => {
            Err(DeviceError::NoPermissions { serial, state: state.to_owned() })
        }
        state => Err(DeviceError::State { serial, state: state.to_owned() }),
    }
}

/// Serials and states. Lines that start with a star are about the adb server.
fn parse(list: &str) -> Vec<(&str, &str)> {
    let lines = list.lines().map(str::trim);
    let lines = lines.filter(|line| !line.starts_with('*') && !line.starts_with("List of devices"));
    lines
        .filter_map(|line| line.split_once('\t').or_else(|| line.split_once(' ')))
        .map(|(serial, state)| (serial.trim(), state.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "* daemon not running; starting now at tcp:5037\n\
                          * daemon started successfully\nList of devices attached\n";

    /// The serial, or the error and its fix.
    fn chosen(devices: &str, wanted: Option<&str>) -> String {
        let list = format!("{SERVER}{devices}\n");
        choose(&list, wanted)
            .unwrap_or_else(|error| format!("{error}; fix: {}", error.remedy().unwrap_or_default()))
    }

    #[test]
    fn the_only_device_is_chosen() {
        assert_eq!(chosen("127.0.0.1:5600\tdevice\n", None), "127.0.0.1:5600");
    }

    #[test]
    fn several_devices_need_a_choice() {
        let two = "A\tdevice\nB\toffline\n";
        assert!(chosen(two, None).starts_with("several devices are connected: A, B; fix: choose"));
        assert_eq!(chosen(two, Some("A")), "A");
        assert!(chosen(two, Some("B")).starts_with("device B is offline; fix: plug"));
        assert!(chosen(two, Some("C")).starts_with(
            "device \"C\" is not connected; connected: A, B; fix: connect it, or choose"
        ));
    }

    #[test]
    fn each_unusable_state_names_its_fix() {
        assert!(chosen("", None).starts_with("no device is connected; fix: connect a device"));
        assert!(chosen("A\tunauthorized", None).contains("fix: unlock the device and accept"));
        let udev = "A\tno permissions (missing udev rules? user is in the plugdev group); see [http://developer.android.com/tools/device.html]";
        assert!(chosen(udev, None).contains("; fix: install udev rules"));
        assert!(chosen("A\trecovery", None).contains("boot the device into Android"));
    }
}
