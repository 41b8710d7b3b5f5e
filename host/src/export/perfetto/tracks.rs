//! The tracks, and how they are named.

use std::collections::BTreeMap;

use sleepwalk_trace::record::SourceDef;

use super::proto::{CounterDescriptor, TrackDescriptor, track};
use crate::report::Wakelock;
use crate::session::decode::Model;
use crate::text::escape;

/// A track; all of them stand below one named Sleepwalk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    Root,
    /// Suspend attempts, and their steps in them.
    Attempts,
    /// How many sources are held.
    Held,
    /// The interrupts that woke the system.
    Wakes,
    /// Where the trace has holes.
    Missing,
    /// The threads that wait for the wakeup count.
    Waits,
    /// One of them.
    Thread(u32),
    /// Power supplies.
    PowerSupplies,
    /// A quantity of one, by its name's number.
    Supply(u32, Quantity),
    /// The wakeup sources.
    Sources,
    /// One of them, by instance.
    Source(u32),
    /// The wakelocks of user space.
    Wakelocks,
    /// One of them, by its place in the report.
    Wakelock(u32),
}

/// A quantity of a power supply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Per cent.
    Capacity,
    /// µAh.
    Charge,
    /// µA.
    Current,
}

impl Track {
    /// Its number in the export. Those of sources are short: each hold has two.
    pub fn uuid(self) -> u64 {
        let (kind, which) = match self {
            Self::Source(instance) => return u64::from(instance) + 1,
            Self::Root => (0, 0),
            Self::Attempts => (1, 0),
            Self::Held => (2, 0),
            Self::Wakes => (3, 0),
            Self::Missing => (4, 0),
            Self::Waits => (5, 0),
            Self::Thread(id) => (6, id),
            Self::PowerSupplies => (7, 0),
            Self::Supply(name, quantity) => (8 + quantity as u64, name),
            Self::Sources => (11, 0),
            Self::Wakelocks => (12, 0),
            Self::Wakelock(place) => (13, place),
        };
        1 << 40 | kind << 32 | u64::from(which)
    }

    /// The track above it.
    pub fn parent(self) -> Option<Self> {
        match self {
            Self::Root => None,
            Self::Thread(_) => Some(Self::Waits),
            Self::Supply(..) => Some(Self::PowerSupplies),
            Self::Source(_) => Some(Self::Sources),
            Self::Wakelock(_) => Some(Self::Wakelocks),
            _ => Some(Self::Root),
        }
    }
}

/// Stands for a name that is empty or lost.
const NO_NAME: &str = "(no name)";

/// Names and describes tracks.
#[derive(Debug)]
pub struct Names<'a> {
    model: &'a Model,
    wakelocks: &'a [Wakelock],
    /// How many sources have each name.
    count: BTreeMap<&'a [u8], u32>,
}

impl<'a> Names<'a> {
    /// For the trace with this model, and the wakelocks of its report.
    pub fn new(model: &'a Model, wakelocks: &'a [Wakelock]) -> Self {
        let mut count = BTreeMap::new();
        for instance in model.sources.keys() {
            *count.entry(model.name(*instance)).or_default() += 1;
        }
        Self { model, wakelocks, count }
    }

    /// A source's name as the kernel has it, harmless.
    pub fn plain(&self, instance: u32) -> String {
        let cut = self.model.sources.get(&instance).is_some_and(|source| source.name_cut);
        match self.model.name(instance) {
            [] => NO_NAME.to_owned(),
            name if cut => format!("{}…", escape(name)),
            name => escape(name),
        }
    }

    /// A source's name, which differs from others of one name by its number in the trace.
    pub fn unique(&self, instance: u32) -> String {
        let (name, plain) = (self.model.name(instance), self.plain(instance));
        let alone = !name.is_empty() && self.count.get(name) == Some(&1);
        if alone { plain } else { format!("{plain} #{instance}") }
    }

    /// A wakelock's name, with its app or process.
    pub fn wakelock(&self, place: u32) -> String {
        let Some(one) = self.wakelocks.get(place as usize) else { return NO_NAME.to_owned() };
        let name = escape(one.name.as_bytes());
        match (one.packages.first(), one.uid, one.pid) {
            (Some(package), ..) => format!("{name} ({})", escape(package.as_bytes())),
            (None, Some(uid), _) => format!("{name} (uid {uid})"),
            (None, None, Some(pid)) => format!("{name} (pid {pid})"),
            (None, None, None) => name,
        }
    }

    /// An interrupt's number and name.
    pub fn irq(&self, number: u32) -> String {
        let name = self.model.irqs.get(&number).map_or(&[][..], |irq| self.model.text(irq.name));
        let name = if name.is_empty() { NO_NAME.to_owned() } else { escape(name) };
        format!("irq {number} {name}")
    }

    /// The name of a track, and its place among others.
    pub fn describe(&self, which: Track) -> TrackDescriptor {
        let plain = |name: &str, rank| TrackDescriptor {
            name: Some(name.to_owned()),
            parent_uuid: which.parent().map(Track::uuid),
            sibling_order_rank: Some(rank),
            sibling_merge_behavior: Some(track::NEVER_MERGED),
            ..TrackDescriptor::default()
        };
        let group = |name, rank, ordering| TrackDescriptor {
            child_ordering: Some(ordering),
            ..plain(name, rank)
        };
        let counter = |descriptor, unit: &str| TrackDescriptor {
            counter: Some(CounterDescriptor { unit_name: Some(unit.to_owned()) }),
            ..descriptor
        };
        match which {
            Track::Root => group("Sleepwalk", 0, track::EXPLICIT),
            Track::Attempts => plain("Suspend attempts", 1),
            Track::Wakes => plain("Wakes", 2),
            Track::Held => counter(plain("Sources held", 3), "sources"),
            Track::Waits => group("Waits for wakeup_count", 4, track::LEXICOGRAPHIC),
            Track::Thread(id) => plain(&format!("thread {id}"), 0),
            Track::Sources => group("Wakeup sources", 5, track::LEXICOGRAPHIC),
            Track::Source(instance) => TrackDescriptor {
                description: self.model.sources.get(&instance).map(describe),
                ..plain(&self.unique(instance), 0)
            },
            Track::PowerSupplies => group("Power supplies", 6, track::LEXICOGRAPHIC),
            Track::Supply(name, quantity) => {
                let (what, unit) = match quantity {
                    Quantity::Capacity => ("capacity", "%"),
                    Quantity::Charge => ("charge", "µAh"),
                    Quantity::Current => ("current", "µA"),
                };
                let name = format!("{} {what}", escape(self.model.text(name)));
                counter(plain(&name, 0), unit)
            }
            Track::Wakelocks => group("Wakelocks in user space", 7, track::LEXICOGRAPHIC),
            Track::Wakelock(place) => plain(&self.wakelock(place), 0),
            Track::Missing => plain("Missing from the trace", 8),
        }
    }
}

/// The description of a source's track; its addresses are kept secret.
fn describe(source: &SourceDef) -> String {
    let id = source.id.map_or_else(|| "no id known".to_owned(), |id| format!("wakeup{id}"));
    format!("source {} of the trace, {id}", source.instance)
}
