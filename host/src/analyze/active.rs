//! The cost of the active sources at each instant.
//!
//! An edge costs the same however many sources there are: a running integral, [`Shares`], splits blocked
//! time among them. A source's share is what the integral grew by while it was active.

use std::collections::BTreeMap;

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
}

/// The cost of the sources of one name.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
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
}

/// The final charge of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocking {
    /// Its split of blocked time.
    pub share_ns: u64,
    /// Blocked time in which it alone was active.
    pub sole_ns: u64,
}

/// The cost of all sources, by their places in [`Held`].
#[derive(Debug, Default)]
pub struct Active {
    sources: Vec<Source>,
    groups: Vec<Group>,
    /// The sources active.
    now: Vec<u32>,
    groups_now: Vec<u32>,
    /// The sum of their counts.
    n: u32,
    real: Shares,
    maybe: Shares,
    /// Whether suspects are collected, and how often that has begun.
    watching: bool,
    window: u64,
    suspects: Vec<(u32, bool)>,
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
        for change in held.changes() {
            let slot = change.slot as usize;
            for new in &held.sources[self.sources.len().min(slot + 1)..=slot] {
                let (instance, group) = (new.instance, new.group);
                self.sources.push(Source { instance, group, ..Source::default() });
                let groups = self.groups.len().max(group as usize + 1);
                self.groups.resize(groups, Group::default());
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
        let shares = if maybe { &mut self.maybe } else { &mut self.real };
        shares.advance(ns, self.n);
        if self.n == 1 {
            let source = &mut self.sources[self.now[0] as usize];
            let account = if maybe { &mut source.maybe } else { &mut source.real };
            account.sole_ns += ns;
        }
        if let [group] = self.groups_now[..] {
            let group = &mut self.groups[group as usize];
            *(if maybe { &mut group.maybe_sole_ns } else { &mut group.sole_ns }) += ns;
        }
    }

    /// Blocked time passed in which no source was active.
    pub fn advance_idle(&mut self, ns: u64, maybe: bool) {
        let shares = if maybe { &mut self.maybe } else { &mut self.real };
        shares.advance(ns, 0);
    }

    /// Whether no source is active.
    pub fn idle(&self) -> bool {
        self.n == 0
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
        self.real.join(&self.maybe);
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
        self.maybe = Shares::default();
    }

    /// The shares in what may have been blocked time, by instance, in 2⁻³² ns.
    pub fn maybe_shares(&mut self) -> Vec<(u32, u128)> {
        self.settle_all();
        self.sources.iter().map(|source| (source.instance, source.maybe.share)).collect()
    }

    fn set(&mut self, slot: usize, count: u32) {
        let source = &mut self.sources[slot];
        let before = source.count;
        if before == count {
            return;
        }
        source.settle(&self.real, &self.maybe);
        if before == 0 {
            if source.stretch.0 != self.stretch {
                source.stretch = (self.stretch, source.real.share);
                self.touched.push(slot as u32);
            }
            source.place = self.now.len() as u32;
            self.now.push(slot as u32);
        } else if count == 0 {
            let place = source.place as usize;
            self.now.swap_remove(place);
            if let Some(&moved) = self.now.get(place) {
                self.sources[moved as usize].place = place as u32;
            }
        }
        let source = &mut self.sources[slot];
        source.count = count;
        self.n = self.n - before + count;
        let group = &mut self.groups[source.group as usize];
        let empty = group.count == 0;
        group.count = group.count - before + count;
        if empty {
            group.place = self.groups_now.len() as u32;
            self.groups_now.push(source.group);
        } else if group.count == 0 {
            let place = group.place as usize;
            self.groups_now.swap_remove(place);
            if let Some(&moved) = self.groups_now.get(place) {
                self.groups[moved as usize].place = place as u32;
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

    /// Those that are active now are suspect too.
    pub fn add_active(&mut self) {
        for index in 0..self.now.len() {
            self.suspect(self.now[index] as usize, false);
        }
    }

    fn suspect(&mut self, slot: usize, activated: bool) {
        if !self.watching {
            return;
        }
        let window = &mut self.sources[slot].window;
        if window.0 != self.window {
            *window = (self.window, self.suspects.len() as u32);
            self.suspects.push((slot as u32, activated));
        } else {
            self.suspects[window.1 as usize].1 |= activated;
        }
    }

    /// The suspects so far, in the order in which they came up.
    pub fn suspects(&self, held: &Held) -> Vec<Suspect> {
        let suspects = self.suspects.iter().map(|&(slot, activated)| {
            let instance = self.sources[slot as usize].instance;
            Suspect { instance, activated, shared: held.shared(slot) }
        });
        suspects.collect()
    }

    /// A stretch of waiting begins.
    pub fn open_stretch(&mut self) {
        self.stretch += 1;
        self.touched.clear();
        self.settle_all();
        for index in 0..self.now.len() {
            let slot = self.now[index];
            let source = &mut self.sources[slot as usize];
            source.stretch = (self.stretch, source.real.share);
            self.touched.push(slot);
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
        for &slot in &self.now {
            self.sources[slot as usize].settle(&self.real, &self.maybe);
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
        let (groups, mut left_ns) = shares::round(&groups, self.real.split_ns);
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

    /// The trace is over.
    pub fn finish(mut self, held: &Held) -> Blocked {
        self.settle_all();
        let (blocked, left_ns) = self.rounded_shares();
        let names = held.groups.iter().zip(&self.groups);
        let sources = self.sources.iter().zip(blocked);
        Blocked {
            sole_by_name: names.map(|(name, group)| (name.name, group.sole_ns)).collect(),
            blocking: sources
                .map(|(source, share_ns)| Blocking { share_ns, sole_ns: source.real.sole_ns })
                .collect(),
            blocked_ns: self.real.split_ns + self.real.nobody_ns,
            nobody_ns: self.real.nobody_ns + left_ns,
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
    /// Blocked time.
    pub blocked_ns: u64,
    /// The part of it in which no source was known to be active.
    pub nobody_ns: u64,
}

impl Source {
    fn settle(&mut self, real: &Shares, maybe: &Shares) {
        self.real.settle(real, self.count);
        self.maybe.settle(maybe, self.count);
    }
}
