//! The activator of each source, against ftrace's stack traces, on each kernel.

use anyhow::{Context as _, Result, ensure};
use sleepwalk_e2e::activations::{recorded, same, start, stop};
use sleepwalk_e2e::trace::Trace;
use sleepwalk_e2e::{Device, device};
use sleepwalk_trace::record::{LEVEL_HARD_IRQ, LEVEL_THREAD};

/// Threads of several processes, an epoll set's own source, and alarms, which come as interrupts.
const TRAFFIC: &str = "sleep 4 | ./sleepwalk-workload sources --count 4 --prefix busy --churn 40 > busy.txt & \
    ./sleepwalk-workload source --name modem_rx --hold 50ms --times 3 & \
    ./sleepwalk-workload suspend --times 2 --alarm 1s --gap 500ms; wait";

fn record(device: &Device, options: &str) -> Result<Trace> {
    let agent =
        device.start(&format!("./sleepwalkd record -o a.swk --interval 1s {options}"), "ready")?;
    start(device)?;
    let ran = device.sh(TRAFFIC);
    let stopped = agent.stop();
    ran?;
    stopped?;
    let trace = Trace::read(&device.pull("a.swk")?)?;
    ensure!(trace.complete() && trace.lost() == 0, "the trace lacks events");
    Ok(trace)
}

#[test]
fn each_activation_has_ftraces_activator() -> Result<()> {
    for tested in device::each()? {
        let (device, kernel) = (&tested.device, tested.kernel.name());
        let trace = record(device, "")?;
        let (theirs, ours) = (stop(device)?, recorded(&trace)?);
        same(&theirs, &ours).context(kernel)?;
        let of = |level| ours.iter().filter(|one| one.level == level).count();
        let (threads, interrupts) = (of(LEVEL_THREAD), of(LEVEL_HARD_IRQ));
        println!("{kernel}: {threads} activations by threads and {interrupts} by interrupts");
        ensure!(ours.len() >= 50, "{kernel}: only {} activations", ours.len());
    }
    Ok(())
}
