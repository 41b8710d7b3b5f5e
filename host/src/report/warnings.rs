//! Reasons to doubt the numbers of a session, as data.

use super::{Counted, HookKind, HookState, Session};

/// A reason to doubt the numbers of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The capture did not end cleanly.
    NoEnd,
    /// The capture ended because the trace reached `--max-size`.
    Full,
    /// The capture ended early, by this error.
    Error(String),
    /// Chunks that the agent dropped to keep the trace small.
    DroppedChunks(u64),
    /// Parts of the file are damaged or missing.
    Damaged {
        /// Bytes that could not be read.
        bytes: u64,
        /// Chunks that are missing.
        chunks: u64,
        /// Records that could not be decoded.
        records: u64,
        /// The trace has an end. One without may have been copied while it was written.
        ended: bool,
    },
    /// Records of kinds that a newer version writes.
    UnknownRecords(u64),
    /// Snapshots without some sources.
    TruncatedSnapshots(u64),
    /// Snapshots that build on a lost one.
    OrphanedSnapshots(u64),
    /// Source states whose fields contradicted each other.
    TornStates(u64),
    /// The clocks show this much sleep, in ns, of which the suspend phases know nothing.
    ClockConflict(u64),
    /// The snapshots come from an inexact place: `kallsyms`, `debugfs` or `sysfs`.
    Inexact(String),
    /// Events of one kind were not watched.
    Unwatched {
        /// The events.
        what: HookKind,
        /// The reason; empty where it is unknown.
        why: String,
    },
    /// An attached hook never fired although other records prove that it must have.
    DeadHook(HookKind),
    /// Events that the kernel did not hand to a hook.
    MissedRuns {
        /// The hook.
        what: HookKind,
        /// How many.
        missed: u64,
    },
    /// The kernel counted other attempts than the trace has.
    Counts(Counted),
}

impl Warning {
    /// Whether parts of the session are missing.
    pub fn incomplete(&self) -> bool {
        matches!(
            self,
            Self::NoEnd
                | Self::DroppedChunks(_)
                | Self::Damaged { .. }
                | Self::TruncatedSnapshots(_)
                | Self::OrphanedSnapshots(_)
        )
    }
}

impl Session {
    /// Every reason to doubt its numbers, except lost events, which are a finding.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        match self.end_reason.as_deref() {
            None => warnings.push(Warning::NoEnd),
            Some("full") => warnings.push(Warning::Full),
            Some(reason) => {
                let error = reason.strip_prefix("error: ");
                warnings.extend(error.map(|error| Warning::Error(error.to_owned())));
            }
        }
        let damaged = Warning::Damaged {
            bytes: self.damaged_bytes,
            chunks: self.missing_chunks,
            records: self.bad_records,
            ended: self.end_reason.is_some(),
        };
        let counted = [
            (self.dropped_chunks, Warning::DroppedChunks(self.dropped_chunks)),
            (self.damaged_bytes | self.missing_chunks | self.bad_records, damaged),
            (self.unknown_records, Warning::UnknownRecords(self.unknown_records)),
            (self.truncated_snapshots, Warning::TruncatedSnapshots(self.truncated_snapshots)),
            (self.orphaned_snapshots, Warning::OrphanedSnapshots(self.orphaned_snapshots)),
            (self.torn_states, Warning::TornStates(self.torn_states)),
            (self.clock_conflict_ns, Warning::ClockConflict(self.clock_conflict_ns)),
        ];
        warnings.extend(counted.into_iter().filter(|(n, _)| *n > 0).map(|(_, warning)| warning));
        if ["kallsyms", "debugfs", "sysfs"].contains(&self.source.as_str()) {
            warnings.push(Warning::Inexact(self.source.clone()));
        }
        let unwatched = self.hooks.iter().filter(|hook| hook.how.is_empty());
        warnings.extend(
            unwatched
                .map(|hook| Warning::Unwatched { what: hook.what.clone(), why: hook.why.clone() }),
        );
        let dead = self.hooks.iter().filter(|hook| hook.state == HookState::Dead);
        warnings.extend(dead.map(|hook| Warning::DeadHook(hook.what.clone())));
        warnings.extend(self.hooks.iter().filter_map(|hook| {
            let missed = hook.missed.filter(|missed| *missed > 0)?;
            Some(Warning::MissedRuns { what: hook.what.clone(), missed })
        }));
        let counts = self.attempt_counts.filter(|counts| !counts.agree());
        warnings.extend(counts.map(Warning::Counts));
        let listed = self.hooks.iter().any(|hook| hook.what == HookKind::Phase);
        if !listed && !self.agent.is_empty() {
            warnings.push(Warning::Unwatched { what: HookKind::Phase, why: String::new() });
        }
        warnings
    }
}
