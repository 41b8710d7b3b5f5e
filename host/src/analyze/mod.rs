//! The ordered stream of a session → findings.
//!
//! [`fold`] hands each event to the parts that it concerns: [`attempts`], [`active`], [`waits`] and
//! [`sources`] follow the session, [`causes`] joins attempts to snapshots, [`ledger`] adds up. All of
//! it happens as the events come by, so memory grows with sources, attempts and waits, and not with
//! edges.

pub mod active;
pub mod attempts;
pub mod causes;
pub mod findings;
pub mod fold;
pub mod ledger;
pub mod power;
pub mod shares;
pub mod sources;
pub mod spans;
pub mod waits;

use std::collections::BTreeMap;

use crate::report::{Attempt, Ledger, Power, Span, Wait};
use crate::session::decode::{Model, Unreadable};
use crate::session::order;
use fold::Fold;
use ledger::Charge;
use sources::Tally;

/// The findings of a trace.
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
    /// The cost of each source, in the order of `sources`.
    pub charges: Vec<Charge>,
    /// When each source was held, in the order of `sources`; empty unless asked for.
    pub spans: Vec<Vec<Span>>,
    /// Blocked time in which only sources of one name were active, by the name's number.
    pub sole_by_name: BTreeMap<u32, u64>,
    /// Where the time went.
    pub ledger: Ledger,
    /// Batteries and chargers.
    pub power: Power,
    /// Attempts whose first snapshot came after the freeze began.
    pub late_snapshots: u64,
    /// Source states whose fields contradicted each other.
    pub torn_states: u64,
    /// Edges and snapshots that contradicted what was known, and activations that counters have and
    /// no edge showed: so many edges are missing, at least.
    pub contradictions: u64,
    /// Time for which it is in doubt who was active: from the snapshot before a loss to that after.
    pub doubtful_ns: u64,
}

impl Analysis {
    /// The cost of all sources of each name.
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
    let mut fold = Fold::new(drawn);
    let model = order::read(bytes, |model, at, event| fold.event(model, at, event))?;
    Ok(fold.finish(model))
}
