//! Attempts as slices, with their steps in them.

use std::io;

use sleepwalk_trace::time::BootNanos;

use super::packets::{Packets, Value, note};
use super::proto::{DebugAnnotation, Ftrace, SuspendResume, SuspendResumeMinimal};
use super::tracks::{Names, Track};
use crate::report::{Attempt, Evidence, Mode, Outcome};
use crate::text::escape;

/// A step that began.
#[derive(Debug)]
struct Step<'a> {
    action: &'a [u8],
    value: i32,
}

/// Follows the attempts of a trace.
#[derive(Debug)]
pub struct Attempts<'a> {
    /// Those that have not begun, in order, none overlapping another.
    coming: std::slice::Iter<'a, Attempt>,
    now: Option<&'a Attempt>,
    /// The steps of `now` that have not ended, the outermost first.
    steps: Vec<Step<'a>>,
    /// The machine sleeps.
    asleep: bool,
}

impl<'a> Attempts<'a> {
    /// Follows these attempts.
    pub fn new(attempts: &'a [Attempt]) -> Self {
        Self { coming: attempts.iter(), now: None, steps: Vec::new(), asleep: false }
    }

    /// Ends and begins attempts up to `at`. An event in the very nanosecond in which an attempt ends is
    /// part of it.
    pub fn until(
        &mut self,
        at: BootNanos,
        names: &Names<'_>,
        packets: &mut Packets,
    ) -> io::Result<()> {
        loop {
            match self.now {
                Some(attempt) if attempt.end_ns < at => self.end(packets)?,
                Some(_) => return Ok(()),
                None => {
                    let due = self.coming.as_slice().first().is_some_and(|a| a.start_ns <= at);
                    let Some(attempt) = due.then(|| self.coming.next()).flatten() else {
                        return Ok(());
                    };
                    self.begin(attempt, names, packets)?;
                }
            }
        }
    }

    /// The trace is over.
    pub fn finish(mut self, names: &Names<'_>, packets: &mut Packets) -> io::Result<()> {
        self.until(BootNanos(u64::MAX), names, packets)?;
        if self.now.is_some() { self.end(packets) } else { Ok(()) }
    }

    /// A suspend phase, after [`Self::until`] its stamp.
    pub fn phase(
        &mut self,
        at: BootNanos,
        (action, value, begin): (&'a [u8], i32, bool),
        names: &Names<'_>,
        packets: &mut Packets,
    ) -> io::Result<()> {
        let over = |a: &Attempt| a.start_ns < at && a.end_ns == at;
        if begin && action == b"suspend_enter" && self.now.is_some_and(over) {
            // The one before ended in this very nanosecond.
            self.end(packets)?;
            self.until(at, names, packets)?;
        }
        packets.ftrace(at, suspend_resume(action, value, begin))?;
        let Some(attempt) = self.now else { return Ok(()) };
        self.sleep(at, attempt, action, begin, packets)?;
        if begin {
            packets.begin(
                Track::Attempts.uuid(),
                at,
                &escape(action),
                vec![note("value", Value::Signed(value.into()))],
            )?;
            self.steps.push(Step { action, value });
        } else if let Some(depth) = self.steps.iter().rposition(|step| step.action == action) {
            for _ in self.steps.drain(depth..) {
                packets.end(Track::Attempts.uuid(), at, Vec::new())?;
            }
        }
        Ok(())
    }

    /// The sleeps for Perfetto's `android.suspend`. Out of `suspend_resume` it takes
    /// `timekeeping_freeze`, which s2idle has only where all idle states can do without the tick,
    /// and `syscore_resume`, which it has not at all; so the sleeps are written as the event that
    /// the module prefers, by what the report counts as sleep.
    fn sleep(
        &mut self,
        at: BootNanos,
        attempt: &Attempt,
        action: &[u8],
        begin: bool,
        packets: &mut Packets,
    ) -> io::Result<()> {
        // See `analyze::attempts`: below s2idle the clock stops until syscore resumes.
        let last: &[u8] =
            if attempt.mode == Mode::S2idle { b"machine_suspend" } else { b"syscore_resume" };
        if attempt.outcome != Outcome::Slept {
            return Ok(());
        }
        if action == b"machine_suspend" && begin && !self.asleep {
            self.asleep = true;
            packets.ftrace(at, minimal(true))?;
        } else if action == last && !begin && self.asleep {
            self.asleep = false;
            packets.ftrace(at, minimal(false))?;
        }
        Ok(())
    }

    fn begin(
        &mut self,
        attempt: &'a Attempt,
        names: &Names<'_>,
        packets: &mut Packets,
    ) -> io::Result<()> {
        self.now = Some(attempt);
        let name = match attempt.outcome {
            Outcome::Slept => "slept".to_owned(),
            outcome => format!("{outcome} ({})", attempt.stage),
        };
        packets.begin(Track::Attempts.uuid(), attempt.start_ns, &name, notes(attempt, names))
    }

    fn end(&mut self, packets: &mut Packets) -> io::Result<()> {
        let Some(attempt) = self.now.take() else { return Ok(()) };
        let end = attempt.end_ns;
        if std::mem::take(&mut self.asleep) {
            packets.ftrace(end, minimal(false))?;
        }
        for step in self.steps.drain(..).rev() {
            // The kernel ends no step of an attempt that it aborts; Perfetto would show it as lasting
            // to the end of the trace.
            packets.ftrace(end, suspend_resume(step.action, step.value, false))?;
            let unfinished = note("unfinished", Value::Bool(true));
            packets.end(Track::Attempts.uuid(), end, vec![unfinished])?;
        }
        packets.end(Track::Attempts.uuid(), end, Vec::new())
    }
}

fn notes(attempt: &Attempt, names: &Names<'_>) -> Vec<DebugAnnotation> {
    let blame = |instance, evidence: Evidence| {
        vec![
            note("name", Value::Text(names.plain(instance))),
            note("instance", Value::Unsigned(instance.into())),
            note("evidence", Value::Text(evidence.to_string())),
        ]
    };
    let mut notes = vec![
        note("index", Value::Unsigned(attempt.index)),
        note("outcome", Value::Text(attempt.outcome.to_string())),
        note("stage", Value::Text(attempt.stage.to_string())),
        note("mode", Value::Text(attempt.mode.to_string())),
        note("slept_ns", Value::Unsigned(attempt.slept_ns)),
        note("s2idle_entries", Value::Unsigned(attempt.s2idle_entries)),
    ];
    notes.extend(attempt.errno.map(|errno| note("errno", Value::Signed(errno.into()))));
    let device = attempt.failed_device.as_ref().map(|device| escape(device.as_bytes()));
    notes.extend(device.map(|device| note("failed_device", Value::Text(device))));
    let step = attempt.failed_step.map(|step| note("failed_step", Value::Text(step.to_string())));
    notes.extend(step);
    notes.extend(attempt.freeze_timeout.then(|| note("freeze_timeout", Value::Bool(true))));
    let reason = attempt.resume_reason.as_ref().map(|reason| escape(reason.as_bytes()));
    notes.extend(reason.map(|reason| note("resume_reason", Value::Text(reason))));
    if !attempt.causes.is_empty() {
        let several = attempt.causes.len() > 1;
        let causes = attempt.causes.iter().map(|cause| {
            let mut notes = blame(cause.instance, cause.evidence);
            notes.extend((several && cause.first).then(|| note("first", Value::Bool(true))));
            notes
        });
        notes.push(note("causes", Value::List(causes.collect())));
    }
    if let Some(wake) = &attempt.wake {
        let irq = wake.irq.map(|irq| note("irq", Value::Text(names.irq(irq))));
        let source = wake.source.as_ref().map(|source| blame(source.instance, wake.evidence));
        let woken = irq.into_iter().chain(source.into_iter().flatten()).collect::<Vec<_>>();
        if !woken.is_empty() {
            notes.push(note("wake", Value::Notes(woken)));
        }
    }
    notes
}

fn suspend_resume(action: &[u8], value: i32, begin: bool) -> Ftrace {
    let action = Some(escape(action));
    Ftrace::SuspendResume(SuspendResume { action, val: Some(value), start: Some(begin.into()) })
}

fn minimal(begin: bool) -> Ftrace {
    Ftrace::SuspendResumeMinimal(SuspendResumeMinimal { start: Some(begin.into()) })
}
