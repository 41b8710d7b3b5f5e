//! Our traces, read with the trace crate alone.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use sleepwalk_trace::read::{Item, Reader};
use sleepwalk_trace::record::{Record, Snapshot, Stamped};
use sleepwalk_trace::snapshot::{Replay, SourceState};

use crate::ftrace::{Event, What};

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
    /// As it stands in the trace.
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

    /// Strings by number.
    pub fn texts(&self) -> BTreeMap<u32, Vec<u8>> {
        let texts = self.records.iter().filter_map(|r| match &r.record {
            Record::Text(text) => Some((text.id, text.bytes.clone())),
            _ => None,
        });
        texts.collect()
    }

    /// The suspend events, in order, in the form that ftrace has them in.
    pub fn events(&self) -> Vec<Event> {
        let texts = self.texts();
        let events = self.records.iter().filter_map(|r| {
            let what = match &r.record {
                Record::Phase(phase) => What::Phase {
                    action: String::from_utf8_lossy(&texts[&phase.action]).into_owned(),
                    value: phase.value,
                    begin: phase.begin,
                },
                Record::Return(returned) => What::Return(returned.errno.unwrap_or(i32::MAX)),
                _ => return None,
            };
            Some(Event { at_ns: r.at.0, what })
        });
        events.collect()
    }

    /// The snapshots with every source's state.
    pub fn snapshots(&self) -> Result<Vec<Sources>> {
        let texts = self.texts();
        let names: BTreeMap<u32, u32> = self
            .records
            .iter()
            .filter_map(|r| match &r.record {
                Record::Source(source) => Some((source.instance, source.name)),
                _ => None,
            })
            .collect();
        let mut replay = Replay::default();
        let mut snapshots = Vec::new();
        for stamped in &self.records {
            let Record::Snapshot(snapshot) = &stamped.record else { continue };
            let states = replay.apply(stamped.at, snapshot)?;
            let named = states.iter().map(|(i, state)| (texts[&names[i]].clone(), *state));
            let by_name = named.collect();
            snapshots.push(Sources { at_ns: stamped.at.0, snapshot: snapshot.clone(), by_name });
        }
        Ok(snapshots)
    }
}
