//! The threads that wait since before the capture.

use anyhow::{Result, bail, ensure};
use sleepwalk_e2e::device;
use sleepwalk_e2e::trace::Trace;
use sleepwalk_trace::record::{Record, Waiters};
use sleepwalk_vdev::Device;

/// The trace of a capture with such an environment, during which `script` runs, and its waiters.
fn record(device: &Device, environment: &str, script: &str) -> Result<(Trace, Waiters)> {
    device.sh("rm -f a.swk")?;
    let agent =
        device.start(&format!("env {environment} ./sleepwalkd record -o a.swk"), "ready")?;
    let ran = device.sh(script);
    let stopped = agent.stop();
    ran?;
    stopped?;
    let trace = Trace::read(&device.pull("a.swk")?)?;
    let found = trace.records.iter().filter_map(|stamped| match &stamped.record {
        Record::Waiters(waiters) => Some(waiters.clone()),
        _ => None,
    });
    let [waiters] = &found.collect::<Vec<_>>()[..] else {
        bail!("the agent looked twice, or never")
    };
    println!("{waiters:?}");
    Ok((trace, waiters.clone()))
}

/// Each way to find it, on its own.
fn a_waiter_is_found(device: &Device) -> Result<()> {
    let source = device.start("./sleepwalk-workload source --name holder --hold 1h", "activate")?;
    // `cat` of Busybox calls sendfile, and Android's loop read(2), as `dd` does.
    let waiter = "sh -c 'echo waits; exec dd if=/sys/power/wakeup_count'";
    let waiter = device.start(waiter, "waits")?;
    let asleep =
        format!("until grep -q '^State:.S' /proc/{}/status; do sleep 0.1; done", waiter.pid);
    device.sh(&asleep)?;
    for (without, how) in [("", "wchan"), ("wchan", "stack"), ("wchan,stack", "syscall")] {
        let environment = format!("SLEEPWALK_WITHOUT={without}");
        let (_, waiters) = record(device, &environment, "true")?;
        ensure!(waiters.threads == [waiter.pid], "{how}: {waiters:?} and not {}", waiter.pid);
        ensure!(waiters.how.starts_with(how), "{waiters:?} and not {how}");
        // The files of a thread of the kernel are not known.
        ensure!(waiters.why.is_empty() == (how != "syscall"), "{how}: {waiters:?}");
    }
    let pid = waiter.pid;
    let script = format!("kill {}; while [ -e /proc/{pid} ]; do sleep 0.1; done", source.pid);
    let (trace, waiters) = record(device, "", &script)?;
    ensure!(waiters.threads == [pid], "{waiters:?} and not {pid}");
    // Hooks see the end of a call only if they saw its start.
    let waits = trace.records.iter().filter(|stamped| match stamped.record {
        Record::WaitBegin(wait) => wait.thread == pid,
        Record::WaitEnd(wait) => wait.thread == pid,
        _ => false,
    });
    ensure!(waits.count() == 0, "a hook saw the wait");
    // It was stopped early, which is a failure to it.
    source.try_wait().map(drop)
}

fn nobody_waits(device: &Device) -> Result<()> {
    let (_, waiters) = record(device, "", "true")?;
    ensure!(waiters.threads.is_empty() && waiters.why.is_empty(), "{waiters:?}");
    ensure!(waiters.how.starts_with("wchan") && waiters.seen > 10, "{waiters:?}");
    Ok(())
}

#[test]
fn a_waiter_from_before_is_found() -> Result<()> {
    a_waiter_is_found(&device::with_kfuncs()?)
}

#[test]
fn a_waiter_is_found_without_kfuncs() -> Result<()> {
    a_waiter_is_found(&device::without_kfuncs()?)
}

#[test]
fn no_waiter_is_found_where_none_waits() -> Result<()> {
    nobody_waits(&device::with_kfuncs()?)?;
    nobody_waits(&device::without_kfuncs()?)
}
