//! Analysis → report.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{
    Attempt, Blocker, By, Cause, Drain, Finding, Ledger, Name, Overhead, Power, Reading, Report,
    SCHEMA, Session, Source, Span, Step, Wait, Wake, WakeSource, Walks,
};
use sleepwalk_trace::record::PowerSupply;
use sleepwalk_trace::time::BootNanos;

use crate::analyze::attempts::{self, Evidence, Mode, Outcome, Stage};
use crate::analyze::findings::{self, Severity};
use crate::analyze::ledger::{self, Charge};
use crate::analyze::sources::Tally;
use crate::analyze::{Analysis, spans, waits};
use crate::session::decode::Model;

/// The report with the `top` most costly sources, or all.
pub fn build(analysis: &Analysis, by: By, top: Option<usize>) -> Report {
    let model = &analysis.model;
    let mut sources = match by {
        By::Instance => by_instance(analysis),
        By::Name => by_name(analysis),
    };
    let findings = findings::findings(analysis);
    sources.sort_by(|a, b| rank(a).cmp(&rank(b)));
    let kept = top.unwrap_or(usize::MAX).min(sources.len());
    let sources_left_out = (sources.len() - kept) as u64;
    sources.truncate(kept);
    let attempts = analysis.attempts.iter().enumerate();
    Report {
        schema: SCHEMA,
        session: session(analysis),
        ledger: Ledger {
            asleep_ns: analysis.ledger.asleep_ns,
            suspending_ns: analysis.ledger.suspending_ns,
            resuming_ns: analysis.ledger.resuming_ns,
            aborted_ns: analysis.ledger.aborted_ns,
            blocked_ns: analysis.ledger.blocked_ns,
            not_trying_ns: analysis.ledger.not_trying_ns,
            untold_ns: untold_ns(&analysis.ledger),
            unattributed_ns: analysis.ledger.unattributed_ns,
        },
        attempts: attempts.map(|(index, a)| attempt(model, index as u64, a)).collect(),
        waits: analysis.waits.iter().map(|wait| self::wait(model, wait)).collect(),
        sources,
        sources_left_out,
        power: power(analysis),
        overhead: model.overhead.map(|o| Overhead {
            agent_cpu_ns: o.cpu_ns,
            agent_start_cpu_ns: model.started.unwrap_or(o).cpu_ns.min(o.cpu_ns),
            snapshots: Walks {
                count: o.snapshots,
                total_ns: o.snapshots_ns,
                max_ns: o.snapshot_max_ns,
            },
            bytes_written: o.bytes_written,
        }),
        findings: findings.into_iter().map(finding).collect(),
    }
}

/// Null where there is none of it and there need not be.
fn untold_ns(ledger: &ledger::Ledger) -> Option<u64> {
    (ledger.blocked_ns.is_none() || ledger.untold_ns > 0).then_some(ledger.untold_ns)
}

fn finding(finding: findings::Finding) -> Finding {
    Finding {
        severity: match finding.severity {
            Severity::High => "high",
            Severity::Medium => "medium",
            Severity::Low => "low",
        },
        text: finding.text,
        sources: finding.sources,
        gain_ns: finding.gain_ns,
    }
}

/// The most costly first, then those held longest; the rest keeps equals in one order.
///
/// How much of what a source held did block the device can't be told without edges and waits, so all
/// of it counts then: a source that is held for hours must not stand behind one that aborted an
/// attempt. What it held and the time awake after its wakes are mostly the same time, so the longer
/// counts.
fn rank(source: &Source) -> impl Ord + '_ {
    let Source { abort_ns, after_wake_ns, held_ns, name, instance, .. } = source;
    let cost_ns = match source.blocked_share_ns {
        Some(_) => source.cost_ns,
        None => abort_ns.saturating_add(*held_ns.max(after_wake_ns)),
    };
    (Reverse((cost_ns, *held_ns)), &name.bytes, *instance)
}

fn session(analysis: &Analysis) -> Session {
    let model = &analysis.model;
    let told = model.session.clone().unwrap_or_default();
    Session {
        start_ns: model.start.0,
        end_ns: model.end.0,
        duration_ns: model.duration_ns(),
        start_realtime_ns: model.start_real().0,
        device: told.device,
        kernel: told.kernel,
        machine: told.machine,
        boot_id: told.boot_id,
        fingerprint: told.fingerprint,
        serial: told.serial,
        agent: told.agent,
        source: told.source,
        hooks: told
            .hooks
            .into_iter()
            .map(|h| super::Hook { what: h.what, how: h.how, why: h.why })
            .collect(),
        edges: told.edges,
        snapshots: model.snapshots,
        records: model.records,
        lost_events: model.lost_events,
        dropped_chunks: model.dropped_chunks,
        truncated_snapshots: model.truncated_snapshots,
        orphaned_snapshots: model.orphaned_snapshots,
        late_snapshots: analysis.late_snapshots,
        torn_states: analysis.torn_states,
        damaged_bytes: model.damage.bytes,
        missing_chunks: model.damage.missing_chunks,
        bad_records: model.damage.bad_records,
        unknown_records: model.damage.unknown_records,
        end_reason: model.finish.as_ref().map(|end| end.reason.clone()),
        complete: model.complete(),
    }
}

fn attempt(model: &Model, index: u64, attempt: &attempts::Attempt) -> Attempt {
    let cause = |cause: &attempts::Cause| Cause {
        name: Name::new(model.name(cause.instance)),
        instance: cause.instance,
        evidence: evidence(cause.evidence),
    };
    let slept = attempt.outcome == Outcome::Slept;
    Attempt {
        index,
        start_ns: attempt.start.0,
        end_ns: attempt.end.0,
        mode: mode(attempt.mode),
        outcome: outcome(attempt.outcome),
        stage: stage(attempt.stage),
        errno: attempt.errno,
        slept_ns: attempt.slept_ns(),
        steps: attempt
            .steps
            .iter()
            .map(|step| Step {
                step: step.name,
                start_ns: step.start.0,
                end_ns: step.end.map(|end| end.0),
            })
            .collect(),
        s2idle_entries: if attempt.mode == Mode::S2idle { attempt.entries } else { 0 },
        causes: attempt.causes.iter().map(cause).collect(),
        wake: slept.then(|| Wake {
            irq: attempt.irq,
            irq_name: attempt.irq.and_then(|irq| irq_name(model, irq)),
            source: attempt.wake.map(|wake| WakeSource {
                name: Name::new(model.name(wake.instance)),
                instance: wake.instance,
            }),
            evidence: evidence(attempt.wake.map_or(Evidence::Unknown, |wake| wake.evidence)),
        }),
    }
}

/// What an interrupt is called: its handlers' names, else its controller's.
fn irq_name(model: &Model, irq: u32) -> Option<String> {
    let known = model.irqs.get(&irq)?;
    let names = [model.text(known.name), model.text(known.chip)];
    let name = names.into_iter().find(|name| !name.is_empty())?;
    Some(String::from_utf8_lossy(name).into_owned())
}

fn wait(model: &Model, wait: &waits::Wait) -> Wait {
    let blocker = |&(instance, share_ns): &(u32, u64)| Blocker {
        name: Name::new(model.name(instance)),
        instance,
        share_ns,
    };
    Wait {
        start_ns: wait.start.0,
        end_ns: wait.end.0,
        thread: wait.thread,
        idle: wait.idle,
        blockers: wait.blockers.iter().map(blocker).collect(),
    }
}

fn power(analysis: &Analysis) -> Power {
    let (model, power) = (&analysis.model, &analysis.power);
    let text = |id| String::from_utf8_lossy(model.text(id)).into_owned();
    let reading = |(at, supply): &(BootNanos, PowerSupply)| Reading {
        at_ns: at.0,
        name: Name::new(model.text(supply.name)),
        kind: text(supply.kind),
        status: text(supply.status),
        capacity: supply.capacity,
        charge_uah: supply.charge_uah,
        current_ua: supply.current_ua,
        online: supply.online.map(|online| online > 0),
    };
    Power {
        readings: power.readings.iter().map(reading).collect(),
        charger_ns: power.charger_ns(),
        charger: power.charger.iter().map(span).collect(),
        drain: power.drain.map(|d| Drain {
            asleep_ns: d.asleep_ns,
            asleep_uah: d.asleep_uah,
            awake_ns: d.awake_ns,
            awake_uah: d.awake_uah,
        }),
    }
}

fn span(&(start, end): &spans::Span) -> Span {
    Span { start_ns: start.0, end_ns: end.0 }
}

fn by_instance(analysis: &Analysis) -> Vec<Source> {
    let mut addresses = BTreeMap::new();
    let sources = analysis.sources.iter().zip(&analysis.charges).zip(&analysis.spans);
    sources
        .map(|((tally, charge), held)| {
            let known = analysis.model.sources.get(&tally.instance);
            let next = addresses.len() as u32;
            let mut source = source(&analysis.model, tally);
            source.instance = Some(tally.instance);
            source.address_id = known.map(|def| *addresses.entry(def.address).or_insert(next));
            source.spans = held.iter().map(span).collect();
            source.charged(charge, analysis.ledger.blocked_ns.is_some())
        })
        .collect()
}

fn by_name(analysis: &Analysis) -> Vec<Source> {
    let model = &analysis.model;
    let mut sources = BTreeMap::<&[u8], Source>::new();
    for (tally, held) in analysis.sources.iter().zip(&analysis.spans) {
        let mut one = source(model, tally);
        one.spans = held.iter().map(span).collect();
        match sources.get_mut(model.name(tally.instance)) {
            Some(sum) => sum.add(one),
            None => {
                sources.insert(model.name(tally.instance), one);
            }
        }
    }
    let charges = analysis.charges_by_name();
    let charged = sources.into_iter().map(|(name, source)| {
        let charge = charges.get(name).copied().unwrap_or_default();
        source.charged(&charge, analysis.ledger.blocked_ns.is_some())
    });
    charged.collect()
}

fn source(model: &Model, tally: &Tally) -> Source {
    Source {
        name: Name::new(model.name(tally.instance)),
        name_cut: model.sources.get(&tally.instance).is_some_and(|def| def.name_cut),
        instance: None,
        instances: 1,
        address_id: None,
        first_ns: tally.first.0,
        last_ns: tally.last.0,
        born: tally.born,
        died: tally.died,
        held_ns: tally.held_ns,
        blocked_share_ns: None,
        blocked_sole_ns: None,
        aborts: 0,
        abort_ns: 0,
        wakes: 0,
        after_wake_ns: 0,
        cost_ns: 0,
        activations: tally.activations,
        events: tally.events,
        expiries: tally.expiries,
        active_at_end: tally.active,
        spans: Vec::new(),
    }
}

impl Source {
    fn charged(mut self, charge: &Charge, told: bool) -> Self {
        self.blocked_share_ns = told.then_some(charge.blocked_share_ns);
        self.blocked_sole_ns = told.then_some(charge.blocked_sole_ns);
        self.aborts = charge.aborts;
        self.abort_ns = charge.abort_ns;
        self.wakes = charge.wakes;
        self.after_wake_ns = charge.after_wake_ns;
        self.cost_ns = charge.cost_ns();
        self
    }

    /// Another source of the name: born and died only if all of them were.
    fn add(&mut self, other: Self) {
        self.spans = merged(std::mem::take(&mut self.spans), other.spans);
        self.name_cut |= other.name_cut;
        self.instances += other.instances;
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
        self.born &= other.born;
        self.died &= other.died;
        self.held_ns = self.held_ns.saturating_add(other.held_ns);
        self.activations = self.activations.saturating_add(other.activations);
        self.events = self.events.saturating_add(other.events);
        self.expiries = self.expiries.saturating_add(other.expiries);
        self.active_at_end |= other.active_at_end;
    }
}

/// Spans of two sources as those in which either was held.
fn merged(mut spans: Vec<Span>, more: Vec<Span>) -> Vec<Span> {
    spans.extend(more);
    spans.sort_by_key(|span| (span.start_ns, span.end_ns));
    spans.dedup_by(|next, kept| {
        let touches = next.start_ns <= kept.end_ns;
        if touches {
            kept.end_ns = kept.end_ns.max(next.end_ns);
        }
        touches
    });
    spans
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::S2idle => "s2idle",
        Mode::Standby => "standby",
        Mode::Deep => "deep",
        Mode::Unknown => "unknown",
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Slept => "slept",
        Outcome::NoSleep => "no_sleep",
        Outcome::Aborted => "aborted",
        Outcome::Failed => "failed",
        Outcome::Unknown => "unknown",
    }
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Entry => "entry",
        Stage::Sync => "sync",
        Stage::Prepare => "prepare",
        Stage::Freeze => "freeze",
        Stage::DpmPrepare => "dpm_prepare",
        Stage::Suspend => "suspend",
        Stage::SuspendLate => "suspend_late",
        Stage::SuspendNoirq => "suspend_noirq",
        Stage::Machine => "machine",
    }
}

fn evidence(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::Proven => "proven",
        Evidence::Likely => "likely",
        Evidence::Unknown => "unknown",
    }
}
