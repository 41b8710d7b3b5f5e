//! `sleepwalkd version`: which build this is.

use anyhow::{Context, Result};
use serde::Serialize;
use sleepwalk_trace::chunk::{VERSION, crc32c};

const EXE: &str = "/proc/self/exe";

/// What `--json` prints; the host compares it with the agent that it holds.
#[derive(Serialize)]
struct Version {
    version: &'static str,
    /// Of the trace's format.
    format: u16,
    exe_len: usize,
    /// Eight hexadecimal digits.
    exe_crc32c: String,
}

/// The text to print.
pub fn run(json: bool) -> Result<String> {
    let version = env!("CARGO_PKG_VERSION");
    let exe = std::fs::read(EXE).with_context(|| format!("{EXE} can't be read"))?;
    let exe_crc32c = format!("{:08x}", crc32c(&exe));
    if !json {
        return Ok(format!("sleepwalkd {version} (build {exe_crc32c}, trace format {VERSION})\n"));
    }
    let version = Version { version, format: VERSION, exe_len: exe.len(), exe_crc32c };
    Ok(serde_json::to_string(&version)? + "\n")
}
