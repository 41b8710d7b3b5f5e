//! Holds of user space against app wakelocks whose every acquire and release is known.

use std::collections::BTreeMap;

use sleepwalk_trace::time::BootNanos;

use super::Span;
use crate::import::AppHold;

/// App wakelocks that were held within an extent, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traced {
    /// From then on they are known.
    pub from: BootNanos,
    /// Until then.
    pub to: BootNanos,
    /// The holds, by their start.
    pub holds: Vec<AppHold>,
}

/// The app wakelocks within a hold of user space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Time in which any was held.
    pub any_ns: u64,
    /// The same, at each instant divided equally among those held, by the places in [`Traced::holds`].
    pub each: BTreeMap<usize, u64>,
}

/// A boundary; those that end come first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    HoldEnds,
    AppEnds(usize),
    AppBegins(usize),
    HoldBegins(usize),
}

impl Traced {
    /// Whether all app wakelocks within `hold` are known.
    pub fn covers(&self, hold: &Span) -> bool {
        self.from <= hold.start_ns && hold.end_ns <= self.to
    }

    /// The shares of each of `holds`, which do not overlap each other.
    pub fn shares(&self, holds: &[Span]) -> Vec<Shares> {
        let app = self.holds.iter().enumerate().flat_map(|(place, app)| {
            [(app.start_ns, Step::AppBegins(place)), (app.end_ns, Step::AppEnds(place))]
        });
        let user = holds.iter().enumerate().flat_map(|(place, hold)| {
            [(hold.start_ns, Step::HoldBegins(place)), (hold.end_ns, Step::HoldEnds)]
        });
        let mut steps: Vec<_> = app.chain(user).collect();
        steps.sort_unstable();
        let mut shares = vec![Shares::default(); holds.len()];
        let (mut hold, mut active, mut last) = (None, Vec::<usize>::new(), BootNanos(0));
        for (at, step) in steps {
            let length = at.since(last);
            last = at;
            if let Some(share) = hold.and_then(|hold: usize| shares.get_mut(hold))
                && let Some(each) = length.checked_div(active.len() as u64)
            {
                share.any_ns += length;
                for place in active.iter().filter(|_| length > 0) {
                    *share.each.entry(*place).or_default() += each;
                }
            }
            match step {
                Step::HoldBegins(place) => hold = Some(place),
                Step::HoldEnds => hold = None,
                Step::AppBegins(place) => active.push(place),
                Step::AppEnds(place) => active.retain(|other| *other != place),
            }
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(start: u64, end: u64) -> AppHold {
        AppHold {
            start_ns: BootNanos(start),
            end_ns: BootNanos(end),
            tag: "a".to_owned(),
            pid: None,
            uid: None,
        }
    }

    #[test]
    fn time_is_divided_at_each_instant() {
        let traced = Traced {
            from: BootNanos(0),
            to: BootNanos(100),
            holds: vec![app(0, 30), app(20, 60), app(90, 100)],
        };
        let span = |start, end| Span { start_ns: BootNanos(start), end_ns: BootNanos(end) };
        let holds = [span(10, 40), span(60, 90), span(95, 101)];
        assert!(traced.covers(&holds[0]) && !traced.covers(&holds[2]));
        let shares = traced.shares(&holds);
        // Alone from 10 to 20, both from 20 to 30, the other alone from 30 to 40.
        assert_eq!((shares[0].any_ns, &shares[0].each), (30, &BTreeMap::from([(0, 15), (1, 15)])));
        assert_eq!(shares[1], Shares::default());
        assert_eq!((shares[2].any_ns, &shares[2].each), (5, &BTreeMap::from([(2, 5)])));
    }
}
