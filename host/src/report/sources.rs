//! Sources: their activity and cost, the roll-up by name, and the rank.

use std::cmp::Reverse;

use serde::Serialize;
use sleepwalk_trace::time::BootNanos;

use super::activators::{self, Activator};
use super::{Candidate, Device, Known, Name, Span, add_known, stamp, stamp_or_null};

/// The kinds of rows in the ranking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A wakeup source.
    #[default]
    Source,
    /// An interrupt that woke the device, with no source behind it that is more than likely.
    Interrupt,
    /// A device whose driver failed attempts.
    Device,
}

displays_key!(SourceKind);

/// One source, or all sources of one name; an interrupt; or a device.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Source {
    /// Its name; for an interrupt its handlers' names, else `irq` and its number.
    #[serde(flatten)]
    pub name: Name,
    /// Its kind.
    pub kind: SourceKind,
    /// The number of an interrupt; null for a source.
    pub irq: Option<u32>,
    /// The name is longer than what was copied.
    pub name_cut: bool,
    /// Its number in the trace; null by name.
    pub instance: Option<u32>,
    /// Equal for sources that lived at one kernel address, which itself is kept secret; null by name.
    pub address_id: Option<u32>,
    /// First snapshot that has it.
    #[serde(serialize_with = "stamp")]
    pub first_ns: BootNanos,
    /// Last snapshot that has it.
    #[serde(serialize_with = "stamp")]
    pub last_ns: BootNanos,
    /// Registered within the session.
    pub born: bool,
    /// Removed within the session.
    pub died: bool,
    /// Its activity and cost.
    #[serde(flatten)]
    pub sum: Sum,
    /// The start of its longest hold; null where it was never held.
    #[serde(serialize_with = "stamp_or_null")]
    pub longest_hold_at_ns: Option<BootNanos>,
    /// The device behind it; null where it has none, where the trace lacks it, and for several with different ones.
    pub device: Option<Device>,
    /// Processes that may be behind it: they waited for a file of this name. Empty where that is not known.
    pub candidates: Vec<Candidate>,
    /// The meaning of a well-known name, and the next step; null for another name.
    pub known: Option<Known>,
    /// Its activators, those that held it longest first; null where the trace does not have that.
    pub activators: Option<Vec<Activator>>,
    /// Active when last seen.
    pub active_at_end: bool,
    /// When it was held; only where the report was built for a drawing, and not part of the JSON.
    /// Spans closer together than a pixel are merged.
    #[serde(skip)]
    pub spans: Vec<Span>,
}

/// The activity and cost of one source, or of several in sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// How many sources this is the sum of.
    pub instances: u64,
    /// Time active; of several, the time in which any was.
    pub held_ns: u64,
    /// `held_ns` is a lower bound: by snapshots alone, a source was active in one and gone in the next.
    pub held_at_least: bool,
    /// Its longest hold: the time active without a break.
    pub longest_hold_ns: u64,
    /// Its share of the blocked time; null without activations and waits.
    pub blocked_share_ns: Option<u64>,
    /// Blocked time in which no other source was active, which is what fixing it alone would save; null
    /// without activations and waits.
    pub blocked_sole_ns: Option<u64>,
    /// Attempts that it kept from sleeping, alone or with others; for a device those that it failed.
    pub aborts: u64,
    /// Its share of their time.
    pub abort_ns: u64,
    /// Its share of the back-off after those, and after writes of wakeup_count that it had refused.
    pub after_abort_ns: u64,
    /// Sleeps that it ended.
    pub wakes: u64,
    /// The ways back from those, and the ways down that they made necessary.
    pub resume_ns: u64,
    /// Awake time after those, until the next attempt or wait.
    pub after_wake_ns: u64,
    /// Its cost, as far as it is known: `blocked_share_ns`, `abort_ns`, `after_abort_ns`, `resume_ns` and
    /// `after_wake_ns` together.
    pub cost_ns: u64,
    /// Inactive → active.
    pub activations: u64,
    /// Events reported.
    pub events: u64,
    /// Activations that a timer ended.
    pub expiries: u64,
}

impl Sum {
    /// Adds another; blocked time that neither knows stays null.
    pub fn add(&mut self, more: &Self) {
        self.held_at_least |= more.held_at_least;
        add_known(&mut self.blocked_share_ns, more.blocked_share_ns);
        add_known(&mut self.blocked_sole_ns, more.blocked_sole_ns);
        self.longest_hold_ns = self.longest_hold_ns.max(more.longest_hold_ns);
        for (sum, more) in [
            (&mut self.instances, more.instances),
            (&mut self.held_ns, more.held_ns),
            (&mut self.aborts, more.aborts),
            (&mut self.abort_ns, more.abort_ns),
            (&mut self.after_abort_ns, more.after_abort_ns),
            (&mut self.wakes, more.wakes),
            (&mut self.resume_ns, more.resume_ns),
            (&mut self.after_wake_ns, more.after_wake_ns),
            (&mut self.cost_ns, more.cost_ns),
            (&mut self.activations, more.activations),
            (&mut self.events, more.events),
            (&mut self.expiries, more.expiries),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// Sets the cost to the sum of its parts.
    pub fn total(&mut self) {
        self.cost_ns = self.blocked_share_ns.unwrap_or(0).saturating_add(self.attempts_ns());
    }

    /// Its cost without its share of the blocked time.
    fn attempts_ns(&self) -> u64 {
        let parts = [self.abort_ns, self.after_abort_ns, self.resume_ns, self.after_wake_ns];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// Sorts the most costly first, then those held longest.
    ///
    /// Without activations and waits the blocked part of the held time is unknown, so all of it counts:
    /// a source held for hours must not rank below one that aborted an attempt. The held time and the
    /// awake time after its wakes mostly overlap, so the longer of the two counts.
    pub fn rank(&self) -> impl Ord + use<> {
        let cost_ns = match self.blocked_share_ns {
            Some(_) => self.cost_ns,
            None => {
                let rest_ns = self.attempts_ns() - self.after_wake_ns;
                rest_ns.saturating_add(self.held_ns.max(self.after_wake_ns))
            }
        };
        Reverse((cost_ns, self.held_ns))
    }

    /// Whether it did anything in the session.
    pub fn busy(&self) -> bool {
        let counts = [self.cost_ns, self.held_ns, self.events, self.aborts, self.wakes];
        counts.iter().any(|count| *count != 0)
    }
}

impl Source {
    /// Takes a stretch of time as the longest hold.
    pub fn set_longest(&mut self, longest: Option<Span>) {
        let longest = longest.filter(|span| span.end_ns > span.start_ns);
        self.sum.longest_hold_ns = longest.map_or(0, |span| span.end_ns.since(span.start_ns));
        self.longest_hold_at_ns = longest.map(|span| span.start_ns);
    }

    /// Adds another source of the name: born and died only if all of them were. The time held is that of
    /// the one held longer: how the two overlap is not known here.
    pub(super) fn add(&mut self, other: Self) {
        let held_ns = self.sum.held_ns.max(other.sum.held_ns);
        if other.sum.longest_hold_ns > self.sum.longest_hold_ns {
            self.longest_hold_at_ns = other.longest_hold_at_ns;
        }
        self.spans.extend(other.spans);
        self.spans.sort_by_key(|span| (span.start_ns, span.end_ns));
        Span::join(&mut self.spans, 0);
        self.name_cut |= other.name_cut;
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
        self.born &= other.born;
        self.died &= other.died;
        self.active_at_end |= other.active_at_end;
        if self.device != other.device {
            self.device = None;
        }
        if let Some(more) = other.activators {
            activators::merge(self.activators.get_or_insert_default(), more);
        }
        self.sum.add(&other.sum);
        self.sum.held_ns = held_ns;
    }
}

/// Sorts by rank, with equals in one order, and keeps the `top`; returns how many are left out.
pub fn rank<T, K: Ord>(
    list: &mut Vec<T>,
    top: Option<usize>,
    key: impl Fn(&T) -> (&Sum, K),
) -> u64 {
    list.sort_by(|a, b| {
        let ((a, a_key), (b, b_key)) = (key(a), key(b));
        (a.rank(), a_key).cmp(&(b.rank(), b_key))
    });
    let kept = top.unwrap_or(usize::MAX).min(list.len());
    let left_out = (list.len() - kept) as u64;
    list.truncate(kept);
    left_out
}
