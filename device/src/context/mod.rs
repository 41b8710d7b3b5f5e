//! What surrounds the events: kernel, device and boot; power supplies; the kernel's own count of
//! attempts; the names of interrupts.

pub mod irqs;
pub mod supplies;
pub mod suspend_stats;

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::utsname::uname;
use nix::unistd::{SysconfVar, sysconf};
use sleepwalk_trace::record::{Hook, Session};

use crate::journal::Journal;
use supplies::{Supplies, When};
use suspend_stats::{Stats, SuspendStats};

/// What is read beside the probe's events.
#[derive(Debug)]
pub struct Surroundings {
    supplies: Supplies,
    /// `None` where the kernel has none.
    stats: Option<SuspendStats>,
}

impl Surroundings {
    /// Finds out what there is.
    pub fn open() -> Self {
        let stats = SuspendStats::open().inspect_err(|error| log::info!("{error:#}")).ok();
        Self { supplies: Supplies::default(), stats }
    }

    /// Records power supplies.
    pub fn supplies(&mut self, when: When, journal: &mut Journal) {
        self.supplies.read(when, journal);
    }

    /// Records what changed in `suspend_stats`, and says what they are; `None` where there are none.
    pub fn stats(&mut self, journal: &mut Journal) -> Option<Stats> {
        let read = self.stats.as_mut()?.record(journal);
        read.inspect_err(|error| log::warn!("{error:#}")).ok()
    }

    /// How many values can be read here: what is to stay so when rights are given up.
    pub fn readable(&mut self) -> usize {
        let stats = self.stats.as_mut().and_then(|stats| stats.read().ok());
        let supplies = supplies::found();
        stats.map_or(0, |stats| stats.counters.len())
            + supplies.into_iter().map(|(_, _, values)| values).sum::<usize>()
    }

    /// The hooks as the session names them: where nothing shows the return of `pm_suspend`, the counts
    /// tell how an attempt ended.
    pub fn hooks(&self, told: &[Hook]) -> Vec<Hook> {
        let mut hooks = told.to_vec();
        for hook in &mut hooks {
            if hook.what == "return" && hook.how.is_empty() && self.stats.is_some() {
                hook.how = BY_STATS.to_owned();
            }
        }
        hooks
    }
}

/// How returns are seen where no hook shows them ([`Hook::how`]).
pub const BY_STATS: &str = "suspend_stats";

/// What can be said before anything is loaded; the rest of [`Session`] is left at its default.
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

/// Bytes in a page; 4096, 16384 and 65536 are all met on arm64.
pub fn page_size() -> u64 {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|s| u64::try_from(s).ok()).filter(|s| s.is_power_of_two()).unwrap_or(65536)
}

/// Android's name of the model, else the device tree's.
fn device() -> String {
    let model = property("ro.product.model");
    if model.is_empty() { line("/sys/firmware/devicetree/base/model") } else { model }
}

/// An Android system property; empty where there are none.
fn property(name: &str) -> String {
    const GETPROP: &str = "/system/bin/getprop";
    if !Path::new(GETPROP).exists() {
        return String::new();
    }
    let output = Command::new(GETPROP).arg(name).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}

/// A file's text without what ends it; empty where it can't be read.
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
