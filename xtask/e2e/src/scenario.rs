//! The workload in which everything happens that can, against ftrace, and what the report makes of it.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use sleepwalk_trace::record::{EDGE_ACTIVE, Record};

use crate::attempts::{self, Attempt};
use crate::compare::{TOLERANCE_NS, same_as_ftrace};
use crate::ftrace::{Event, Kind};
use crate::trace::Trace;
use crate::{Device, capture, device};

const SCRIPT: &str = "modprobe pm-notifier-error-inject; \
    ./sleepwalk-workload scenario > scenario.jsonl; status=$?; \
    modprobe -r pm-notifier-error-inject; [ $status = 0 ]";

const MS: u64 = 1_000_000;

/// Captures the scenario, and checks all of it. `sync` is the stage in which this kernel ends an
/// attempt when a source is active during its sync of the file systems.
pub fn check(device: &Device, sync: &str) -> Result<Trace> {
    let (kernel, trace) = capture(device, SCRIPT)?;
    same_as_ftrace(&kernel, &trace, &[("source ", 30), ("wait ", 10), ("save ", 5), ("wakes", 1)])?;
    let attempts = attempts::of(&kernel);
    same_attempts(&attempts, &attempts::of(&trace.events()?))?;
    every_end_occurred(&attempts, sync)?;
    waits_occurred(&kernel, &attempts)?;
    lived_and_died(&trace)?;
    twins_are_two(&trace)?;
    reported(device, &attempts)?;
    Ok(trace)
}

/// Each by its errno, its stage and its sleep.
fn same_attempts(kernel: &[Attempt], ours: &[Attempt]) -> Result<()> {
    ensure!(kernel.len() == ours.len(), "ftrace has {}, we {}", kernel.len(), ours.len());
    let near = |a: u64, b: u64| a.abs_diff(b) < TOLERANCE_NS;
    for (kernel, our) in kernel.iter().zip(ours) {
        let same = (kernel.errno, kernel.stage, kernel.machine_ns.len())
            == (our.errno, our.stage, our.machine_ns.len());
        let spans = [kernel.span_ns].into_iter().chain(kernel.machine_ns.iter().copied());
        let our_spans = [our.span_ns].into_iter().chain(our.machine_ns.iter().copied());
        let in_time = spans.zip(our_spans).all(|(k, o)| near(k.0, o.0) && near(k.1, o.1));
        ensure!(same && in_time, "ftrace has {kernel:?}, we {our:?}");
    }
    Ok(())
}

/// The scenario is of no use where one did not come about.
fn every_end_occurred(attempts: &[Attempt], sync: &str) -> Result<()> {
    let ends = [
        // A notifier: after the sync and before the freezer.
        (-1, "prepare", "failed"),
        // `pm_test` at freezer and at devices: the kernel reports success.
        (0, "freeze", "no_sleep"),
        (0, "suspend", "no_sleep"),
        (-16, sync, "aborted"),
        (-16, "freeze", "aborted"),
        (0, "machine", "slept"),
    ];
    let found = |errno, stage: &str, outcome| {
        attempts.iter().any(|a| (a.errno, a.stage, a.outcome()) == (errno, stage, outcome))
    };
    for (errno, stage, outcome) in ends {
        ensure!(found(errno, stage, outcome), "no attempt {outcome} in {stage}: {attempts:?}");
    }
    let among_devices =
        ["suspend", "suspend_late", "suspend_noirq"].iter().any(|s| found(-16, s, "aborted"));
    ensure!(among_devices, "no attempt aborted among the devices: {attempts:?}");
    let longest = attempts.iter().flat_map(|a| &a.machine_ns).map(|(b, e)| e - b).max();
    ensure!(longest > Some(100 * MS), "the longest sleep was {longest:?} ns");
    Ok(())
}

/// Both waits, by the edges within them.
fn waits_occurred(kernel: &[Event], attempts: &[Attempt]) -> Result<()> {
    let mut begun = None;
    let mut waits = Vec::new();
    for event in kernel {
        match event.kind {
            Kind::WaitBegin { .. } => begun = Some(event.at_ns),
            Kind::WaitEnd { idle, .. } => {
                ensure!(idle, "a wait was broken off at {}", event.at_ns);
                waits.extend(begun.take().map(|begin| (begin, event.at_ns)));
            }
            _ => {}
        }
    }
    let edge = |wanted: &str, up: bool| {
        let hit = kernel.iter().find(|e| {
            matches!(&e.kind, Kind::Edge { name, active, .. } if name == wanted && *active == up)
        });
        hit.map(|e| e.at_ns).with_context(|| format!("no edge of {wanted}, active: {up}"))
    };
    let span = |name| Ok::<_, anyhow::Error>((edge(name, true)?, edge(name, false)?));
    let blocked = |from: u64, until: u64| {
        waits.iter().find(|(begin, end)| from < *begin && *begin < until && until < *end)
    };
    let alone = span("blocks_alone")?;
    ensure!(blocked(alone.0, alone.1).is_some(), "{alone:?} blocked none of {waits:?}");
    let (first, second) = (span("blocks_first")?, span("blocks_second")?);
    ensure!(second.0 < first.1 && first.1 < second.1, "{first:?} and {second:?} do not overlap");
    let (begin, end) =
        blocked(first.0, second.1).context("the two sources blocked no wait together")?;
    ensure!((*begin..*end).contains(&second.0), "the second came after the wait");
    // A wait comes before an attempt.
    ensure!(waits.len() >= attempts.len(), "{} waits, {} attempts", waits.len(), attempts.len());
    Ok(())
}

/// A source that no snapshot at the ends has: only its edges show it.
fn lived_and_died(trace: &Trace) -> Result<()> {
    let snapshots = trace.snapshots()?;
    for snapshot in [snapshots.first(), snapshots.last()].into_iter().flatten() {
        ensure!(!snapshot.by_name.contains_key(&b"mayfly"[..]), "the mayfly lives too long");
    }
    let [mayfly] = active_instances(trace, b"mayfly")[..] else { bail!("not one mayfly") };
    ensure!(mayfly == 1, "the mayfly was not active once");
    Ok(())
}

/// Two sources of one name stay two, each with its own edges.
fn twins_are_two(trace: &Trace) -> Result<()> {
    let mut counts = active_instances(trace, b"twin");
    counts.sort_unstable();
    ensure!(counts == [2, 3], "the twins were active {counts:?} times");
    Ok(())
}

/// How often each source of that name was activated; without those that never were.
fn active_instances(trace: &Trace, name: &[u8]) -> Vec<usize> {
    let strings = trace.strings();
    let activations = |instance: u32| {
        let of = |record: &Record| matches!(record, Record::Edge(e) if e.source == instance && e.flags & EDGE_ACTIVE != 0);
        trace.records.iter().filter(|stamped| of(&stamped.record)).count()
    };
    let named = trace
        .names()
        .into_iter()
        .filter(|(_, text)| strings.get(text).is_some_and(|bytes| bytes == name));
    named.map(|(instance, _)| activations(instance)).filter(|count| *count > 0).collect()
}

/// The report gives each attempt the stage, errno and outcome that ftrace does.
fn reported(device: &Device, kernel: &[Attempt]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("a.swk");
    fs::write(&file, device.pull("a.swk")?)?;
    let output =
        device::sleepwalk(device)?.args(["report", "--format", "json"]).arg(&file).output()?;
    let printed = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "sleepwalk report: {printed}");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let attempts = report["attempts"].as_array().context("the report has no attempts")?;
    let ours: Vec<_> = attempts
        .iter()
        .map(|a| (a["errno"].as_i64(), a["stage"].as_str(), a["outcome"].as_str()))
        .collect();
    let kernel: Vec<_> = kernel
        .iter()
        .map(|a| (Some(i64::from(a.errno)), Some(a.stage), Some(a.outcome())))
        .collect();
    ensure!(ours == kernel, "the report has {ours:?}, ftrace {kernel:?}");
    Ok(())
}
