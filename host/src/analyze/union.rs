//! When any of several sources was held.

use sleepwalk_trace::time::BootNanos;

use crate::report::Span;

/// The union of holds that come in order, in constant memory. Holds that touch are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Union {
    /// Holds in progress.
    depth: u32,
    /// The last stretch in which any was in progress.
    last: Option<Span>,
    /// The time in stretches before that.
    before_ns: u64,
    /// The longest stretch before that.
    longest: Option<Span>,
}

impl Union {
    /// A hold begins.
    pub fn begin(&mut self, at: BootNanos) {
        self.depth += 1;
        let goes_on = self.depth > 1 || self.last.is_some_and(|last| last.end_ns >= at);
        if !goes_on {
            self.before_ns = self.held_ns();
            self.longest = self.longest();
            self.last = Some(Span { start_ns: at, end_ns: at });
        }
    }

    /// A hold ends.
    pub fn end(&mut self, at: BootNanos) {
        self.depth = self.depth.saturating_sub(1);
        if let Some(last) = &mut self.last {
            last.end_ns = last.end_ns.max(at);
        }
    }

    /// How long any was in progress, once all have ended.
    pub fn held_ns(&self) -> u64 {
        self.before_ns.saturating_add(self.last.map_or(0, length))
    }

    /// The longest stretch in which any was; of equals the first.
    pub fn longest(&self) -> Option<Span> {
        let longer =
            |last: &Span| self.longest.is_none_or(|longest| length(*last) > length(longest));
        self.last.filter(longer).or(self.longest)
    }
}

fn length(span: Span) -> u64 {
    span.end_ns.since(span.start_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn union(holds: &[(u64, bool)]) -> (u64, Option<(u64, u64)>) {
        let mut union = Union::default();
        for &(at, begins) in holds {
            if begins { union.begin(BootNanos(at)) } else { union.end(BootNanos(at)) }
        }
        (union.held_ns(), union.longest().map(|span| (span.start_ns.0, span.end_ns.0)))
    }

    #[test]
    fn overlapping_holds_count_once() {
        let holds = [(0, true), (5, true), (7, false), (10, false), (12, true), (15, false)];
        assert_eq!(union(&holds), (13, Some((0, 10))));
    }

    #[test]
    fn holds_that_touch_are_one() {
        let holds = [(0, true), (5, false), (5, true), (9, false), (20, true), (28, false)];
        assert_eq!(union(&holds), (17, Some((0, 9))));
        assert_eq!(union(&[]), (0, None));
        assert_eq!(union(&[(3, true), (3, false)]), (0, Some((3, 3))));
    }
}
