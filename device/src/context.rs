//! Where the trace is taken: kernel, device, boot.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::utsname::uname;
use nix::unistd::{SysconfVar, sysconf};
use sleepwalk_trace::record::Session;

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
