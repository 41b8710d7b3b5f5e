//! Everything that is recorded besides the probe's events: kernel, device and boot; power supplies;
//! the kernel's own count of attempts, and its files about the last one; the names of interrupts; the devices of sources.

pub mod epoll_waiters;
pub mod irqs;
pub mod power_supply;
pub mod services;
pub mod source_device;
pub mod suspend_stats;
pub mod waiters;
pub mod wake_reason;

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::utsname::uname;
use nix::unistd::{SysconfVar, sysconf};
use sleepwalk_trace::record::{Hook, Session, WakeReason};

use power_supply::{PowerSupplies, PowerSupplyReading, When};
use source_device::{SourceDevice, SourceDevices};
use suspend_stats::{Changes, Stats, SuspendStatsReader};
use wake_reason::WakeReasonReader;

/// The values that are read during a capture.
#[derive(Debug)]
pub struct Surroundings {
    power_supplies: PowerSupplies,
    /// `None` if the kernel has none.
    suspend_stats: Option<SuspendStatsReader>,
    wake_reason: WakeReasonReader,
    source_devices: SourceDevices,
}

impl Surroundings {
    /// Finds the values that this device has.
    pub fn open() -> Self {
        let stats = SuspendStatsReader::open().inspect_err(|error| log::info!("{error:#}")).ok();
        Self {
            power_supplies: PowerSupplies::default(),
            suspend_stats: stats,
            wake_reason: WakeReasonReader::open(),
            source_devices: SourceDevices::default(),
        }
    }

    /// With the power supplies in `class`, which were not read yet.
    #[cfg(test)]
    pub fn with_power_supplies(self, class: std::path::PathBuf) -> Self {
        Self { power_supplies: PowerSupplies::at(class), ..self }
    }

    /// The power supplies that have to be recorded.
    pub fn power_supplies(&mut self, when: When) -> Vec<PowerSupplyReading> {
        self.power_supplies.read(when)
    }

    /// `suspend_stats`, and what changed in them; `None` if there are none.
    pub fn suspend_stats(&mut self) -> Option<(Stats, Option<Changes>)> {
        let read = self.suspend_stats.as_mut()?.read_changes();
        read.inspect_err(|error| log::warn!("{error:#}")).ok()
    }

    /// The kernel's files about the last attempt; `None` if it has none of them.
    pub fn wake_reason(&self) -> Option<WakeReason> {
        self.wake_reason.read()
    }

    /// The device of the source with this id and name; `None` if it has none.
    pub fn source_device(&self, id: u32, name: &[u8]) -> Option<SourceDevice> {
        self.source_devices.of(id, name)
    }

    /// How many values can be read here. Dropping capabilities must not lower it.
    pub fn readable(&mut self) -> usize {
        let stats = self.suspend_stats.as_mut().and_then(|stats| stats.read().ok());
        let available = power_supply::available();
        stats.map_or(0, |stats| stats.counters.len())
            + self.wake_reason.readable()
            + available.into_iter().map(|(_, _, values)| values).sum::<usize>()
    }

    /// The hooks as the session has them: if none sees the return of `pm_suspend`, the counts show
    /// how an attempt ended.
    pub fn hooks(&self, attached: &[Hook]) -> Vec<Hook> {
        let mut hooks = attached.to_vec();
        for hook in &mut hooks {
            if hook.what == "return" && hook.how.is_empty() && self.suspend_stats.is_some() {
                hook.how = BY_STATS.to_owned();
            }
        }
        hooks
    }
}

/// The [`Hook::how`] of returns that no hook sees.
pub const BY_STATS: &str = "suspend_stats";

/// The part of [`Session`] that is known before anything is loaded; the rest is left at its
/// default.
pub fn session() -> Session {
    let (kernel, machine) = match uname() {
        Ok(u) => (lossy(u.release()), lossy(u.machine())),
        Err(_) => Default::default(),
    };
    Session {
        device: device(),
        kernel,
        machine,
        page_size: page_size() as u32,
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        fingerprint: property("ro.build.fingerprint"),
        serial: property("ro.serialno"),
        ..Session::default()
    }
}

/// Bytes in a page: 4096, 16384 or 65536 on arm64.
pub fn page_size() -> u64 {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|s| u64::try_from(s).ok()).filter(|s| s.is_power_of_two()).unwrap_or(65536)
}

/// The model as Android names it, else as the device tree does.
fn device() -> String {
    let model = property("ro.product.model");
    if model.is_empty() { line("/sys/firmware/devicetree/base/model") } else { model }
}

/// An Android system property; empty on other systems.
fn property(name: &str) -> String {
    const GETPROP: &str = "/system/bin/getprop";
    if !Path::new(GETPROP).exists() {
        return String::new();
    }
    let output = Command::new(GETPROP).arg(name).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}

/// A file's text without its last NUL or newline; empty if it cannot be read.
fn line(path: &str) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_end_matches(['\0', '\n']).to_owned()
}

fn lossy(text: &std::ffi::OsStr) -> String {
    text.to_string_lossy().into_owned()
}

/// The value in a file of sysfs, without the newline that the kernel puts behind it.
fn value(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path).ok()?;
    bytes.pop_if(|last| *last == b'\n');
    Some(bytes)
}
