//! The ordered stream of a session → findings.
//!
//! [`fold`] hands each event to the parts that it concerns: [`attempts`], [`active`], [`waits`] and
//! [`sources`] follow the session, [`causes`] joins attempts to snapshots, [`kernel_counts`] to the
//! kernel's own counts, [`ledger`] adds up. All of
//! it happens as the events come by, so memory grows with sources, attempts and waits, and not with
//! edges.

pub mod activators;
pub mod active;
pub mod armed;
pub mod attempts;
pub mod causes;
pub mod clocks;
pub mod findings;
pub mod fold;
pub mod join;
pub mod kernel_counts;
pub mod ledger;
pub mod overlaps;
pub mod power;
pub mod shares;
pub mod sources;
pub mod spans;
pub mod suspend_loop;
pub mod tally;
pub mod union;
pub mod waits;
pub mod wake_reasons;
pub mod wakes;

use std::collections::{BTreeMap, BTreeSet};

use crate::report::{
    Attempt, Counted, Culprit, Ledger, Power, Source, Span, Sum, Traced, Wait, add_known,
};
use crate::session::decode::{Model, Unreadable};
use crate::session::order;
use fold::Fold;
use overlaps::Overlaps;
use suspend_loop::Refusal;

/// The findings of a trace.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    /// The decoded session.
    pub model: Model,
    /// Every suspend attempt, sorted by start, none overlapping another. Sources are known by their
    /// number alone: `report` resolves the names.
    pub attempts: Vec<Attempt>,
    /// Every wait for the wakeup count, sorted by start.
    pub waits: Vec<Wait>,
    /// Every source by its number, with its cost; for a drawing, with its holds as well. `report`
    /// resolves the names.
    pub sources: BTreeMap<u32, Source>,
    /// The activity of each source by what activated it; empty where that is not recorded.
    pub activators: activators::Parts,
    /// Facts on all sources of a name, by the name's number.
    pub names: BTreeMap<u32, NameFacts>,
    /// Blocked time by the names active, where there were several.
    pub overlaps: Overlaps,
    /// The kernel's counts of attempts, and ours; `None` where the kernel has none.
    pub counted: Option<Counted>,
    /// Where the time went.
    pub ledger: Ledger,
    /// Times in which only user space kept the device awake: the kernel was ready, and the count was not written.
    pub user_space: Vec<Span>,
    /// App wakelocks out of another trace, which `import` merges; `None` otherwise.
    pub traced: Option<Traced>,
    /// The writes of the count that the kernel refused.
    pub refusals: Vec<Refusal>,
    /// Time in which a thread may have been waiting: part of the unknown time.
    pub maybe_blocked_ns: u64,
    /// Sleep that the clocks show and no phase.
    pub clock_conflict_ns: u64,
    /// Batteries and chargers.
    pub power: Power,
    /// Attempts whose first snapshot came after the freeze began.
    pub late_snapshots: u64,
    /// Source states whose fields contradicted each other.
    pub torn_states: u64,
    /// Edges and snapshots that contradicted what was known, and activations that counters have and
    /// no edge showed: at least this many edges are missing.
    pub contradictions: u64,
    /// Time in which the active sources are in doubt: from the snapshot before a loss to that after.
    pub doubtful_ns: u64,
}

/// Facts on all sources of a name, beyond sums over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameFacts {
    /// Blocked time in which only they were active, except for sources that yield to them.
    pub sole_ns: u64,
    /// Time in which any of them was held.
    pub held_ns: u64,
    /// The longest such stretch without a break.
    pub longest: Option<Span>,
    /// Activations by edges; `None` where an edge is missing.
    pub activations: Option<u64>,
    /// They take neither time nor blame from others that are active with them.
    pub yields: bool,
}

impl Analysis {
    /// The names that yield to others.
    pub fn yielding(&self) -> BTreeSet<&[u8]> {
        let yielding = self.names.iter().filter(|(_, facts)| facts.yields);
        yielding.map(|(name, _)| self.model.text(*name)).collect()
    }

    /// The cost of all sources of each name; the other fields are 0.
    pub fn costs_by_name(&self) -> BTreeMap<&[u8], Sum> {
        let model = &self.model;
        let name = |culprit: Culprit<'_>| culprit.source().map(|instance| model.name(instance));
        let mut costs = ledger::costs_by(&self.attempts, &self.refusals, name);
        for (&instance, source) in &self.sources {
            let cost = costs.entry(model.name(instance)).or_default();
            add_known(&mut cost.blocked_share_ns, source.sum.blocked_share_ns);
        }
        for (&name, facts) in &self.names {
            if let Some(cost) = costs.get_mut(model.text(name)) {
                add_known(&mut cost.blocked_sole_ns, Some(facts.sole_ns));
            }
        }
        for cost in costs.values_mut() {
            // A source may have got its name only after it had been charged under none.
            let sole_ns = cost.blocked_sole_ns.unwrap_or(0);
            cost.blocked_sole_ns = cost.blocked_share_ns.map(|share_ns| share_ns.min(sole_ns));
            cost.total();
        }
        costs
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
