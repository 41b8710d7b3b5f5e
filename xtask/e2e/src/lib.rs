//! Shared by the end-to-end tests: the device over adb, and the kernel's own data to compare with.
//!
//! `cargo xtask test` builds everything, boots the virtual device and names it in the environment.
//! The tests speak to the device through adb alone, and take as true only what ftrace, debugfs and
//! sysfs have.

pub mod activations;
pub mod attempts;
pub mod battery;
pub mod best;
pub mod compare;
pub mod debugfs;
pub mod device;
pub mod ftrace;
pub mod held;
pub mod ledger;
pub mod own;
pub mod reported;
pub mod scenario;
pub mod snapshot;
pub mod trace;
pub mod verdict;
pub mod waiter;

use anyhow::{Result, ensure};

pub use sleepwalk_vdev::Device;

use ftrace::{Event, Ftrace};
use trace::Trace;

/// Records while `script` runs; what ftrace saw of it, and our trace.
pub fn capture(device: &Device, script: &str) -> Result<(Vec<Event>, Trace)> {
    capture_with(device, "", script)
}

/// The same by an agent with such an environment, in the shell's words.
pub fn capture_with(
    device: &Device,
    environment: &str,
    script: &str,
) -> Result<(Vec<Event>, Trace)> {
    let program = format!("{environment} ./sleepwalkd record -o a.swk --interval 1s");
    let agent = device.start(program.trim(), "ready")?;
    let ftrace = Ftrace::start(device)?;
    let ran = device.sh(script);
    let kernel = ftrace.stop()?;
    let stopped = agent.stop();
    ran?;
    stopped?;
    let trace = Trace::read(&device.pull("a.swk")?)?;
    ensure!(trace.complete(), "the trace has no end");
    Ok((kernel, trace))
}
