//! Devices over TCP. adb's server forgets them when it is restarted, and may when their adbd is.

use std::ffi::OsStr;
use std::time::Duration;

use super::call::Adb;
use super::error::DeviceError;
use super::shell::last_words;

/// Whether a serial is an address that `adb connect` takes: `HOST:PORT`.
pub(super) fn is_address(serial: &str) -> bool {
    let parts = serial.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// Whether adb's error says that it never reached the device (`transport.cpp` and `adb.cpp` of adb).
pub(super) fn is_gone(error: &str) -> bool {
    error == "device offline" || error.starts_with("device '") && error.ends_with("' not found")
}

/// Connects an address again.
pub(super) fn connect(adb: &Adb, address: &str, deadline: Duration) -> Result<(), DeviceError> {
    // A connection that is left over blocks a new one. Usually there is none, which adb calls an error.
    let _ = adb.run(["disconnect", address].map(OsStr::new), deadline);
    let connected = adb.run(["connect", address].map(OsStr::new), deadline);
    let why = match connected {
        // Not each version of adb has an exit code for it.
        Ok(output) if output.stdout.contains("connected to") => return Ok(()),
        Ok(output) => last_words(&format!("{}\n{}", output.stdout, output.stderr)),
        Err(why) => why.to_string(),
    };
    Err(DeviceError::Unreachable { serial: address.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_differ_from_other_serials() {
        for address in ["192.168.0.7:5555", "[::1]:5555", "phone.local:37123"] {
            assert!(is_address(address), "{address}");
        }
        for serial in ["8A1X0P9", "emulator-5554", "usb:1-4", ":5555", "a:99999", "a:"] {
            assert!(!is_address(serial), "{serial}");
        }
    }

    #[test]
    fn only_an_unsent_call_is_repeated() {
        assert!(is_gone("device '10.0.0.2:5555' not found"));
        assert!(is_gone("device offline"));
        assert!(!is_gone("closed"));
        assert!(!is_gone("device unauthorized."));
    }
}
