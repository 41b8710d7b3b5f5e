//! Activations and held time of each source, by what activated it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use sleepwalk_trace::time::BootNanos;

use crate::session::stretch::{Hold, HoldKind};

/// The part of a source's activity that has one activator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Activations.
    pub activations: u64,
    /// Time held, in holds that began with one of them.
    pub held_ns: u64,
}

/// The parts of each source, by its instance and the activator's number; `None` where that is not known.
pub type Parts = BTreeMap<u32, BTreeMap<Option<u32>, Part>>;

/// The activators of holds, which become final some time after the activation that began them.
#[derive(Debug, Default)]
pub struct Begun {
    /// Activations whose holds are not final, by instance.
    waiting: HashMap<u32, VecDeque<(BootNanos, u32)>>,
}

impl Begun {
    /// A source was activated by this activator.
    pub fn activated(&mut self, at: BootNanos, source: u32, by: u32) {
        self.waiting.entry(source).or_default().push_back((at, by));
    }

    /// The activator at the start of a hold. Activations before it went into holds of their own, or began none.
    pub fn by(&mut self, hold: &Hold) -> Option<u32> {
        let waiting = self.waiting.get_mut(&hold.instance).filter(|_| hold.exact)?;
        while waiting.front().is_some_and(|(at, _)| *at < hold.at) {
            waiting.pop_front();
        }
        waiting.pop_front_if(|(at, _)| *at == hold.at).map(|(_, by)| by)
    }
}

/// Follows edges, and the holds that become final some time after them.
#[derive(Debug, Default)]
pub struct Activators {
    parts: Parts,
    begun: Begun,
    /// Holds in progress.
    open: HashMap<u32, (BootNanos, Option<u32>)>,
    any: bool,
}

impl Activators {
    /// A source was activated.
    pub fn activated(&mut self, at: BootNanos, source: u32, by: Option<u32>) {
        self.any |= by.is_some();
        if !self.any {
            return;
        }
        self.parts.entry(source).or_default().entry(by).or_default().activations += 1;
        if let Some(by) = by {
            self.begun.activated(at, source, by);
        }
    }

    /// Holds became final.
    pub fn follow(&mut self, holds: &[Hold]) {
        if !self.any {
            return;
        }
        for hold in holds {
            match hold.kind {
                HoldKind::Began { .. } => {
                    let by = self.begun.by(hold);
                    self.open.insert(hold.instance, (hold.at, by));
                }
                HoldKind::Ended { .. } => {
                    let Some((since, by)) = self.open.remove(&hold.instance) else { continue };
                    let parts = self.parts.entry(hold.instance).or_default();
                    parts.entry(by).or_default().held_ns += hold.at.since(since);
                }
                HoldKind::Appeared | HoldKind::Removed => {}
            }
        }
    }

    /// Everything, once the trace is over.
    pub fn finish(self) -> Parts {
        self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(at: u64, instance: u32, begins: bool) -> Hold {
        let kind = match begins {
            true => HoldKind::Began { before: false },
            false => HoldKind::Ended { unfinished: false },
        };
        Hold { at: BootNanos(at), slot: 0, instance, kind, exact: true }
    }

    fn part(activations: u64, held_ns: u64) -> Part {
        Part { activations, held_ns }
    }

    #[test]
    fn each_hold_has_the_activator_that_began_it() {
        let mut all = Activators::default();
        for (at, by) in [(10, Some(1)), (15, Some(2)), (30, Some(2)), (50, None)] {
            all.activated(BootNanos(at), 7, by);
        }
        // 15 was within the hold from 10 on.
        let holds = [(10, true), (20, false), (30, true), (37, false), (50, true), (55, false)];
        all.follow(&holds.map(|(at, begins)| hold(at, 7, begins)));
        let parts =
            BTreeMap::from([(Some(1), part(1, 10)), (Some(2), part(2, 7)), (None, part(1, 5))]);
        assert_eq!(all.finish(), BTreeMap::from([(7, parts)]));
    }

    #[test]
    fn a_hold_that_no_edge_began_has_none() {
        let mut all = Activators::default();
        all.activated(BootNanos(10), 7, Some(1));
        let by_counters = Hold { exact: false, ..hold(10, 7, true) };
        all.follow(&[by_counters, hold(20, 7, false), hold(30, 7, true), hold(32, 7, false)]);
        let parts = BTreeMap::from([(Some(1), part(1, 0)), (None, part(0, 12))]);
        assert_eq!(all.finish(), BTreeMap::from([(7, parts)]));
    }

    #[test]
    fn a_trace_without_activators_has_no_parts() {
        let mut all = Activators::default();
        all.activated(BootNanos(10), 7, None);
        all.follow(&[hold(10, 7, true), hold(20, 7, false)]);
        assert_eq!(all.finish(), Parts::new());
    }
}
