//! `cargo xtask demo`: from a checkout to a ranking. Builds everything, boots the virtual device,
//! keeps it awake on purpose, and records with `sleepwalk record` what did.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use sleepwalk_vdev::{Boot, DEADLINE, DEFAULT_NAME, Device, Program, Vdev, parts};

use crate::{build, paths, sh};

/// How long the workload works.
const WORK: Duration = Duration::from_secs(30);
/// The capture: it begins before the workload and ends after it.
const CAPTURE: Duration = Duration::from_secs(40);
/// How long the capture may take to begin: an emulated core loads the probe slowly.
const BEGIN: Duration = Duration::from_secs(90);

/// The file of the agent's stdout during a capture by the host process of that number.
fn agent_output(record: u32) -> String {
    format!("/data/local/tmp/sleepwalk/record-*-{record}.out")
}

/// The demo.
pub fn run() -> Result<()> {
    sh::progress("step 1 of 3: the programs");
    build::all().context("the programs cannot be built")?;
    sh::progress("step 2 of 3: the device");
    let vdev = Vdev::new(DEFAULT_NAME)?;
    let device = vdev.up(Boot::default(), DEADLINE)?;
    device.push(&[paths::workload_program()]).context("the workload cannot be brought over")?;
    sh::progress("step 3 of 3: the capture");
    let folder = paths::target().join("demo");
    fs::create_dir_all(&folder).context("target/demo cannot be made")?;
    let trace = folder.join("demo.swk");
    let done = capture(&device, &trace)
        .with_context(|| format!("the device's console is {}", vdev.console().display()))?;
    println!("\n{}", summary(&done)?);
    println!("{}", next_steps(&device.serial));
    Ok(())
}

/// Records while the workload works; returns the workload's last line.
fn capture(device: &Device, trace: &Path) -> Result<String> {
    // Ctrl-C is for `sleepwalk record`, which stops and still brings the trace: this waits for it.
    ctrlc::set_handler(|| ()).context("interrupts cannot be handled")?;
    let mut record = Command::new(paths::host_program());
    record
        .current_dir(paths::root())
        .args(["record", "--force", "-d", &format!("{}s", CAPTURE.as_secs()), "-o"])
        .arg(trace.strip_prefix(paths::root()).unwrap_or(trace))
        .env("ANDROID_SERIAL", &device.serial)
        .env("ADB", parts::adb()?)
        .stdin(Stdio::null());
    let line = sh::show(&record);
    sh::progress(&line);
    let mut record = record.spawn().with_context(|| format!("`{line}` does not start"))?;
    let worked = begun(device, &mut record).and_then(|()| device.spawn(&workload())).and_then(done);
    if worked.is_err() && record.try_wait()?.is_none() {
        // Without the workload there is nothing to wait for.
        let pid = i32::try_from(record.id()).context("a process id")?;
        kill(Pid::from_raw(pid), Signal::SIGINT).context("the capture cannot be stopped")?;
    }
    let status = record.wait()?;
    if !status.success() {
        bail!("`{line}` ended with {}: its output is above", sh::ended(status));
    }
    worked
}

fn workload() -> String {
    format!("./sleepwalk-workload demo --for {}s", WORK.as_secs())
}

/// Waits until the capture has begun, so that it sees all of the workload.
fn begun(device: &Device, record: &mut Child) -> Result<()> {
    let until = Instant::now() + BEGIN;
    let script = format!("grep -qs ^ready {} && echo yes; true", agent_output(record.id()));
    while device.sh(&script)?.is_empty() {
        if record.try_wait()?.is_some() {
            bail!("the capture ended before the workload began");
        }
        if Instant::now() > until {
            bail!("the capture did not begin within {} s", BEGIN.as_secs());
        }
        sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Waits for the workload's end.
fn done(program: Program) -> Result<String> {
    sh::progress(format!("the workload works for {} s", WORK.as_secs()));
    let output = program.wait()?;
    Ok(output.lines().last().unwrap_or_default().to_owned())
}

/// The workload's own count of its attempts, for comparison with the ranking.
fn summary(done: &str) -> Result<String> {
    let line: Value = serde_json::from_str(done).unwrap_or_default();
    let number = |key: &str| line[key].as_u64();
    let (Some(attempts), Some(succeeded), Some(busy), Some(other)) =
        (number("attempts"), number("succeeded"), number("busy"), number("other"))
    else {
        bail!("the workload's last line is not its count: {done:?}");
    };
    let other = if other == 0 { String::new() } else { format!(", {other} failed otherwise") };
    Ok(format!(
        "The workload itself counts {attempts} attempts to sleep: {succeeded} succeeded, {busy} \
         were aborted by a wakeup source{other}."
    ))
}

fn next_steps(serial: &str) -> String {
    format!(
        "The trace is target/demo/demo.swk, and the device ({serial}) stays up. Next:\n  \
         target/dist/sleepwalk report target/demo/demo.swk --format json\n  \
         target/dist/sleepwalk dump target/demo/demo.swk\n  \
         target/dist/sleepwalk doctor -s {serial}\n  \
         cargo xtask vdev shell\n  \
         cargo xtask vdev down"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workloads_count_is_printed() {
        let line = r#"{"t_ns":1,"event":"done","attempts":7,"succeeded":4,"busy":3,"other":0}"#;
        let text = summary(line).unwrap();
        assert!(text.contains("7 attempts") && text.contains("4 succeeded, 3 were"), "{text}");
        assert!(!text.contains("otherwise"), "{text}");
        let text = summary(&line.replace(r#""other":0"#, r#""other":2"#)).unwrap();
        assert!(text.contains("2 failed otherwise"), "{text}");
    }

    #[test]
    fn another_last_line_is_an_error() {
        for line in ["", "ready", r#"{"event":"dead"}"#] {
            assert!(summary(line).is_err(), "{line:?}");
        }
    }
}
