//! How each step of the demo is done.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use nix::errno::Errno;

use super::phone::Phone;
use super::plan::{ALARM_S, BLOCKED, MISSED_ALARM_S, OVERLAP, OVERLAP_AFTER, SHORT_LIFE, Step};
use crate::clock::boot_ns;
use crate::event::{self, Event};
use crate::fifo::Source;
use crate::suspend::Power;
use crate::timer;

const EBUSY: i32 = -(Errno::EBUSY as i32);

/// From the write of `mem` to the activation that aborts it: the attempt has begun, and its file
/// system sync runs, or the freezer, which comes some ms later.
const ABORT_AFTER: Duration = Duration::from_micros(1500);
/// How long the aborting source stays active.
const ABORT_HOLD: Duration = Duration::from_millis(120);

/// From the write of `mem` to the timer. In the virtual device, devices begin to suspend 17 to 40 ms
/// after it and are done 10 to 80 ms later. Too early costs less than too late, which sleeps.
const LATE_AFTER: Duration = Duration::from_millis(19);
/// How often that is tried before the demo goes on without.
const LATE_TRIES: u32 = 6;
/// How long the timer's source stays active after the abort.
const LATE_HOLD: Duration = Duration::from_millis(60);

/// The kernel's answers to the attempts so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub succeeded: u32,
    pub busy: u32,
    pub other: u32,
}

impl Tally {
    /// All of them.
    pub fn attempts(self) -> u32 {
        self.succeeded + self.busy + self.other
    }
}

/// Does the steps, one after the other.
pub struct Director<'a> {
    power: Power,
    phone: &'a Phone,
    pub tally: Tally,
}

impl<'a> Director<'a> {
    /// Nothing is done yet.
    pub fn new(power: Power, phone: &'a Phone) -> Director<'a> {
        Director { power, phone, tally: Tally::default() }
    }

    /// Does one step.
    pub fn perform(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Sleep => self.attempt(ALARM_S, || Ok(())).map(drop),
            Step::Abort(name) => self.abort(name),
            Step::AbortLate => self.abort_late(),
            Step::Blocked(name) => self.blocked(name),
            Step::Overlap(first, second) => self.overlap(first, second),
            Step::BornAndDies(name) => self.phone.short_life(name, SHORT_LIFE),
        }
    }

    fn blocked(&mut self, name: &str) -> Result<()> {
        let source = self.phone.source(name)?;
        source.activate()?;
        self.attempt_while(|| {
            thread::sleep(BLOCKED);
            source.relax()
        })
    }

    fn overlap(&mut self, first: &str, second: &str) -> Result<()> {
        let (first, second) = (self.phone.source(first)?, self.phone.source(second)?);
        first.activate()?;
        self.attempt_while(|| {
            thread::sleep(OVERLAP_AFTER);
            second.activate()?;
            thread::sleep(OVERLAP - OVERLAP_AFTER);
            first.relax()?;
            thread::sleep(OVERLAP_AFTER);
            second.relax()
        })
    }

    /// An attempt, and something else at the same time.
    fn attempt_while(&mut self, other: impl FnOnce() -> Result<()> + Send) -> Result<()> {
        thread::scope(|scope| {
            let other = scope.spawn(other);
            self.attempt(ALARM_S, || Ok(()))?;
            joined(other)
        })
    }

    /// User space is frozen soon after the attempt begins, so another thread activates the source
    /// before that. Where it came too late, the attempt slept; then it is done without that thread,
    /// between the two writes of the suspend loop, which no attempt survives.
    fn abort(&mut self, name: &str) -> Result<()> {
        let source = self.phone.source(name)?;
        if self.aborted_by_thread(source)? {
            return Ok(());
        }
        let errno = self.attempt(MISSED_ALARM_S, || source.activate())?;
        thread::sleep(ABORT_HOLD);
        source.relax()?;
        if errno == EBUSY { Ok(()) } else { event::now(Event::AbortMissed { source: name }) }
    }

    fn aborted_by_thread(&mut self, source: &Source) -> Result<bool> {
        let cue = Cue::default();
        thread::scope(|scope| {
            let holder = scope.spawn(|| {
                cue.take();
                spin(ABORT_AFTER);
                source.activate()?;
                thread::sleep(ABORT_HOLD);
                source.relax()
            });
            let errno = self.attempt(MISSED_ALARM_S, || {
                cue.give();
                Ok(())
            });
            // Also where the attempt came not so far, or the other thread would wait for ever.
            cue.give();
            joined(holder)?;
            Ok(errno? == EBUSY)
        })
    }

    /// A timer aborts the attempt after user space is frozen. Where it fires before devices suspend,
    /// it is set later; where the attempt sleeps, earlier.
    fn abort_late(&mut self) -> Result<()> {
        let timer = &self.phone.timer;
        let mut delay = LATE_AFTER;
        for _ in 0..LATE_TRIES {
            let failures = failed_devices();
            let mut due_ns = 0;
            let errno = self.attempt(MISSED_ALARM_S, || {
                due_ns = boot_ns() + delay.as_nanos() as u64;
                timer.arm(delay)
            })?;
            thread::sleep(LATE_HOLD);
            if timer.relax()? {
                event::at(due_ns, Event::Activate { source: timer::NAME })?;
                event::now(Event::Relax { source: timer::NAME })?;
            }
            if errno == EBUSY && failed_devices() != failures {
                return Ok(());
            }
            delay = if errno == EBUSY { delay * 3 / 2 } else { delay * 2 / 3 };
        }
        event::now(Event::AbortMissed { source: timer::NAME })
    }

    /// Waits, suspends, prints; returns the errno.
    fn attempt(&mut self, alarm_s: u64, started: impl FnOnce() -> Result<()>) -> Result<i32> {
        let attempt = self.power.attempt(alarm_s, started)?;
        let errno = attempt.errno;
        match errno {
            0 => self.tally.succeeded += 1,
            EBUSY => self.tally.busy += 1,
            _ => self.tally.other += 1,
        }
        let n = self.tally.attempts();
        for wait in &attempt.waits {
            event::at(wait.begin_ns, Event::WaitBegin {})?;
            event::at(wait.end_ns, Event::WaitEnd { wait_ns: wait.ns() })?;
        }
        let write = attempt.write;
        event::at(write.begin_ns, Event::AttemptBegin { n })?;
        event::at(write.end_ns, Event::AttemptEnd { n, errno, attempt_ns: write.ns() })?;
        Ok(errno)
    }
}

/// How often devices failed to suspend so far, at any stage. It distinguishes an abort among devices from one
/// before, and is empty where the kernel counts no such thing: then any abort is later than none.
fn failed_devices() -> Vec<String> {
    ["failed_prepare", "failed_suspend", "failed_suspend_late", "failed_suspend_noirq"]
        .iter()
        .filter_map(|name| fs::read_to_string(format!("/sys/power/suspend_stats/{name}")).ok())
        .collect()
}

/// Lets a thread begin at a certain moment. Both sides spin: a sleeping thread would take longer to
/// wake than the freezer takes to come.
#[derive(Default)]
struct Cue {
    announced: AtomicBool,
    awaited: AtomicBool,
    given: AtomicBool,
}

impl Cue {
    /// Waits for it.
    fn take(&self) {
        until(&self.announced);
        self.awaited.store(true, Ordering::Release);
        until(&self.given);
    }

    /// Gives it as the last thing it does, when the other thread surely has a CPU.
    fn give(&self) {
        self.announced.store(true, Ordering::Release);
        until(&self.awaited);
        self.given.store(true, Ordering::Release);
    }
}

fn until(flag: &AtomicBool) {
    while !flag.load(Ordering::Acquire) {
        thread::yield_now();
    }
}

/// Lets others go first: the suspend thread may be on the same CPU, and must get into the kernel.
fn spin(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        thread::yield_now();
    }
}

fn joined(thread: thread::ScopedJoinHandle<Result<()>>) -> Result<()> {
    thread.join().map_err(|_| anyhow!("a thread that held a source panicked"))?
}
