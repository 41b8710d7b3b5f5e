//! `sleepwalkd version`: identifies this build.

use anyhow::{Context, Result};
use serde::Serialize;
use sleepwalk_trace::chunk::{VERSION, crc32c};

const EXE: &str = "/proc/self/exe";

/// The output of `--json`. The host compares it with the agent that it has.
#[derive(Serialize)]
struct Version {
    version: &'static str,
    /// Version of the trace format.
    format: u16,
    exe_len: usize,
    /// Eight hexadecimal digits.
    exe_crc32c: String,
}

/// The text to print.
pub fn run(json: bool) -> Result<String> {
    let (exe_len, exe_crc32c) = exe()?;
    if !json {
        return Ok(format!("sleepwalkd {} (trace format {VERSION})\n", build()?));
    }
    let version =
        Version { version: env!("CARGO_PKG_VERSION"), format: VERSION, exe_len, exe_crc32c };
    Ok(serde_json::to_string(&version)? + "\n")
}

/// Version and build, as the trace has them.
pub fn build() -> Result<String> {
    Ok(format!("{} (build {})", env!("CARGO_PKG_VERSION"), exe()?.1))
}

/// Length and checksum of this program's file.
fn exe() -> Result<(usize, String)> {
    let exe = std::fs::read(EXE).with_context(|| format!("{EXE} cannot be read"))?;
    Ok((exe.len(), format!("{:08x}", crc32c(&exe))))
}
