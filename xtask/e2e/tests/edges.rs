//! Our record of edges, waits and wakes against ftrace's.

use anyhow::{Result, ensure};
use sleepwalk_e2e::compare::same_as_ftrace;
use sleepwalk_e2e::ftrace::Ftrace;
use sleepwalk_e2e::trace::Trace;
use sleepwalk_e2e::{capture, capture_with, device};
use sleepwalk_trace::record::{Reason, Record};

/// Sources with all kinds of habits, a loop like Android's SystemSuspend, and alarms that wake.
const DEMO: &str = "sleep 14 | ./sleepwalk-workload demo > demo.jsonl";

/// How much of what there must be, for a comparison to mean something.
const LEAST: [(&str, usize); 4] = [("source ", 50), ("wait ", 6), ("save ", 3), ("wakes", 1)];

#[test]
fn every_edge_wait_save_and_wake_is_ftraces() -> Result<()> {
    let (kernel, trace) = capture(&device::with_kfuncs()?, DEMO)?;
    same_as_ftrace(&kernel, &trace, &LEAST)
}

/// By raw tracepoints and kprobes, and on the newest kernel without the kfuncs.
#[test]
fn second_choice_hooks_match_ftrace() -> Result<()> {
    let without = "env SLEEPWALK_WITHOUT=tp_btf,fentry,fexit";
    let (kernel, trace) = capture_with(&device::without_kfuncs()?, without, DEMO)?;
    assert_eq!(
        trace.hows()?,
        ["raw_tp", "kretprobe", "raw_tp", "kretprobe", "kretprobe", "kprobe"]
    );
    same_as_ftrace(&kernel, &trace, &LEAST)
}

#[test]
fn a_source_between_snapshots_has_its_name() -> Result<()> {
    let device = device::with_kfuncs()?;
    let agent = device.start("./sleepwalkd record -o a.swk --interval 1h", "ready")?;
    device.sh("sleep 1 | ./sleepwalk-workload demo > demo.jsonl")?;
    agent.stop()?;
    let trace = Trace::read(&device.pull("a.swk")?)?;
    let shown = trace
        .snapshots()?
        .into_iter()
        .filter(|s| matches!(s.snapshot.reason, Reason::Start | Reason::End));
    let shown: Vec<_> = shown.flat_map(|s| s.by_name.into_keys()).collect();
    let strings = trace.strings();
    let met = trace.records.iter().filter_map(|r| match &r.record {
        Record::Source(source) => Some(strings[&source.name].as_slice()),
        _ => None,
    });
    let met: Vec<_> = met.collect();
    for name in ["modem_rx", "sensor_hub", "touchscreen"] {
        ensure!(met.contains(&name.as_bytes()), "{name} is not in the trace");
        ensure!(!shown.iter().any(|n| n == name.as_bytes()), "{name} lived longer than planned");
    }
    Ok(())
}

#[test]
fn edges_do_not_wake_the_agent_one_by_one() -> Result<()> {
    let device = device::with_kfuncs()?;
    let agent = device.start("./sleepwalkd record -o a.swk --interval 1h", "ready")?;
    let switches = || -> Result<u64> {
        let status = device.sh("cat /proc/$(pidof sleepwalkd)/status")?;
        let line = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
        Ok(line.unwrap_or_default().trim().parse()?)
    };
    let before = switches()?;
    device.sh(
        "sleep 9 | ./sleepwalk-workload sources --count 20 --churn 100 --for 8s > sources.txt",
    )?;
    let woken = switches()? - before;
    agent.stop()?;
    let trace = Trace::read(&device.pull("a.swk")?)?;
    let edges = trace.records.iter().filter(|r| matches!(r.record, Record::Edge(_))).count();
    ensure!(edges > 400, "only {edges} edges");
    ensure!(woken < edges as u64 / 20, "{edges} edges, and the agent slept {woken} times");
    Ok(())
}

/// As fast as sources can be made to change here, for 10 s: all CPUs in the kernel, at nothing else.
#[test]
fn a_storm_of_edges_is_recorded_or_counted() -> Result<()> {
    let device = device::with_kfuncs()?;
    let agent = device.start("./sleepwalkd record -o a.swk --interval 1h", "ready")?;
    let ftrace = Ftrace::start(&device)?;
    let ran = device
        .sh("sleep 11 | ./sleepwalk-workload sources --count 50 --storm --for 10s > sources.txt");
    let kernel = ftrace.stop_counting()?;
    let stopped = agent.stop();
    ran?;
    stopped?;
    let trace = Trace::read(&device.pull("a.swk")?)?;
    let (ours, lost) = (trace.events()?.len() as u64, trace.lost());
    println!(
        "{} events a second for 10 s: ftrace saw {kernel}, we have {ours} and lost {lost}",
        kernel / 10
    );
    ensure!(kernel > 100_000, "only {kernel} events");
    // The announcement of a name is an event too, and is counted where it is lost.
    let names = trace.names().len() as u64;
    ensure!(ours <= kernel && kernel - ours <= lost, "{kernel} events, {ours} ours, {lost} lost");
    ensure!(lost <= kernel - ours + names, "{kernel} events, {ours} ours, {lost} lost");
    Ok(())
}

#[test]
fn less_is_recorded_where_less_is_wanted() -> Result<()> {
    let device = device::with_kfuncs()?;
    for (detail, with_activators, with_frames) in
        [("stacks", true, true), ("callers", true, false), ("off", false, false)]
    {
        let agent = device.start(
            &format!("./sleepwalkd record -o {detail}.swk --activators {detail}"),
            "ready",
        )?;
        device.sh("./sleepwalk-workload source --name modem_rx --hold 20ms --times 3")?;
        agent.stop()?;
        let trace = Trace::read(&device.pull(&format!("{detail}.swk"))?)?;
        let strings = trace.strings();
        let found = trace.records.iter().filter_map(|r| match &r.record {
            Record::Activator(activator) => Some(activator),
            _ => None,
        });
        let found: Vec<_> = found.collect();
        assert_eq!(!found.is_empty(), with_activators, "{detail}: {found:?}");
        assert_eq!(found.iter().any(|a| !a.frames.is_empty()), with_frames, "{detail}: {found:?}");
        let by_epoll = found.iter().filter(|a| strings[&a.function] == b"ep_poll_callback");
        assert_eq!(by_epoll.count() > 0, with_activators, "{detail}: {found:?}");
    }
    Ok(())
}
