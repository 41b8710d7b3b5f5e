//! Takes the snapshots of a capture: numbers them, and turns them into records.

use std::collections::BTreeMap;

use anyhow::Result;
use sleepwalk_trace::record::{Overhead, Reason, Record, Snapshot};
use sleepwalk_trace::snapshot::{DeltaEncoder, SourceState};
use sleepwalk_trace::time::BootNanos;

use super::journal::Journal;
use crate::clock;
use crate::identity::instances::Reading;
use crate::snapshot::{Key, Sample, SnapshotSource, SnapshotSummary};

/// One in this many snapshots is full. Damage to the file then costs no more than these.
pub const FULL_EVERY: u64 = 64;

/// A snapshot that fails this often is recorded as broken.
pub const TRIES: u32 = 3;

/// A snapshot record has at most this many bytes, plus this many per source: ten counters of nine
/// bytes, and the fields before them.
const BYTES: usize = 1024;
pub const BYTES_PER_SOURCE: usize = 112;

/// The snapshots of a capture.
#[derive(Debug)]
pub struct Snapshotter<S> {
    source: S,
    encoder: DeltaEncoder,
    /// The next snapshot from this number on has to be full.
    full_at: u64,
    /// The record before has all sources of the source's last snapshot.
    knows_last: bool,
    /// The longest that a snapshot's record may get, by the sources of the last one.
    room: usize,
    /// The costs so far; the other fields are 0.
    overhead: Overhead,
    last_began: BootNanos,
}

/// Where snapshots take longer than this, in the mean, they are not taken more often than once in [`PAUSE_NS`].
const SLOW_NS: u64 = 5_000_000;
const PAUSE_NS: u64 = 2_000_000_000;

impl<S: SnapshotSource> Snapshotter<S> {
    /// Takes snapshots from `source`.
    pub fn new(source: S) -> Self {
        let (encoder, overhead) = (DeltaEncoder::default(), Overhead::default());
        Self {
            source,
            encoder,
            full_at: 0,
            knows_last: false,
            room: BYTES,
            overhead,
            last_began: BootNanos::default(),
        }
    }

    /// Whether snapshots are slow here, and the last one is only just over.
    pub fn pauses(&self, now: BootNanos) -> bool {
        let Overhead { snapshots, snapshots_ns, .. } = self.overhead;
        snapshots_ns > snapshots * SLOW_NS && now.since(self.last_began) < PAUSE_NS
    }

    /// How many sources the next difference counts from.
    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.encoder.sources()
    }

    /// Takes a snapshot and records nothing.
    pub fn try_once(&mut self) -> Result<()> {
        self.knows_last = false;
        self.source.take_snapshot(&mut |_| {}).map(drop)
    }

    /// How many bytes a snapshot's record may have.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Number and costs of the snapshots so far; the other fields are 0.
    pub fn overhead(&self) -> Overhead {
        self.overhead
    }

    /// Takes a snapshot and records it. `is_late` returns whether a snapshot with this end is too late for
    /// its reason.
    pub fn record(
        &mut self,
        reason: Reason,
        journal: &mut Journal,
        is_late: impl FnOnce(BootNanos) -> bool,
    ) -> Result<()> {
        let number = self.overhead.snapshots;
        let full_due = number >= self.full_at;
        let changes_only = std::mem::take(&mut self.knows_last) && !full_due;
        let (summary, states) = self.take(number, changes_only, journal)?;
        self.knows_last = summary.whole();
        if !summary.changes_only {
            journal.snapshot_taken(number, summary.begin, summary.whole());
        }
        if !summary.broken {
            self.room = BYTES + BYTES_PER_SOURCE * summary.stored as usize;
        }
        let took_ns = summary.took_ns();
        self.last_began = summary.begin;
        let mut snapshot = Snapshot {
            reason,
            mono: summary.mono,
            took_ns,
            seen: summary.seen,
            stored: summary.stored,
            broken: summary.broken,
            late: is_late(summary.end),
            full: false,
            changed: Vec::new(),
            gone: Vec::new(),
        };
        // In a full snapshot, a source that was not seen would count as gone.
        let full = full_due && (number == 0 || !summary.broken);
        if full {
            self.full_at = number + FULL_EVERY;
        } else if number >= self.full_at && number.is_multiple_of(FULL_EVERY) {
            // The walk keeps breaking. The next whole one is full, and so drops the forgotten for readers too.
            let in_use = journal.sources_in_use();
            self.encoder.retain(|one| in_use.contains(&one));
        }
        if summary.changes_only {
            self.encoder.encode_changes(&mut snapshot, &states);
        } else {
            self.encoder.encode(&mut snapshot, &states, full);
        }
        journal.push(summary.begin, &Record::Snapshot(snapshot));
        self.overhead.snapshots += 1;
        self.overhead.snapshots_ns += took_ns;
        self.overhead.snapshot_max_ns = self.overhead.snapshot_max_ns.max(took_ns);
        Ok(())
    }

    /// The sources in the snapshot numbered `number`, or those that have changed.
    ///
    /// The kernel may be short of memory for a moment, which must not end a capture of days. So
    /// only the first snapshot has to succeed; a later one that fails counts as broken. One during which the
    /// device slept shows sources from before the sleep and from after it.
    fn take(
        &mut self,
        number: u64,
        mut changes_only: bool,
        journal: &mut Journal,
    ) -> Result<(SnapshotSummary, BTreeMap<u32, SourceState>)> {
        let mut states = BTreeMap::new();
        let mut tries_left = TRIES;
        loop {
            let now = clock::now();
            let mut all_read = None;
            let mut visit = |sample: &Sample<'_>| {
                // sysfs alone hands out a source before it reads the next.
                let to = match sample.key {
                    Key::Id(_) => clock::now().mono(),
                    _ => *all_read.get_or_insert_with(|| clock::now().mono()),
                };
                let read = Reading { snapshot: number, boot: now.boot, from: now.mono(), to };
                let (instance, state) = journal.source(sample, read);
                states.insert(instance, state);
            };
            let taken = match changes_only {
                true => self.source.take_changes(&mut visit),
                false => self.source.take_snapshot(&mut visit),
            };
            // One that is taken again is not the last that the record before has.
            changes_only = false;
            tries_left -= 1;
            match taken {
                Ok(summary) if summary.slept() && tries_left > 0 => {
                    log::debug!("the device slept during a snapshot, which is taken again");
                }
                Ok(summary) => return Ok((summary, states)),
                Err(error) if tries_left > 0 => log::debug!("a snapshot is repeated: {error:#}"),
                Err(error) if number == 0 => return Err(error),
                Err(error) => {
                    log::warn!("a snapshot failed: {error:#}");
                    return Ok((SnapshotSummary::failed(now), BTreeMap::new()));
                }
            }
            states.clear();
        }
    }
}
