//! The host's report against the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::ftrace::{Event, Kind};
use crate::ledger::{self, Ledger, Slack};
use crate::verdict::Verdict;

/// Held times may differ by so much per hold, at the median.
const HOLD_NS: u64 = 20_000;

/// Where report and kernel disagree.
#[derive(Debug, Default)]
pub struct Differences(Vec<String>);

impl Differences {
    fn same<T: PartialEq + Debug>(&mut self, what: &str, report: T, kernel: T) {
        if report != kernel {
            self.0.push(format!("{what}: the report has {report:?}, the kernel {kernel:?}"));
        }
    }

    fn near(&mut self, what: &str, report: &Value, kernel: u64, by: u64) {
        let near = report.as_u64().is_some_and(|ns| ns.abs_diff(kernel) <= by);
        println!("{what}: {report} ns, the kernel {kernel} ns");
        if !near {
            self.0.push(format!("{what}: the report has {report} ns, the kernel {kernel} ns"));
        }
    }

    /// An error where there is one.
    pub fn none(self) -> Result<()> {
        ensure!(self.0.is_empty(), "{}", self.0.join("\n"));
        Ok(())
    }

    /// No hook is in doubt, and the kernel's counts are those of the attempts.
    pub fn hooks(&mut self, report: &Value, kernel: &[Verdict]) -> Result<()> {
        let hooks = report["session"]["hooks"].as_array().context("the report has no hooks")?;
        for hook in hooks {
            self.same(&format!("hook {}", hook["what"]), hook["state"].as_str(), Some("recorded"));
        }
        let counts = &report["session"]["attempt_counts"];
        let failed = kernel.iter().filter(|verdict| verdict.attempt.errno != 0).count();
        for (outcome, count) in [("success", kernel.len() - failed), ("fail", failed)] {
            for who in ["kernel", "returned"] {
                let key = format!("{who}_{outcome}");
                self.same(&key, counts[&key].as_u64(), Some(count as u64));
            }
        }
        Ok(())
    }

    /// Each attempt: how it came out, why, and who is to blame. `steps` are the steps that suspend_stats
    /// counted as failed.
    pub fn attempts(
        &mut self,
        report: &Value,
        kernel: &[Verdict],
        steps: &[Option<String>],
    ) -> Result<()> {
        let attempts = report["attempts"].as_array().context("the report has no attempts")?;
        self.same("attempts", attempts.len(), kernel.len());
        self.same("attempts of the workload", steps.len(), kernel.len());
        for (n, ((report, kernel), step)) in attempts.iter().zip(kernel).zip(steps).enumerate() {
            let n = n + 1;
            let text = |key: &str| report[key].as_str();
            let is = |what: &str| format!("{what} of attempt {n}");
            let attempt = &kernel.attempt;
            self.same(&is("errno"), report["errno"].as_i64(), Some(attempt.errno.into()));
            self.same(&is("stage"), text("stage"), Some(attempt.stage));
            self.same(&is("armed"), report["armed"].as_bool(), Some(kernel.armed));
            let refused = report["save_refused"].as_u64();
            self.same(&is("refused writes"), refused, Some(kernel.save_refused));
            self.same(&is("failed step"), text("failed_step"), step.as_deref());
            let timed_out = report["freeze_timeout"].as_bool();
            self.same(&is("freeze time-out"), timed_out, Some(kernel.freeze_timeout));
            if kernel.failed_device.is_some()
                && !kernel.device_is_new
                && text("failed_device").is_none()
            {
                // Nothing that the agent can read distinguishes it from a wakeup.
                continue;
            }
            self.same(&is("outcome"), text("outcome"), Some(kernel.outcome()));
            self.same(&is("device"), text("failed_device"), kernel.failed_device.as_deref());
            let (causes, proven) = causes(report);
            self.same(&is("culprits"), &causes, &culprits(kernel));
            self.same(&is("culprits are proven"), proven, true);
        }
        Ok(())
    }

    /// The waits of each thread, and each line of the ledger.
    pub fn time(
        &mut self,
        report: &Value,
        kernel_waits: &[ledger::Wait],
        (ledger, slack): (&Ledger, Slack),
    ) -> Result<()> {
        let waits = report["waits"].as_array().context("the report has no waits")?;
        let mut ours = BTreeMap::<u64, (u64, u64)>::new();
        for wait in waits {
            let ns = |key: &str| wait[key].as_u64().with_context(|| format!("a wait's {key}"));
            let sum = ours.entry(ns("thread")?).or_default();
            *sum = (sum.0 + 1, sum.1 + ns("end_ns")? - ns("start_ns")?);
        }
        let mut kernel = BTreeMap::<u64, (u64, u64)>::new();
        for wait in kernel_waits {
            let sum = kernel.entry(wait.thread.into()).or_default();
            *sum = (sum.0 + 1, sum.1 + wait.span_ns.1 - wait.span_ns.0);
        }
        let counts = |waits: &BTreeMap<u64, (u64, u64)>| {
            waits.iter().map(|(thread, (count, _))| (*thread, *count)).collect::<Vec<_>>()
        };
        self.same("waits by thread", counts(&ours), counts(&kernel));
        for (thread, (_, kernel)) in &kernel {
            let ours = ours.get(thread).map(|(_, ns)| *ns).into();
            self.near(&format!("waits of thread {thread}"), &ours, *kernel, slack.waits);
        }
        for (name, kernel, slack) in [
            ("asleep_ns", ledger.asleep, slack.attempts),
            ("suspending_ns", ledger.suspending, slack.attempts),
            ("resuming_ns", ledger.resuming, slack.attempts),
            ("aborted_ns", ledger.aborted, slack.attempts),
            ("blocked_ns", ledger.blocked, slack.waits),
            ("user_space_ns", ledger.user_space, slack.user_space),
            ("backoff_ns", ledger.backoff, slack.backoff),
        ] {
            self.near(name, &report["ledger"][name], kernel, slack);
        }
        self.same("unknown_ns", report["ledger"]["unknown_ns"].as_u64().unwrap_or(0), 0);
        Ok(())
    }

    /// How long each name was held, without sleep.
    pub fn held(&mut self, report: &Value, events: &[Event], kernel: &[Verdict]) -> Result<()> {
        let start = report["session"]["start_ns"].as_u64().context("no session")?;
        let sources = report["sources"].as_array().context("the report has no sources")?;
        let mut per_hold = Vec::new();
        for (name, (holds, held)) in held(events, start, kernel) {
            let ours = sources.iter().find(|source| source["name"] == name.as_str());
            let ours = ours.with_context(|| format!("{name} is not in the report"))?;
            let ours = ours["held_ns"].as_u64().with_context(|| format!("{name}: no held_ns"))?;
            let apart = ours.abs_diff(held) / holds;
            println!("held {name}: {holds} times, {ours} ns, the kernel {held} ns");
            per_hold.push((apart, name));
        }
        per_hold.sort();
        let median = per_hold.get(per_hold.len() / 2).context("nothing was held")?;
        if median.0 > HOLD_NS {
            self.0.push(format!("held times differ per hold by {per_hold:?} ns"));
        }
        Ok(())
    }
}

/// The names that the report blames, and whether all are proven.
fn causes(attempt: &Value) -> (BTreeSet<String>, bool) {
    let causes = attempt["causes"].as_array().map_or(&[][..], Vec::as_slice);
    let names = causes.iter().filter_map(|cause| cause["name"].as_str()).map(str::to_owned);
    (names.collect(), causes.iter().all(|cause| cause["evidence"] == "proven"))
}

/// The names that it should blame. `eventpoll` hands over what another source reports.
fn culprits(verdict: &Verdict) -> BTreeSet<String> {
    let mut culprits = verdict.culprits.clone();
    // s2idle reports success where a wakeup is pending before it sleeps.
    if !["aborted", "no_sleep"].contains(&verdict.outcome()) {
        culprits.clear();
    } else if culprits.len() > 1 {
        culprits.remove("eventpoll");
    }
    culprits
}

/// By name: how often, and how long in ns without sleep, any source of it was held from start to end.
fn held(events: &[Event], start: u64, kernel: &[Verdict]) -> BTreeMap<String, (u64, u64)> {
    let slept = kernel.iter().filter(|verdict| verdict.attempt.outcome() == "slept");
    let machine: Vec<_> = slept.flat_map(|verdict| verdict.attempt.machine_ns.clone()).collect();
    let mut active: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut held: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for Event { at_ns, kind } in events {
        let Kind::Edge { name, active: up, .. } = kind else { continue };
        // One that begins with its deactivation was active at the start.
        let (count, since) = active.entry(name).or_insert((u64::from(!up), start));
        if *up {
            if *count == 0 {
                *since = *at_ns;
            }
            *count += 1;
            continue;
        }
        *count = count.saturating_sub(1);
        if *count == 0 {
            let span = *since..*at_ns;
            let asleep = machine
                .iter()
                .map(|(from, to)| (*to).min(span.end).saturating_sub((*from).max(span.start)));
            let sum = held.entry(name.clone()).or_default();
            sum.0 += 1;
            sum.1 += span.end - span.start - asleep.sum::<u64>();
        }
    }
    held
}
