//! The end of a capture.

use anyhow::Result;
use sleepwalk_trace::record::{End, HookRuns, Lost, Reason, Record};

use super::{Recorder, at_most_the_ring};
use crate::context::power_supply::When;
use crate::probe::hooks::Hooks;
use crate::snapshot::SnapshotSource;

/// The last chunk has at most this many bytes of an error.
const ERROR_BYTES: usize = 512;

impl<S: SnapshotSource> Recorder<S> {
    /// Counts the remaining events, which there is no time to record.
    pub(super) fn count_rest_as_lost(&mut self, hooks: &mut Hooks) {
        let ring = at_most_the_ring(|| hooks.next_event()).count();
        let events = self.ahead.drain(..).count() + ring;
        if events > 0 {
            self.journal.push_now(&Record::Lost(Lost { events: events as u64 }));
        }
    }

    /// Asks Android's services for the last time, and records the events that came meanwhile.
    pub(super) fn last_answers(&mut self, hooks: &mut Hooks) -> Result<()> {
        if self.store.is_full() {
            return Ok(());
        }
        let Some(user_space) = &mut self.user_space else { return Ok(()) };
        let records = user_space.finish();
        self.answers(records)?;
        if !self.store.is_full() {
            self.drain(hooks)?;
            self.commit()?;
        }
        Ok(())
    }

    pub(super) fn end(&mut self, reason: &str, runs: HookRuns) -> Result<()> {
        if self.returns_counted() {
            self.record_returns(None)?;
        }
        self.snapshot(Reason::End)?;
        self.power_supplies(When::CaptureEdge);
        self.suspend_stats();
        self.journal.push_now(&Record::HookRuns(runs));
        self.journal.push_now(&Record::Overhead(self.overhead()));
        self.journal.push_now(&Record::End(End { reason: reason.to_owned() }));
        self.journal.commit(&mut self.store, 0).map(drop)
    }

    /// Finishes the trace after an error, which its last record names.
    pub(super) fn finish_after(mut self, error: anyhow::Error) -> anyhow::Error {
        let mut reason = format!("error: {error:#}");
        reason.truncate(reason.floor_char_boundary(ERROR_BYTES));
        let end = Record::End(End { reason });
        if let Err(second) = self.journal.close(&mut self.store, &end) {
            log::debug!("the end could not be written either: {second:#}");
        }
        match self.store.finish() {
            Ok(()) => error,
            Err(second) => {
                error.context(format!("and the trace could not be finished ({second:#})"))
            }
        }
    }
}
