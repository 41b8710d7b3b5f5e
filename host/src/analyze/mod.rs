//! Model → findings, in memory only.
//!
//! [`order`] puts events in the order of their stamps, and [`fold`] hands each of them to those
//! whom it concerns: [`attempts`], [`active`], [`waits`] and [`sources`] fold over them, [`causes`]
//! joins attempts to snapshots, [`ledger`] adds up. Everything is done as the events come by, so that
//! memory grows with sources, attempts and waits, and not with edges. Stamps come from a file and may
//! be anything: none goes back on its way through, so that no nanosecond is counted twice.

pub mod active;
pub mod attempts;
pub mod causes;
pub mod findings;
pub mod fold;
pub mod ledger;
pub mod order;
pub mod power;
pub mod shares;
pub mod slept;
pub mod sources;
pub mod spans;
pub mod waits;

use std::collections::BTreeMap;

use crate::report::{Attempt, Ledger, Power, Wait};
use crate::session::decode::{Event, Model, Unreadable};
use attempts::step_name;
use fold::Fold;
use ledger::Charge;
use order::What;
use sources::Tally;
use spans::Span;

/// What a trace comes to.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    /// The decoded session.
    pub model: Model,
    /// Every attempt to suspend, sorted by start, none overlapping another. Sources are known by their
    /// number alone: `report` resolves the names.
    pub attempts: Vec<Attempt>,
    /// Every wait for the wakeup count, sorted by start.
    pub waits: Vec<Wait>,
    /// Every source, by instance.
    pub sources: Vec<Tally>,
    /// What each source cost, in the order of `sources`.
    pub charges: Vec<Charge>,
    /// When each source was held, in the order of `sources`; empty unless asked for.
    pub spans: Vec<Vec<Span>>,
    /// Blocked time in which only sources of one name were active, by the name's number.
    pub sole_by_name: BTreeMap<u32, u64>,
    /// Where the time went.
    pub ledger: Ledger,
    /// Batteries and chargers.
    pub power: Power,
    /// Attempts of which the begin's snapshot came after the freeze began.
    pub late_snapshots: u64,
    /// Source states whose fields contradicted each other.
    pub torn_states: u64,
    /// Edges and snapshots that contradicted what was known, and activations that counters have and
    /// no edge told: so many edges are missing, at least.
    pub contradictions: u64,
    /// Time for which it is in doubt who was active: from the snapshot before a loss to that after.
    pub doubtful_ns: u64,
}

impl Analysis {
    /// What all sources of each name cost.
    pub fn charges_by_name(&self) -> BTreeMap<&[u8], Charge> {
        let model = &self.model;
        let mut charges = ledger::charge_by(&self.attempts, |instance| model.name(instance));
        for (tally, charge) in self.sources.iter().zip(&self.charges) {
            let sum = charges.entry(model.name(tally.instance)).or_default();
            sum.blocked_share_ns = sum.blocked_share_ns.saturating_add(charge.blocked_share_ns);
        }
        for (&name, &ns) in &self.sole_by_name {
            if let Some(charge) = charges.get_mut(model.text(name)) {
                charge.blocked_sole_ns = charge.blocked_sole_ns.saturating_add(ns);
            }
        }
        for charge in charges.values_mut() {
            // A source may have got its name only after it had been charged under none.
            charge.blocked_sole_ns = charge.blocked_sole_ns.min(charge.blocked_share_ns);
        }
        charges
    }
}

/// Decodes and analyzes the trace in `bytes`.
pub fn analyze(bytes: &[u8]) -> Result<Analysis, Unreadable> {
    analyze_to(bytes, false)
}

/// As [`analyze`]; to be `drawn`, it keeps when each source was held as well.
pub fn analyze_to(bytes: &[u8], drawn: bool) -> Result<Analysis, Unreadable> {
    let mut session = Fold::new(drawn);
    let mut readings = Vec::new();
    let model = Model::read_along(bytes, |model, event| {
        let (at, what) = match *event {
            Event::Snapshot(view) => (view.at, What::Snapshot(Box::new(order::Taken::new(&view)))),
            Event::Edge { at, source, active, shared } => {
                (at, What::Edge { source, active, shared })
            }
            Event::Phase { at, action, value, begin } => {
                (at, What::Phase { action: step_name(action), value, begin })
            }
            Event::Return { at, errno } => (at, What::Return { errno }),
            Event::WaitBegin { at, thread } => (at, What::WaitBegin { thread }),
            Event::WaitEnd { at, thread, idle } => (at, What::WaitEnd { thread, idle }),
            Event::Save { at, saved, .. } => (at, What::Save { saved }),
            Event::Wake { at, irq } => (at, What::Wake { irq }),
            Event::Lost { at, .. } | Event::Recap { at } => (at, What::Lost),
            Event::Gap => return session.gap(model),
            Event::Supply { at, supply } => return readings.push((at, *supply)),
            Event::SuspendStats { .. } => return,
        };
        session.take(model, at, what);
    })?;
    let mut analysis = session.finish(model);
    analysis.power = power::power(readings, &analysis.model, &analysis.attempts);
    Ok(analysis)
}
