//! Holds by counters.
//!
//! Counters have how long a source was held in a stretch, and when it changed last. A source that was
//! active at the start of the stretch is placed from there on, any other up to its last change; what
//! began at the last change and goes on is exact. So all holds together are what the kernel counted.

use sleepwalk_trace::time::BootNanos;

use super::decode::View;
use super::held::Source;
use super::stretch::{ENDED, Hold, HoldKind};

/// A stretch by the clock that does not run in sleep, from 0 on.
pub struct Region {
    /// The parts awake.
    awake: Vec<(BootNanos, BootNanos)>,
    begin: BootNanos,
    end: BootNanos,
    length: u64,
    ends_awake: bool,
}

impl Region {
    pub fn new(
        begin: BootNanos,
        end: BootNanos,
        sleeps: &[(BootNanos, BootNanos)],
        asleep: Option<BootNanos>,
    ) -> Self {
        let mut awake = Vec::new();
        let mut from = begin;
        for (start, stop) in sleeps.iter().copied().chain(asleep.map(|since| (since, end))) {
            if start > from {
                awake.push((from, start.min(end)));
            }
            from = from.max(stop);
        }
        if asleep.is_none() && (from < end || awake.is_empty()) {
            awake.push((from, end));
        }
        let length = awake.iter().map(|(start, stop)| stop.since(*start)).sum();
        Self { awake, begin, end, length, ends_awake: asleep.is_none() }
    }

    /// The parts of an interval by CLOCK_BOOTTIME.
    fn parts(&self, (start, end): (u64, u64)) -> impl Iterator<Item = (BootNanos, BootNanos)> + '_ {
        let mut offset = 0;
        self.awake.iter().filter_map(move |(from, to)| {
            let (first, last) = (offset, offset + to.since(*from));
            offset = last;
            let (start, end) = (start.max(first), end.min(last));
            let at = |part: u64| BootNanos(from.0 + (part - first));
            (start < end).then(|| (at(start), at(end)))
        })
    }
}

/// Places what the counters of one source have.
pub struct Place<'a> {
    /// Its place.
    pub slot: u32,
    /// The source.
    pub source: &'a mut Source,
    /// The snapshot at the end of the stretch.
    pub view: &'a View,
    /// If it is new, it was born in the stretch.
    pub born: bool,
    /// Its holds are added here.
    pub holds: &'a mut Vec<Hold>,
}

impl Place<'_> {
    pub fn by_counters(&mut self, region: &Region) {
        let active = self.source.count > 0;
        let holder = &mut self.source.holder;
        holder.at_least |= holder.removed && holder.active;
        let (held, changed) = self.grown(region);
        // Since its last change; before that it was held for the rest.
        let tail = if active { held.min(region.length - changed) } else { 0 };
        let (head, last) = (held - tail, region.length - tail);
        let stop = match (self.source.holder.active, active) {
            (true, _) => head,
            (false, true) => last,
            (false, false) => changed.max(head),
        };
        let (first, second) = if stop == last {
            ((stop - head, region.length), (0, 0))
        } else {
            ((stop - head, stop), (last, region.length))
        };
        let parts = region.parts(first).chain(region.parts(second));
        let parts: Vec<_> = parts.collect();
        if parts.first().is_none_or(|(start, _)| *start > region.begin) {
            self.end(region.begin);
        }
        let goes_on = active && region.ends_awake;
        for (start, end) in parts {
            self.begin(start);
            if end < region.end || !goes_on {
                self.end(end);
            }
        }
        if goes_on {
            self.begin(region.end);
        }
    }

    fn begin(&mut self, at: BootNanos) {
        let before = self.source.holder.base.is_none() && !self.born;
        if self.source.holder.begin(at) {
            self.push(at, HoldKind::Began { before });
        }
    }

    fn end(&mut self, at: BootNanos) {
        if self.source.holder.end(at) {
            self.push(at, ENDED);
        }
    }

    fn push(&mut self, at: BootNanos, kind: HoldKind) {
        let (slot, instance) = (self.slot, self.source.instance);
        self.holds.push(Hold { at, slot, instance, kind, exact: false });
    }

    /// How long it was held in the stretch, beside what is placed, and when it changed last.
    fn grown(&self, region: &Region) -> (u64, u64) {
        let holder = &self.source.holder;
        if holder.removed {
            return (0, region.length);
        }
        let Some(index) = holder.listed else {
            let went_on = holder.base.is_some_and(|base| base.active) && !self.view.full;
            return (if went_on { region.length } else { 0 }, 0);
        };
        let state = &self.view.states[index].1;
        if state.torn() {
            return (0, region.length);
        }
        let now_ns = state.held_ns(self.view.now);
        let counted = match holder.base {
            Some(base) if state.counters.active_count < base.active_count => 0,
            Some(base) => now_ns.saturating_sub(base.held_ns),
            None if self.born => now_ns,
            // Since its activation at least.
            None if state.active() => self.view.now.0.saturating_sub(state.counters.last_ns),
            None => 0,
        };
        let open = holder.open.map_or(0, |since| region.begin.since(since));
        let held = counted.saturating_sub(holder.placed_ns + open).min(region.length);
        let ago = self.view.now.0.saturating_sub(state.counters.last_ns);
        (held, region.length.saturating_sub(ago))
    }
}
