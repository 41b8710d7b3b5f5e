//! Our traces, read with the trace crate alone.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use sleepwalk_trace::read::{Item, Reader};
use sleepwalk_trace::record::{EDGE_ACTIVE, Record, Session, Snapshot, Stamped, next_state};
use sleepwalk_trace::snapshot::{DeltaDecoder, SourceState};

use crate::ftrace::{Event, Kind};

/// A trace without damage.
#[derive(Debug)]
pub struct Trace {
    /// All of it.
    pub records: Vec<Stamped>,
}

/// A snapshot of a trace, made absolute.
#[derive(Debug)]
pub struct Sources {
    /// CLOCK_BOOTTIME in ns.
    pub at_ns: u64,
    /// As it is in the trace.
    pub snapshot: Snapshot,
    /// Names are unique in the tests that use this.
    pub by_name: BTreeMap<Vec<u8>, SourceState>,
}

impl Trace {
    /// Reads it; damage is an error.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::open(bytes)?;
        let items: Vec<_> = reader.by_ref().collect();
        ensure!(reader.damage() == Default::default(), "damaged: {:?}", reader.damage());
        let records = items.into_iter().filter_map(|item| match item {
            Item::Record(record) => Some(record),
            _ => None,
        });
        Ok(Self { records: records.collect() })
    }

    /// Whether the agent ended it in order.
    pub fn complete(&self) -> bool {
        matches!(self.records.last(), Some(Stamped { record: Record::End(_), .. }))
    }

    /// Its first record.
    pub fn session(&self) -> Result<&Session> {
        match self.records.first().map(|stamped| &stamped.record) {
            Some(Record::Session(session)) => Ok(session),
            other => bail!("the trace begins with {other:?}"),
        }
    }

    /// The form in which each hook was attached.
    pub fn hows(&self) -> Result<Vec<&str>> {
        Ok(self.session()?.hooks.iter().map(|hook| hook.how.as_str()).collect())
    }

    /// Strings by number.
    pub fn strings(&self) -> BTreeMap<u32, Vec<u8>> {
        let strings = self.records.iter().filter_map(|r| match &r.record {
            Record::String(text) => Some((text.id, text.bytes.clone())),
            _ => None,
        });
        strings.collect()
    }

    /// The events that ftrace has too, in its form, sorted by time.
    pub fn events(&self) -> Result<Vec<Event>> {
        let (strings, names) = (self.strings(), self.names());
        let text = |id: &u32| {
            let bytes = strings.get(id).with_context(|| format!("text {id} is not defined"))?;
            Ok::<_, anyhow::Error>(String::from_utf8_lossy(bytes).into_owned())
        };
        let mut events = Vec::new();
        let mut left = None;
        for stamped in &self.records {
            let kind = match &stamped.record {
                Record::Phase(phase) => Kind::Phase {
                    action: text(&phase.action)?,
                    value: phase.value,
                    begin: phase.begin,
                },
                Record::Return(returned) => {
                    Kind::Return(returned.errno.context("a return without errno")?)
                }
                Record::Edge(edge) => {
                    let active = edge.flags & EDGE_ACTIVE != 0;
                    let follows = left.map(|left| next_state(left, active));
                    let state = edge.state.or(follows).context("the first edge has no state")?;
                    left = Some(state);
                    let name =
                        names.get(&edge.source).context("an edge's source is not defined")?;
                    Kind::Edge { name: text(name)?, state, active }
                }
                Record::WaitBegin(wait) => Kind::WaitBegin { thread: wait.thread },
                Record::WaitEnd(wait) => Kind::WaitEnd { thread: wait.thread, idle: wait.idle },
                Record::CountWrite(save) => Kind::Save { thread: save.thread, saved: save.saved },
                Record::Wake(wake) => Kind::Wake(wake.irq),
                _ => continue,
            };
            events.push(Event { at_ns: stamped.at.0, kind });
        }
        Ok(events)
    }

    /// The numbers of the sources' names, by instance.
    pub fn names(&self) -> BTreeMap<u32, u32> {
        let names = self.records.iter().filter_map(|r| match &r.record {
            Record::Source(source) => Some((source.instance, source.name)),
            _ => None,
        });
        names.collect()
    }

    /// Events that the probe could not hand over.
    pub fn lost(&self) -> u64 {
        let lost = |r: &Stamped| if let Record::Lost(l) = &r.record { l.events } else { 0 };
        self.records.iter().map(lost).sum()
    }

    /// The snapshots with every source's state.
    pub fn snapshots(&self) -> Result<Vec<Sources>> {
        let strings = self.strings();
        let names = self.names();
        let mut replay = DeltaDecoder::default();
        let mut snapshots = Vec::new();
        for stamped in &self.records {
            let Record::Snapshot(snapshot) = &stamped.record else { continue };
            let states = replay.apply(stamped.at, snapshot)?;
            let named = states.iter().map(|(i, state)| (strings[&names[i]].clone(), *state));
            let by_name = named.collect();
            snapshots.push(Sources { at_ns: stamped.at.0, snapshot: snapshot.clone(), by_name });
        }
        Ok(snapshots)
    }
}
