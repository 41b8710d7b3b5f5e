//! The threads that wait since before the capture.

use anyhow::{Context as _, Result, bail, ensure};
use sleepwalk_e2e::device;
use sleepwalk_e2e::trace::Trace;
use sleepwalk_e2e::waiter::Waiter;
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
    let waiter = Waiter::start(device, "holder")?;
    for (without, how) in [("", "wchan"), ("wchan", "stack"), ("wchan,stack", "syscall")] {
        let environment = format!("SLEEPWALK_WITHOUT={without}");
        let (_, waiters) = record(device, &environment, "true")?;
        ensure!(waiters.threads == [waiter.pid()], "{how}: {waiters:?} and not {}", waiter.pid());
        ensure!(waiters.how.starts_with(how), "{waiters:?} and not {how}");
        // The files of a thread of the kernel are not known.
        ensure!(waiters.why.is_empty() == (how != "syscall"), "{how}: {waiters:?}");
    }
    let pid = waiter.pid();
    let (trace, waiters) = record(device, "", &waiter.release())?;
    ensure!(waiters.threads == [pid], "{waiters:?} and not {pid}");
    // Hooks see the end of a call only if they saw its start.
    let waits = trace.records.iter().filter(|stamped| match stamped.record {
        Record::WaitBegin(wait) => wait.thread == pid,
        Record::WaitEnd(wait) => wait.thread == pid,
        _ => false,
    });
    ensure!(waits.count() == 0, "a hook saw the wait");
    waiter.end()
}

fn nobody_waits(device: &Device) -> Result<()> {
    let (_, waiters) = record(device, "", "true")?;
    ensure!(waiters.threads.is_empty() && waiters.why.is_empty(), "{waiters:?}");
    ensure!(waiters.how.starts_with("wchan") && waiters.seen > 10, "{waiters:?}");
    Ok(())
}

#[test]
fn a_waiter_from_before_is_found() -> Result<()> {
    for tested in device::each()? {
        a_waiter_is_found(&tested.device).with_context(|| tested.kernel.name())?;
    }
    Ok(())
}

#[test]
fn no_waiter_is_found_where_none_waits() -> Result<()> {
    for tested in device::each()? {
        nobody_waits(&tested.device).with_context(|| tested.kernel.name())?;
    }
    Ok(())
}
