//! Which sources are active at each instant, and what each of them costs meanwhile.
//!
//! An edge costs the same however many sources there are. How blocked time is split among them is
//! told by a running integral, [`Shares`]: a source's share is what the integral grew by while it was
//! active.

use std::collections::BTreeMap;

use sleepwalk_trace::time::BootNanos;

use super::shares::{self, Account, Shares};
use super::spans::Spans;

/// One source.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Its instance.
    pub instance: u32,
    /// Its name, by [`Active::group`].
    group: u32,
    /// How often it is active: more than once only where it stands for several.
    count: u32,
    /// An edge of it was lost.
    pub doubtful: bool,
    /// When it became active, by the clock that stands still in sleep.
    since: u64,
    /// Time active.
    pub held_ns: u64,
    /// Activations by edges.
    pub activations: u64,
    /// First edge.
    pub first: Option<BootNanos>,
    /// Last edge.
    pub last: BootNanos,
    real: Account,
    maybe: Account,
    /// The stretch of waiting in which it was last active, and its share when that began.
    stretch: (u64, u128),
    /// The window in which it was last a suspect, and its place among those.
    window: (u64, u32),
    /// Its place among the active.
    place: u32,
    /// It was active when the trace ended.
    pub active_at_end: bool,
    /// When it was held.
    pub spans: Spans,
}

/// The sources of one name.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    name: u32,
    /// Some of them can't be told apart.
    shared: bool,
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
    /// It can't be told from others of its name.
    pub shared: bool,
}

/// What is charged to a source in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocking {
    /// Its split of blocked time.
    pub share_ns: u64,
    /// Blocked time in which it alone was active.
    pub sole_ns: u64,
}

/// All sources.
#[derive(Debug, Default)]
pub struct Active {
    sources: Vec<Source>,
    /// Where a source stands: by its instance where that is small, as the agent gives them.
    dense: Vec<u32>,
    sparse: BTreeMap<u32, u32>,
    groups: Vec<Group>,
    by_name: BTreeMap<u32, u32>,
    /// The sources active.
    now: Vec<u32>,
    groups_now: Vec<u32>,
    /// The sum of their counts.
    n: u32,
    /// Sources that can't be told from others of their name.
    pooled: Vec<u32>,
    real: Shares,
    maybe: Shares,
    /// Whether suspects are collected, and how often that has begun.
    watching: bool,
    window: u64,
    suspects: Vec<(u32, bool)>,
    stretch: u64,
    touched: Vec<u32>,
    draw: bool,
    doubt: bool,
    /// Edges so far.
    pub edges: u64,
    /// Edges and snapshots that contradicted what was known.
    pub contradictions: u64,
}

/// Instances up to here have a place of their own.
const DENSE: u32 = 1 << 20;

impl Active {
    /// With the spans in which each source was held.
    pub fn drawn(draw: bool) -> Self {
        Self { draw, window: 1, stretch: 1, ..Self::default() }
    }

    /// Where a source stands; `name` is asked for one that is new.
    fn slot(&mut self, instance: u32, name: impl FnOnce() -> u32) -> usize {
        let known = if instance < DENSE {
            self.dense.get(instance as usize).copied().filter(|slot| *slot != u32::MAX)
        } else {
            self.sparse.get(&instance).copied()
        };
        if let Some(slot) = known {
            return slot as usize;
        }
        let slot = self.sources.len() as u32;
        if instance < DENSE {
            let length = self.dense.len().max(instance as usize + 1);
            self.dense.resize(length, u32::MAX);
            self.dense[instance as usize] = slot;
        } else {
            self.sparse.insert(instance, slot);
        }
        let group = self.group(name());
        self.sources.push(Source { instance, group, ..Source::default() });
        if self.groups[group as usize].shared {
            self.pooled.push(slot);
        }
        slot as usize
    }

    /// The group of a name, which is given by its number.
    fn group(&mut self, name: u32) -> u32 {
        let next = self.groups.len() as u32;
        let group = *self.by_name.entry(name).or_insert(next);
        if group == next {
            self.groups.push(Group { name, ..Group::default() });
        }
        group
    }

    /// Blocked time goes by; `maybe` if whether it is will only turn out.
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

    /// What may have been blocked time was.
    pub fn confirm(&mut self) {
        self.settle_all();
        for source in &mut self.sources {
            source.real.share += source.maybe.share;
            source.real.sole_ns += source.maybe.sole_ns;
            // It is of another wait than the stretch under way.
            source.stretch.1 += source.maybe.share;
        }
        for group in &mut self.groups {
            group.sole_ns += group.maybe_sole_ns;
        }
        self.real.join(&self.maybe);
        self.forget_maybe();
    }

    /// What may have been blocked time was not, as far as will ever be known.
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

    /// Sets how often a source is active. `awake` is the clock that stands still in sleep.
    fn set(&mut self, slot: usize, count: u32, at: BootNanos, awake: u64) {
        let source = &mut self.sources[slot];
        let before = source.count;
        if before == count {
            return;
        }
        source.settle(&self.real, &self.maybe);
        if before == 0 {
            source.since = awake;
            if source.stretch.0 != self.stretch {
                source.stretch = (self.stretch, source.real.share);
                self.touched.push(slot as u32);
            }
            source.place = self.now.len() as u32;
            self.now.push(slot as u32);
            if self.draw {
                source.spans.begin(at);
            }
        } else if count == 0 {
            source.held_ns += awake.saturating_sub(source.since);
            let place = source.place as usize;
            if self.draw {
                source.spans.end(at);
            }
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

    /// One edge.
    pub fn edge(
        &mut self,
        (instance, active, shared): (u32, bool, bool),
        at: BootNanos,
        awake: u64,
        name: impl FnOnce() -> u32,
    ) {
        self.edges += 1;
        let mut slot = self.slot(instance, name);
        let source = &mut self.sources[slot];
        source.first = source.first.or(Some(at));
        source.last = at;
        source.activations += u64::from(active);
        let (count, group) = (source.count, source.group);
        if shared && !self.groups[group as usize].shared {
            self.groups[group as usize].shared = true;
            let slots = (0u32..).zip(&self.sources);
            self.pooled.extend(slots.filter(|(_, s)| s.group == group).map(|(slot, _)| slot));
        }
        match (active, shared) {
            (true, false) if count > 0 => self.contradiction(slot),
            (true, _) => self.set(slot, count.saturating_add(1).min(1 << 20), at, awake),
            (false, _) if count > 0 => self.set(slot, count - 1, at, awake),
            (false, true) => {
                // It was one of the others, which a snapshot has shown to be active.
                let others = self.now.iter().map(|other| *other as usize);
                let mut sharers = others.filter(|other| self.sources[*other].group == group);
                match sharers.next() {
                    Some(other) => {
                        slot = other;
                        let count = self.sources[slot].count;
                        self.set(slot, count - 1, at, awake);
                    }
                    None => self.contradiction(slot),
                }
            }
            (false, false) => self.contradiction(slot),
        }
        if active {
            self.suspect(slot, true);
        }
    }

    fn contradiction(&mut self, slot: usize) {
        self.contradictions += 1;
        self.sources[slot].doubtful = true;
    }

    /// A snapshot shows whether a source is active, and it is believed. `news` if it was not known
    /// before.
    pub fn show(
        &mut self,
        (instance, active): (u32, bool),
        at: BootNanos,
        awake: u64,
        news: bool,
        name: impl FnOnce() -> u32,
    ) {
        let slot = self.slot(instance, name);
        let count = u32::from(active);
        let source = &self.sources[slot];
        if source.count != count {
            if !news && !self.groups[source.group as usize].shared {
                self.contradiction(slot);
            }
            self.set(slot, count, at, awake);
            if active && !news {
                self.suspect(slot, false);
            }
        }
    }

    /// The instances that can't be told from others of their name.
    pub fn pooled(&self) -> Vec<u32> {
        self.pooled.iter().map(|slot| self.sources[*slot as usize].instance).collect()
    }

    /// The instances active.
    pub fn now(&self) -> Vec<u32> {
        self.now.iter().map(|slot| self.sources[*slot as usize].instance).collect()
    }

    /// Edges were lost: counters know better what each source held.
    pub fn doubt(&mut self) {
        self.doubt = true;
    }

    /// Nothing is known any more.
    pub fn forget(&mut self, at: BootNanos, awake: u64) {
        self.doubt = true;
        while let Some(&slot) = self.now.last() {
            self.set(slot as usize, 0, at, awake);
        }
    }

    /// From here on a source that is active, or becomes so, is suspect.
    pub fn open_window(&mut self) {
        self.window += 1;
        self.watching = true;
        self.suspects.clear();
        self.add_active();
    }

    /// From here on nobody becomes suspect.
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
    pub fn suspects(&self) -> Vec<Suspect> {
        let told = self.suspects.iter().map(|&(slot, activated)| {
            let Source { instance, group, .. } = self.sources[slot as usize];
            Suspect { instance, activated, shared: self.groups[group as usize].shared }
        });
        told.collect()
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

    /// The trace is over.
    pub fn finish(mut self, end: BootNanos, awake: u64) -> Outcome {
        let active: Vec<u32> = self.now.clone();
        for slot in active {
            self.sources[slot as usize].active_at_end = true;
            self.set(slot as usize, 0, end, awake);
        }
        let blocked: Vec<u128> = self.sources.iter().map(|source| source.real.share).collect();
        let (blocked, left_ns) = shares::round(&blocked, self.real.split_ns);
        let mut by_name = BTreeMap::new();
        for group in &self.groups {
            by_name.insert(group.name, group.sole_ns);
        }
        // What edges say of those that can't be told apart is right only of all of them together.
        for slot in self.pooled {
            self.sources[slot as usize].doubtful = true;
        }
        for source in &mut self.sources {
            source.doubtful |= self.doubt;
        }
        let sources = self.sources.into_iter().zip(blocked).map(|(source, share_ns)| {
            let blocking = Blocking { share_ns, sole_ns: source.real.sole_ns };
            (source.instance, (source, blocking))
        });
        Outcome {
            sources: sources.collect(),
            sole_by_name: by_name,
            blocked_ns: self.real.split_ns + self.real.nobody_ns,
            nobody_ns: self.real.nobody_ns + left_ns,
            contradictions: self.contradictions,
        }
    }
}

/// What comes of all edges.
#[derive(Debug, Default)]
pub struct Outcome {
    /// By instance.
    pub sources: BTreeMap<u32, (Source, Blocking)>,
    /// Blocked time in which only sources of one name were active, by the name's number.
    pub sole_by_name: BTreeMap<u32, u64>,
    /// Blocked time.
    pub blocked_ns: u64,
    /// The part of it in which nobody was known to be active.
    pub nobody_ns: u64,
    /// Edges and snapshots that contradicted what was known.
    pub contradictions: u64,
}

impl Source {
    fn settle(&mut self, real: &Shares, maybe: &Shares) {
        self.real.settle(real, self.count);
        self.maybe.settle(maybe, self.count);
    }
}
