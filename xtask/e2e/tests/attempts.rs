//! Our record of suspend attempts against ftrace's.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sleepwalk_e2e::capture;
use sleepwalk_e2e::compare::TOLERANCE_NS;
use sleepwalk_e2e::ftrace::{Event, Kind};
use sleepwalk_e2e::trace::{Sources, Trace};
use sleepwalk_e2e::{Device, debugfs, device};
use sleepwalk_trace::record::{Reason, Record};

fn returns(events: &[Event]) -> Vec<i32> {
    let errno = |e: &Event| if let Kind::Return(errno) = e.kind { Some(errno) } else { None };
    events.iter().filter_map(errno).collect()
}

/// Records attempts while `script` runs; what ftrace saw of them, what we did, and our trace.
fn record(device: &Device, script: &str) -> Result<(Vec<Event>, Vec<Event>, Trace)> {
    let (mut kernel, trace) = capture(device, script)?;
    let mut ours = trace.events()?;
    for events in [&mut kernel, &mut ours] {
        events.retain(|event| event.kind.of_attempt());
    }
    Ok((kernel, ours, trace))
}

/// Same events in the same order, at the same time.
fn assert_same(kernel: &[Event], ours: &[Event]) {
    let kinds = |events: &[Event]| events.iter().map(|e| e.kind.clone()).collect::<Vec<_>>();
    assert_eq!(kinds(ours), kinds(kernel));
    for (our, kernel) in ours.iter().zip(kernel) {
        let apart = our.at_ns.abs_diff(kernel.at_ns);
        assert!(apart < TOLERANCE_NS, "{our:?} and {kernel:?} are {apart} ns apart");
    }
}

#[test]
fn phases_of_slept_attempts_match_ftrace() -> Result<()> {
    let device = device::with_kfuncs()?;
    let (kernel, ours, _) =
        record(&device, "./sleepwalk-workload suspend --times 2 --alarm 2s --gap 200ms")?;
    assert_eq!(returns(&kernel), [0, 0]);
    assert_same(&kernel, &ours);
    let slept =
        |e: &&Event| matches!(&e.kind, Kind::Phase { action, .. } if action == "machine_suspend");
    ensure!(kernel.iter().filter(slept).count() >= 4, "nothing slept");
    Ok(())
}

#[test]
fn an_aborted_attempt_has_the_kernels_errno() -> Result<()> {
    let device = device::with_kfuncs()?;
    // As Android does: read wakeup_count, write it back, suspend. A source that is activated after the write
    // aborts the attempt. The alarm is for a kernel that sleeps all the same.
    let script = "echo +10 > /sys/class/rtc/rtc0/wakealarm; \
        cat /sys/power/wakeup_count > count; cat count > /sys/power/wakeup_count; \
        ./sleepwalk-workload source --name blocker --hold 2s > blocker.out & \
        while ! grep -q activate blocker.out; do sleep 0.05; done; \
        echo mem > /sys/power/state; wait; cat /sys/power/suspend_stats/fail";
    let before: u64 = device.sh("cat /sys/power/suspend_stats/fail")?.parse()?;
    let (kernel, ours, trace) = record(&device, script)?;
    assert_eq!(returns(&kernel), [-16]);
    assert_same(&kernel, &ours);
    let after: u64 = device.sh("cat /sys/power/suspend_stats/fail")?.parse()?;
    assert_eq!(after, before + 1, "the kernel counts one failure");
    let snapshots = trace.snapshots()?;
    let begin = snapshots.iter().find(|s| s.snapshot.reason == Reason::AttemptBegin);
    let end = snapshots.iter().find(|s| s.snapshot.reason == Reason::AttemptEnd);
    let blocker = |s: &Sources| s.by_name.get(&b"blocker"[..]).is_some_and(|state| state.active());
    ensure!(end.is_some_and(blocker), "the blocker is not active at the attempt's end");
    // The agent need not have been in time for it.
    ensure!(begin.is_none_or(blocker), "the blocker is not active at the attempt's begin");
    Ok(())
}

#[test]
fn the_demo_is_recorded_attempt_by_attempt() -> Result<()> {
    let device = device::with_kfuncs()?;
    let (kernel, ours, trace) = record(&device, "./sleepwalk-workload demo --for 20s > demo.out")?;
    assert_same(&kernel, &ours);
    let errnos = returns(&kernel);
    ensure!(errnos.contains(&0) && errnos.contains(&-16), "the demo gave {errnos:?}");
    let ends =
        trace.snapshots()?.iter().filter(|s| s.snapshot.reason == Reason::AttemptEnd).count();
    assert_eq!(ends, errnos.len(), "a snapshot after each attempt");
    Ok(())
}

#[test]
fn pm_test_ends_an_attempt_before_the_machine() -> Result<()> {
    let device = device::with_kfuncs()?;
    let script = "echo freezer > /sys/power/pm_test; echo mem > /sys/power/state; \
        echo none > /sys/power/pm_test";
    let (kernel, ours, _) = record(&device, script)?;
    assert_eq!(returns(&kernel), [0]);
    assert_same(&kernel, &ours);
    Ok(())
}

#[test]
fn held_time_in_the_snapshots_is_debugfss() -> Result<()> {
    let device = device::with_kfuncs()?;
    // Held once, then idle for long enough that debugfs and a tick see the same.
    let script = "./sleepwalk-workload source --name holder --after 3s --hold 1500ms --times 2 & \
        sleep 6; cat /sys/kernel/debug/wakeup_sources > then.txt; wait";
    let (_, _, trace) = record(&device, script)?;
    let lines = debugfs::parse(&device.pull("then.txt")?)?;
    let line = lines.iter().find(|l| l.name == b"holder").context("debugfs lacks it")?;
    ensure!(line.active_count == 1 && line.active_since == 0, "the machine is too slow: {line:?}");
    let snapshots = trace.snapshots()?;
    let holder = || snapshots.iter().filter_map(|s| s.by_name.get(&b"holder"[..]));
    let idle = holder().find(|s| !s.active() && s.counters.active_count == 1);
    let idle = idle.context("no snapshot has it after its first activation")?;
    assert_eq!(idle.counters.total_ns / 1_000_000, line.total_time);
    assert_eq!(idle.counters.max_ns / 1_000_000, line.max_time);
    ensure!(holder().any(|state| state.active()), "no tick fell into the time that it was held");

    let ticks = snapshots.iter().filter(|s| s.snapshot.reason == Reason::Tick).count();
    ensure!(ticks >= 5, "only {ticks} ticks");
    assert_eq!(snapshots.first().map(|s| s.snapshot.reason), Some(Reason::Start));
    assert_eq!(snapshots.last().map(|s| s.snapshot.reason), Some(Reason::End));
    let gone = snapshots.iter().map(|s| s.snapshot.gone.len()).sum::<usize>();
    ensure!(gone >= 1, "the holder's end was not noticed");
    Ok(())
}

#[test]
fn an_attempts_snapshot_precedes_the_freeze() -> Result<()> {
    let device = device::with_kfuncs()?;
    let (kernel, _, trace) =
        record(&device, "./sleepwalk-workload suspend --times 4 --alarm 1s --gap 200ms")?;
    let at = |wanted: &str, wanted_begin: bool| {
        let hits = kernel.iter().filter(move |e| match &e.kind {
            Kind::Phase { action, begin, .. } => action == wanted && *begin == wanted_begin,
            _ => false,
        });
        hits.map(|e| e.at_ns).collect::<Vec<_>>()
    };
    let (entered, frozen) = (at("suspend_enter", true), at("freeze_processes", false));
    ensure!(entered.len() == 4 && frozen.len() == 4, "not all were frozen: {kernel:?}");
    let snapshots = trace.snapshots()?;
    let begins = snapshots.iter().filter(|s| s.snapshot.reason == Reason::AttemptBegin);
    for begin in begins {
        let mut attempts = entered.iter().zip(&frozen);
        // The agent may be quicker on its CPU than ftrace is on the one that suspends.
        let in_time = attempts.any(|(enter, freeze)| {
            (enter.saturating_sub(TOLERANCE_NS)..*freeze).contains(&begin.at_ns)
        });
        // How far the agent gets before the freeze is the machine's affair; that it marks the snapshot is ours.
        ensure!(
            in_time != begin.snapshot.late,
            "the snapshot at {} is marked late: {}, where {entered:?} {frozen:?}",
            begin.at_ns,
            begin.snapshot.late
        );
    }
    Ok(())
}

#[test]
fn events_lost_to_a_full_ring_are_counted() -> Result<()> {
    let device = device::with_kfuncs()?;
    // While the agent stands still, attempts that a notifier refuses at once fill the ring: it holds
    // some 22,000 of their events, and each of them gives four.
    let script = "modprobe pm-notifier-error-inject; \
        inject=/sys/kernel/debug/notifier-error-inject/pm/actions/PM_SUSPEND_PREPARE/error; \
        echo -1 > $inject; kill -STOP $(pidof sleepwalkd); \
        n=0; while [ $n -lt 6500 ]; do echo mem > /sys/power/state; n=$((n+1)); done 2>/dev/null; \
        kill -CONT $(pidof sleepwalkd); echo 0 > $inject; \
        modprobe -r pm-notifier-error-inject; sleep 2";
    let (kernel, ours, trace) = record(&device, script)?;
    let lost = trace.lost();
    ensure!(kernel.len() > 22_000, "only {} events: the ring was not filled", kernel.len());
    ensure!(returns(&kernel).iter().all(|errno| *errno == -1), "not all were refused");
    assert_eq!(ours.len() as u64 + lost, kernel.len() as u64, "{lost} lost");
    ensure!(lost > 0, "the ring took {} events", kernel.len());
    Ok(())
}

#[test]
fn a_killed_agent_leaves_all_written_records() -> Result<()> {
    let device = device::with_kfuncs()?;
    let agent = device.start("./sleepwalkd record -o a.swk --interval 200ms", "ready")?;
    std::thread::sleep(Duration::from_secs(3));
    agent.signal("KILL")?;
    let _ = agent.try_wait()?;
    let trace = Trace::read(&device.pull("a.swk")?)?;
    ensure!(!trace.complete(), "it was killed");
    let ticks = trace.snapshots()?.len();
    ensure!(ticks >= 5, "only {ticks} snapshots in 3 s");
    Ok(())
}

#[test]
fn nothing_is_lost_and_the_cost_is_recorded() -> Result<()> {
    let device = device::with_kfuncs()?;
    let (kernel, ours, trace) =
        record(&device, "./sleepwalk-workload suspend --times 2 --alarm 1s --gap 1s")?;
    assert_eq!(ours.len(), kernel.len());
    let lost = trace.records.iter().any(|r| matches!(r.record, Record::Lost(_)));
    ensure!(!lost, "events were lost");
    let overheads: Vec<_> = trace
        .records
        .iter()
        .filter_map(|r| if let Record::Overhead(o) = r.record { Some(o) } else { None })
        .collect();
    let [begin, overhead] = overheads[..] else { bail!("{overheads:?}") };
    ensure!(begin.cpu_ns > 0 && begin.snapshots == 1, "{begin:?}");
    ensure!(overhead.cpu_ns > begin.cpu_ns && overhead.snapshots >= 3, "{overhead:?}");
    ensure!(overhead.snapshot_max_ns > 0 && overhead.bytes_written > 0, "{overhead:?}");
    Ok(())
}
