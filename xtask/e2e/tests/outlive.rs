//! Captures that outlive adbd, and signals that end one.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sleepwalk_e2e::trace::Trace;
use sleepwalk_e2e::{Device, device};
use sleepwalk_trace::record::Record;

/// The folder of the host program on the device.
const FOLDER: &str = "/data/local/tmp/sleepwalk";

/// A crash, the restart that `adb root`, `adb usb` and `adb tcpip` bring, and init's own kill.
const ENDS: [&str; 3] = [
    "kill -9 $(pidof adbd)",
    "kill -TERM $(pidof adbd)",
    "cd /sys/fs/cgroup/uid_0/pid_$(pidof adbd); \
     if [ -e cgroup.kill ]; then echo 1 > cgroup.kill; else kill -9 $(cat cgroup.procs); fi",
];

fn run(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{command:?}: {stderr}");
    Ok(String::from_utf8(output.stdout)?)
}

/// CLOCK_BOOTTIME of the device in ns.
fn now(device: &Device) -> Result<u64> {
    let uptime = device.sh("cut -d ' ' -f 1 /proc/uptime")?;
    Ok((uptime.parse::<f64>().with_context(|| uptime.clone())? * 1e9) as u64)
}

/// Ends adbd, and waits for the next one.
fn end_adbd(device: &Device, end: &str) -> Result<()> {
    let before = device.sh("pidof adbd")?;
    // Left in adbd's cgroup, in a session of its own: it shows that the kill reaches such a process.
    let left = device.sh("setsid sleep 100000 < /dev/null > /dev/null 2>&1 & echo $!")?;
    // The connection goes with adbd.
    let _ = device.try_sh(end);
    let mut after = before.clone();
    while after == before {
        device.reconnect()?;
        after = device.sh("pidof adbd")?;
    }
    let state = device.sh(&format!("kill -0 {left} 2> /dev/null && echo alive || echo dead"))?;
    ensure!(state == "dead", "`{end}`: what adbd left behind is {state}");
    Ok(())
}

#[test]
fn a_detached_capture_outlives_adbd() -> Result<()> {
    let device = device::any()?;
    let detach = ["record", "--detach", "--interval", "1s"];
    let name = run(device::sleepwalk(&device)?.args(detach))?.trim().to_owned();
    let pid = device.sh(&format!("cat {FOLDER}/*.pid"))?;
    let leader = device.sh(&format!("cut -d ' ' -f 6 /proc/{pid}/stat"))?;
    ensure!(leader != pid, "the shell that stores the exit code leads the session");
    for process in [&pid, &leader] {
        let groups = device.sh(&format!("cat /proc/{process}/cgroup"))?;
        ensure!(groups.lines().all(|line| line.ends_with(":/")), "{process} is in {groups}");
        assert_eq!(device.sh(&format!("cat /proc/{process}/oom_score_adj"))?, "-1000");
    }
    let mut moments = vec![now(&device)?];
    for end in ENDS {
        end_adbd(&device, end)?;
        device.sh(&format!("kill -0 {pid} {leader}")).with_context(|| format!("after `{end}`"))?;
        // SIGHUP is what the end of a terminal sends.
        device.sh(&format!("kill -HUP {pid}; sleep 2"))?;
        moments.push(now(&device)?);
    }
    let status = run(device::sleepwalk(&device)?.arg("status"))?;
    ensure!(status.starts_with("capturing") && status.contains(&name), "{status}");
    run(device::sleepwalk(&device)?.arg("stop"))?;
    let folder = tempfile::tempdir()?;
    let pulled = folder.path().join("a.swk");
    run(device::sleepwalk(&device)?.args(["pull", "--rm", "-o"]).arg(&pulled))?;
    let trace = Trace::read(&std::fs::read(&pulled)?)?;
    assert_eq!(reason(&trace), Some("signal"));
    let snapshots = trace.snapshots()?;
    for between in moments.windows(2) {
        let within = |at: u64| (between[0]..between[1]).contains(&at);
        ensure!(snapshots.iter().any(|one| within(one.at_ns)), "none in {between:?}");
    }
    Ok(())
}

#[test]
fn signals_that_end_a_capture_leave_an_end() -> Result<()> {
    let device = device::any()?;
    for signal in ["HUP", "QUIT"] {
        let agent = device.start("./sleepwalkd record -o a.swk", "ready")?;
        agent.signal(signal)?;
        agent.wait().with_context(|| format!("SIG{signal}"))?;
        let trace = Trace::read(&device.pull("a.swk")?)?;
        assert_eq!(reason(&trace), Some("signal"), "SIG{signal}");
        device.sh("rm a.swk")?;
    }
    Ok(())
}

fn reason(trace: &Trace) -> Option<&str> {
    match &trace.records.last()?.record {
        Record::End(end) => Some(&end.reason),
        _ => None,
    }
}
