//! The cost of the active sources at each instant.
//!
//! An edge costs the same however many sources there are: a running integral, [`Shares`], splits blocked
//! time among them. A source's share is what the integral grew by while it was active.
//!
//! Sources of a name that yields ([`Group::yields`](crate::session::held::Group)) are charged only while
//! no other is active. So there are two integrals, and blocked time goes to one of them.

use std::collections::BTreeMap;

use super::overlaps::Overlaps;
use super::shares::{self, Account, Shares};
use crate::session::held::{ChangeCause, Held};

/// The cost of one source.
#[derive(Clone, Debug, Default)]
struct Source {
    instance: u32,
    /// The place of its name's group.
    group: u32,
    /// Activations in progress: more than one only if it represents several sources.
    count: u32,
    real: Account,
    maybe: Account,
    /// The stretch of waiting in which it was last active, and its share when that began.
    stretch: (u64, u128),
    /// The window in which it was last a suspect, and its place among those.
    window: (u64, u32),
    /// Its place among the active.
    place: u32,
    /// The event by which it last became active.
    since: u64,
}

/// The cost of the sources of one name.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    yields: bool,
    count: u32,
    place: u32,
    sole_ns: u64,
    maybe_sole_ns: u64,
}

/// A source that may have kept an attempt from sleeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Which.
    pub instance: u32,
    /// It was activated within the window; else it had been active before.
    pub activated: bool,
    /// It may be another one of its name.
    pub shared: bool,
    /// It takes no blame from one that does not.
    pub yields: bool,
    /// The number of the event by which it came up. Those that one snapshot shows have the same.
    pub since: u64,
}

/// A suspect, by its place.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    slot: u32,
    activated: bool,
    since: u64,
}

/// The final charge of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocking {
    /// Its split of blocked time.
    pub share_ns: u64,
    /// Blocked time in which it alone was active, except for sources that yield to it.
    pub sole_ns: u64,
}

/// The sources that yield, or those that do not.
#[derive(Debug, Default)]
struct Side {
    /// The sources active.
    now: Vec<u32>,
    groups_now: Vec<u32>,
    /// The sum of their counts.
    n: u32,
    real: Shares,
    maybe: Shares,
}

/// The cost of all sources, by their places in [`Held`].
#[derive(Debug, Default)]
pub struct Active {
    sources: Vec<Source>,
    groups: Vec<Group>,
    /// Those that do not yield, and those that do.
    sides: [Side; 2],
    /// Names that blocked together.
    overlaps: Overlaps,
    maybe_overlaps: Overlaps,
    /// Events so far.
    events: u64,
    /// Whether suspects are collected, and how often that has begun.
    watching: bool,
    window: u64,
    suspects: Vec<Suspicion>,
    stretch: u64,
    touched: Vec<u32>,
}

impl Active {
    /// No source is active.
    pub fn new() -> Self {
        Self { window: 1, stretch: 1, ..Self::default() }
    }

    /// Takes the changes of the last event.
    pub fn follow(&mut self, held: &Held) {
        self.events += 1;
        for change in held.changes() {
            let slot = change.slot as usize;
            for new in &held.sources[self.sources.len().min(slot + 1)..=slot] {
                let (instance, group) = (new.instance, new.group);
                self.sources.push(Source { instance, group, ..Source::default() });
                let groups = self.groups.len().max(group as usize + 1);
                self.groups.resize(groups, Group::default());
            }
            let group = self.sources[slot].group;
            if held.groups[group as usize].yields && !self.groups[group as usize].yields {
                self.yields(group);
            }
            self.set(slot, change.after);
            match change.by {
                ChangeCause::Activation => self.suspect(slot, true),
                ChangeCause::Shown if change.after > 0 => self.suspect(slot, false),
                _ => {}
            }
        }
    }

    /// Blocked time passes. `maybe`: only later events show whether it was blocked.
    pub fn advance(&mut self, ns: u64, maybe: bool) {
        let side = &mut self.sides[usize::from(self.sides[0].n == 0)];
        let shares = if maybe { &mut side.maybe } else { &mut side.real };
        shares.advance(ns, side.n);
        if side.n == 1 {
            let source = &mut self.sources[side.now[0] as usize];
            let account = if maybe { &mut source.maybe } else { &mut source.real };
            account.sole_ns += ns;
        }
        if let [group] = side.groups_now[..] {
            let group = &mut self.groups[group as usize];
            *(if maybe { &mut group.maybe_sole_ns } else { &mut group.sole_ns }) += ns;
        } else {
            let overlaps = if maybe { &mut self.maybe_overlaps } else { &mut self.overlaps };
            overlaps.advance(ns, &side.groups_now);
        }
    }

    /// Blocked time passed in which no source was active.
    pub fn advance_idle(&mut self, ns: u64, maybe: bool) {
        let side = &mut self.sides[1];
        let shares = if maybe { &mut side.maybe } else { &mut side.real };
        shares.advance(ns, 0);
    }

    /// Whether no source is active.
    pub fn idle(&self) -> bool {
        self.sides.iter().all(|side| side.n == 0)
    }

    /// The time that may have been blocked was.
    pub fn confirm(&mut self) {
        self.settle_all();
        for source in &mut self.sources {
            source.real.share += source.maybe.share;
            source.real.sole_ns += source.maybe.sole_ns;
            // It belongs to another wait than the current stretch.
            source.stretch.1 += source.maybe.share;
        }
        for group in &mut self.groups {
            group.sole_ns += group.maybe_sole_ns;
        }
        for side in &mut self.sides {
            side.real.join(&side.maybe);
        }
        self.overlaps.join(std::mem::take(&mut self.maybe_overlaps));
        self.forget_maybe();
    }

    /// Whether the time was blocked stays unknown; it counts as not blocked.
    pub fn forget_maybe(&mut self) {
        self.settle_all();
        for source in &mut self.sources {
            source.maybe = Account::default();
        }
        for group in &mut self.groups {
            group.maybe_sole_ns = 0;
        }
        for side in &mut self.sides {
            side.maybe = Shares::default();
        }
        self.maybe_overlaps = Overlaps::default();
    }

    /// The shares in what may have been blocked time, by instance, in 2⁻³² ns.
    pub fn maybe_shares(&mut self) -> Vec<(u32, u128)> {
        self.settle_all();
        self.sources.iter().map(|source| (source.instance, source.maybe.share)).collect()
    }

    /// From here on the sources of this group yield.
    fn yields(&mut self, group: u32) {
        let of_group = |slot: &u32| self.sources[*slot as usize].group == group;
        let active: Vec<u32> = self.sides[0].now.iter().copied().filter(of_group).collect();
        let states = active.iter().map(|slot| {
            let Source { count, since, .. } = self.sources[*slot as usize];
            (*slot as usize, count, since)
        });
        let states: Vec<_> = states.collect();
        for &(slot, ..) in &states {
            self.set(slot, 0);
        }
        self.groups[group as usize].yields = true;
        for (slot, count, since) in states {
            self.set(slot, count);
            self.sources[slot].since = since;
        }
    }

    fn set(&mut self, slot: usize, count: u32) {
        let source = &mut self.sources[slot];
        let group = &mut self.groups[source.group as usize];
        let side = &mut self.sides[usize::from(group.yields)];
        let before = source.count;
        if before == count {
            return;
        }
        source.settle(side);
        if before == 0 {
            if source.stretch.0 != self.stretch {
                source.stretch = (self.stretch, source.real.share);
                self.touched.push(slot as u32);
            }
            source.since = self.events;
            source.place = side.now.len() as u32;
            side.now.push(slot as u32);
        }
        source.count = count;
        side.n = side.n - before + count;
        let empty = group.count == 0;
        group.count = group.count - before + count;
        if empty {
            group.place = side.groups_now.len() as u32;
            side.groups_now.push(source.group);
        } else if group.count == 0 {
            let place = group.place as usize;
            side.groups_now.swap_remove(place);
            if let Some(&moved) = side.groups_now.get(place) {
                self.groups[moved as usize].place = place as u32;
            }
        }
        if count == 0 {
            let place = source.place as usize;
            side.now.swap_remove(place);
            if let Some(&moved) = side.now.get(place) {
                self.sources[moved as usize].place = place as u32;
            }
        }
    }

    /// From here on a source that is active, or becomes so, is suspect.
    pub fn open_window(&mut self) {
        self.window += 1;
        self.watching = true;
        self.suspects.clear();
        self.add_active();
    }

    /// From here on no source becomes suspect.
    pub fn close_window(&mut self) {
        self.watching = false;
    }

    /// Those that are active now are suspect too, in the order in which they became so.
    pub fn add_active(&mut self) {
        let mut active: Vec<u32> = self.now().collect();
        active.sort_by_key(|slot| self.sources[*slot as usize].since);
        for slot in active {
            self.suspect(slot as usize, false);
        }
    }

    /// The sources active.
    fn now(&self) -> impl Iterator<Item = u32> + '_ {
        self.sides.iter().flat_map(|side| side.now.iter().copied())
    }

    fn suspect(&mut self, slot: usize, activated: bool) {
        if !self.watching {
            return;
        }
        let Source { window, since, .. } = &mut self.sources[slot];
        if window.0 != self.window {
            *window = (self.window, self.suspects.len() as u32);
            self.suspects.push(Suspicion { slot: slot as u32, activated, since: *since });
        } else {
            self.suspects[window.1 as usize].activated |= activated;
        }
    }

    /// The suspects so far, in the order in which they came up.
    pub fn suspects(&self, held: &Held) -> Vec<Suspect> {
        let suspects = self.suspects.iter().map(|&Suspicion { slot, activated, since }| {
            let instance = self.sources[slot as usize].instance;
            let (shared, yields) = (held.shared(slot), held.yields(slot));
            Suspect { instance, activated, shared, yields, since }
        });
        suspects.collect()
    }

    /// A stretch of waiting begins.
    pub fn open_stretch(&mut self) {
        self.stretch += 1;
        self.touched.clear();
        self.settle_all();
        for slot in self.sides.iter().flat_map(|side| &side.now) {
            let source = &mut self.sources[*slot as usize];
            source.stretch = (self.stretch, source.real.share);
            self.touched.push(*slot);
        }
    }

    /// The shares since the stretch began, by instance, in 2⁻³² ns.
    pub fn shares_in_stretch(&mut self) -> impl Iterator<Item = (u32, u128)> + '_ {
        self.settle_all();
        self.touched.iter().map(|slot| {
            let source = &self.sources[*slot as usize];
            (source.instance, source.real.share - source.stretch.1)
        })
    }

    fn settle_all(&mut self) {
        for side in &self.sides {
            for &slot in &side.now {
                self.sources[slot as usize].settle(side);
            }
        }
    }

    /// The shares in whole nanoseconds, by source, and the time left. Names are rounded first, then the
    /// sources of each: so neither has a share below the time in which it alone was active.
    fn rounded_shares(&self) -> (Vec<u64>, u64) {
        let mut members = vec![Vec::new(); self.groups.len()];
        for (slot, source) in self.sources.iter().enumerate() {
            members[source.group as usize].push((slot, source.real.at_least_sole()));
        }
        let of_group = |(members, group): (&Vec<(usize, u128)>, &Group)| {
            let sum = members.iter().map(|(_, share)| share).sum::<u128>();
            sum.max(shares::exact(group.sole_ns))
        };
        let groups: Vec<u128> = members.iter().zip(&self.groups).map(of_group).collect();
        let (groups, mut left_ns) = shares::round(&groups, self.split_ns());
        let mut rounded = vec![0; self.sources.len()];
        for (members, group_ns) in members.iter().zip(groups) {
            let shares: Vec<u128> = members.iter().map(|(_, share)| *share).collect();
            let (shares, left) = shares::round(&shares, group_ns);
            left_ns += left;
            for ((slot, _), share) in members.iter().zip(shares) {
                rounded[*slot] = share;
            }
        }
        (rounded, left_ns)
    }

    fn split_ns(&self) -> u64 {
        self.sides.iter().map(|side| side.real.split_ns).sum()
    }

    /// The trace is over.
    pub fn finish(mut self, held: &Held) -> Blocked {
        self.settle_all();
        let (blocked, left_ns) = self.rounded_shares();
        // Time is nobody's where there is none on the second side either.
        let nobody_ns = self.sides[1].real.nobody_ns;
        let blocked_ns = self.split_ns() + nobody_ns;
        let names = held.groups.iter().zip(&self.groups);
        let sources = self.sources.iter().zip(blocked);
        Blocked {
            sole_by_name: names.map(|(name, group)| (name.name, group.sole_ns)).collect(),
            overlaps: self.overlaps.by_name(|group| held.groups[group as usize].name),
            blocking: sources
                .map(|(source, share_ns)| Blocking { share_ns, sole_ns: source.real.sole_ns })
                .collect(),
            blocked_ns,
            nobody_ns: nobody_ns + left_ns,
        }
    }
}

/// All blocked time.
#[derive(Debug, Default)]
pub struct Blocked {
    /// By the source's place in [`Held`]; those that were never active may be missing.
    pub blocking: Vec<Blocking>,
    /// Blocked time in which only sources of one name were active, by the name's number.
    pub sole_by_name: BTreeMap<u32, u64>,
    /// Blocked time by the names active, where there were several.
    pub overlaps: Overlaps,
    /// Blocked time.
    pub blocked_ns: u64,
    /// The part of it in which no source was known to be active.
    pub nobody_ns: u64,
}

impl Source {
    /// `side`: the one that it is on.
    fn settle(&mut self, side: &Side) {
        self.real.settle(&side.real, self.count);
        self.maybe.settle(&side.maybe, self.count);
    }
}
