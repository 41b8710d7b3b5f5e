//! Model → findings, in memory only.
//!
//! [`attempts`] and [`sources`] fold over the trace's events, [`causes`] joins the two, and
//! [`ledger`] adds up. Stamps come from a file and may be anything: sums saturate, and attempts are
//! cut to fit the session and each other before they are summed.

pub mod attempts;
pub mod causes;
pub mod ledger;
pub mod sources;

use crate::model::{Event, Model, Unreadable};
use attempts::Attempt;
use ledger::{Charge, Ledger};
use sources::Tally;

/// What a trace comes to.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    /// The decoded session.
    pub model: Model,
    /// Every attempt to suspend, in order, none overlapping another.
    pub attempts: Vec<Attempt>,
    /// Every source, by instance.
    pub sources: Vec<Tally>,
    /// What each source cost, in the order of `sources`.
    pub charges: Vec<Charge>,
    /// Where the time went.
    pub ledger: Ledger,
    /// Attempts of which the begin's snapshot came after the freeze began.
    pub late_snapshots: u64,
    /// Source states whose fields contradicted each other.
    pub torn_states: u64,
}

/// Decodes and analyzes the trace in `bytes`.
pub fn analyze(bytes: &[u8]) -> Result<Analysis, Unreadable> {
    let mut attempts = attempts::Tracker::default();
    let mut sources = sources::Tracker::default();
    let mut causes = causes::Finder::default();
    let model = Model::read(bytes, |event| match *event {
        Event::Snapshot(view) => causes.snapshot(sources.snapshot(&view)),
        Event::Phase { at, action, value, begin } => {
            causes.ended(attempts.phase(at, action, value, begin));
        }
        Event::Return { at, errno } => causes.ended(attempts.returned(at, errno)),
        Event::Gap => {
            attempts.gap();
            sources.gap();
            causes.gap();
        }
        _ => {}
    })?;
    causes.ended(attempts.finish());
    let (mut attempts, late_snapshots) = causes.finish();
    attempts::settle(&mut attempts, model.start, model.end);
    let torn_states = sources.torn_states();
    let sources = sources.finish();
    let ledger = Ledger::new(&model, &attempts);
    let charges = ledger::charge(&attempts, sources.iter().map(|s| s.instance), model.end);
    Ok(Analysis { model, attempts, sources, charges, ledger, late_snapshots, torn_states })
}
