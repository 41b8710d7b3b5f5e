//! The workload in which everything happens that can, against ftrace, and what the report makes of it.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use sleepwalk_trace::record::{EDGE_ACTIVE, Record};

use crate::attempts::{self, Attempt};
use crate::compare::{TOLERANCE_NS, same_as_ftrace, stamps_apart};
use crate::ftrace::{Ahead, Event, Ftrace, Kind};
use crate::ledger::Slack;
use crate::reported::Differences;
use crate::trace::Trace;
use crate::verdict::{self, Verdict};
use crate::waiter::Waiter;
use crate::{Device, device, ledger};

/// The hub has no driver when the gadget appears at its port: see the workload's `HUB_WAKES`.
const PREPARE: &str = "modprobe pm-notifier-error-inject; modprobe dummy_hcd; modprobe usb_f_acm
    [ -e /dev/fuse ] || modprobe fuse
    echo on > /sys/devices/platform/dummy_hcd.0/usb1/power/control
    echo 1-0:1.0 > /sys/bus/usb/drivers/hub/unbind; modprobe g_serial";

/// Busybox's modprobe fails where a module that it removes too is in use.
const RESTORE: &str = "modprobe -r pm-notifier-error-inject g_serial usb_f_acm dummy_hcd || true";

const MS: u64 = 1_000_000;

/// Captures the scenario, and checks all of it. `sync` is the stage in which this kernel ends an
/// attempt when a source is active during its sync of the file systems.
pub fn check(device: &Device, sync: &str) -> Result<Trace> {
    let Captured { kernel, trace, waiter, failed_device } = capture(device)?;
    same_as_ftrace(
        &kernel,
        &trace,
        &[("source ", 30), ("wait ", 20), ("save ", 10), ("wakes", 1)],
    )?;
    let attempts = attempts::of(&kernel);
    same_attempts(&attempts, &attempts::of(&trace.events()?))?;
    let verdicts = verdict::of(&kernel, failed_device);
    every_end_occurred(&verdicts, sync)?;
    waits_occurred(&kernel, &attempts)?;
    lived_and_died(&trace)?;
    twins_are_two(&trace)?;
    let report = report(device)?;
    let ns = |key: &str| report["session"][key].as_u64().context("no session");
    let session = (ns("start_ns")?, ns("end_ns")?);
    let mut differences = Differences::default();
    differences.hooks(&report, &verdicts)?;
    differences.attempts(&report, &verdicts, &failed_steps(device)?)?;
    let (ledger, waits) = ledger::of(&kernel, &verdicts, session, waiter);
    let slack = Slack::new(&stamps_apart(&kernel, &trace.events()?))?;
    differences.time(&report, &waits, (&ledger, slack))?;
    differences.held(&report, &kernel, &verdicts)?;
    differences.none()?;
    Ok(trace)
}

struct Captured {
    kernel: Vec<Event>,
    trace: Trace,
    /// The thread that waited before.
    waiter: u32,
    /// The device that suspend_stats named before.
    failed_device: String,
}

/// ftrace has to be there first, as in the test of held times. Agent and workload have a CPU each, so
/// that none delays the other between ftrace's stamp and ours.
fn capture(device: &Device) -> Result<Captured> {
    device.sh(PREPARE)?;
    let failed_device = device.sh("cat /sys/power/suspend_stats/last_failed_dev")?;
    let waiting = Waiter::start(device, "since_before")?;
    let waiter = waiting.pid();
    let _ahead = Ahead::start(device)?;
    let ftrace = Ftrace::start_with_decisions(device, waiter)?;
    let agent = device.start("taskset 1 ./sleepwalkd record -o a.swk --interval 1s", "ready")?;
    let script =
        format!("{}; taskset 2 ./sleepwalk-workload scenario > scenario.jsonl", waiting.release());
    let ran = device.sh(&script);
    let stopped = agent.stop();
    let kernel = ftrace.stop()?;
    device.sh(RESTORE)?;
    ran?;
    stopped?;
    waiting.end()?;
    let trace = Trace::read(&device.pull("a.swk")?)?;
    ensure!(trace.complete(), "the trace has no end");
    Ok(Captured { kernel, trace, waiter, failed_device })
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
fn every_end_occurred(verdicts: &[Verdict], sync: &str) -> Result<()> {
    let ends = [
        // A notifier: after the sync and before the freezer.
        (true, -1, "prepare", "failed"),
        (true, -110, "prepare", "failed"),
        (false, -16, "prepare", "failed"),
        // `pm_test` at freezer and at devices: the kernel reports success.
        (true, 0, "freeze", "no_sleep"),
        (true, 0, "suspend", "no_sleep"),
        (true, -16, sync, "aborted"),
        (true, -16, "freeze", "aborted"),
        // The freezer gave up.
        (true, -16, "freeze", "failed"),
        // A device refused.
        (true, -16, "suspend", "failed"),
        (false, -16, "suspend", "failed"),
        (true, 0, "machine", "slept"),
        (false, 0, "machine", "slept"),
    ];
    let found = |armed, errno, stage: &str, outcome| {
        let found = |v: &Verdict| {
            (v.armed, v.attempt.errno, v.attempt.stage, v.outcome())
                == (armed, errno, stage, outcome)
        };
        verdicts.iter().any(found)
    };
    for (armed, errno, stage, outcome) in ends {
        let what = format!("{outcome} in {stage} with {errno}, armed: {armed}");
        ensure!(found(armed, errno, stage, outcome), "no attempt {what}: {verdicts:?}");
    }
    let among_devices =
        ["suspend", "suspend_late", "suspend_noirq"].iter().any(|s| found(true, -16, s, "aborted"));
    ensure!(among_devices, "no attempt aborted among the devices: {verdicts:?}");
    ensure!(verdicts.iter().any(|v| v.freeze_timeout), "no freeze timed out: {verdicts:?}");
    ensure!(verdicts.iter().any(|v| v.save_refused > 0), "no write was refused: {verdicts:?}");
    let longest = verdicts.iter().flat_map(|v| &v.attempt.machine_ns).map(|(b, e)| e - b).max();
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
    // A wait comes before most attempts.
    ensure!(
        waits.len() + 4 >= attempts.len(),
        "{} waits, {} attempts",
        waits.len(),
        attempts.len()
    );
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

/// The host's report on the trace.
fn report(device: &Device) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("a.swk");
    fs::write(&file, device.pull("a.swk")?)?;
    let output = device::sleepwalk(device)?
        .args(["report", "--format", "json", "--by", "name"])
        .arg(&file)
        .output()?;
    let printed = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "sleepwalk report: {printed}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// For each attempt, the step that suspend_stats counted as failed.
fn failed_steps(device: &Device) -> Result<Vec<Option<String>>> {
    let mut steps = Vec::new();
    for line in String::from_utf8_lossy(&device.pull("scenario.jsonl")?).lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        match line["event"].as_str() {
            Some("attempt_end") => steps.push(None),
            Some("step_failed") => {
                let last = steps.last_mut().context("a step failed before any attempt")?;
                *last = line["step"].as_str().map(str::to_owned);
            }
            _ => {}
        }
    }
    Ok(steps)
}
