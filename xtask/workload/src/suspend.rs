//! `suspend`: what Android's SystemSuspend does, over and over.
//!
//! Read /sys/power/wakeup_count, which waits while any source is active; write the number back; if
//! the kernel takes it, write `mem` to /sys/power/state. From then on any wakeup event aborts the
//! attempt. If the kernel refuses the number, an event came in between: begin again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, value_parser};
use nix::errno::Errno;
use serde::Serialize;
use sleepwalk_trace::units;

use crate::clock::boot_ns;
use crate::stop::Stop;
use crate::{capabilities, event, worker};

const STATE: &str = "/sys/power/state";
const WAKEUP_COUNT: &str = "/sys/power/wakeup_count";
const WAKEALARM: &str = "/sys/class/rtc/rtc0/wakealarm";

/// Pause after the kernel refused the number: the source that caused it is mostly still active, so
/// the next read waits for it anyway.
const AFTER_LOST_RACE: Duration = Duration::from_millis(2);

/// A span of CLOCK_BOOTTIME.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub begin_ns: u64,
    pub end_ns: u64,
}

impl Span {
    /// Its length in ns.
    pub fn ns(self) -> u64 {
        self.end_ns - self.begin_ns
    }
}

/// One attempt, with the waits that came before it.
#[derive(Debug)]
pub struct Attempt {
    /// The reads of wakeup_count; all but the last were for a number that was refused.
    pub waits: Vec<Span>,
    /// The write of `mem`.
    pub write: Span,
    /// 0, or what the kernel returned, such as -16 (EBUSY).
    pub errno: i32,
}

/// The kernel's files, checked.
pub struct Power {
    closed: Arc<Mutex<bool>>,
}

/// When this is dropped, the wake alarm is off and no attempt begins any more.
///
/// It belongs to the main thread, because the one that suspends may be stuck in a wait. Both go by
/// the same lock: an attempt that began after the alarm was cleared would never end.
pub struct AlarmOff {
    closed: Arc<Mutex<bool>>,
}

impl Power {
    /// Checks that this device can suspend and be woken by its clock.
    pub fn open() -> Result<Power> {
        capabilities::check()?;
        let states = fs::read_to_string(STATE).with_context(|| {
            format!("{STATE} cannot be read: this kernel cannot suspend (CONFIG_SUSPEND)")
        })?;
        if !states.split_whitespace().any(|state| state == "mem") {
            bail!("{STATE} offers `{}` but no `mem`: this device cannot suspend", states.trim());
        }
        for file in [WAKEUP_COUNT, WAKEALARM] {
            fs::metadata(file).with_context(|| {
                format!("{file} is missing: without it nothing here would wake the device again")
            })?;
        }
        clear_alarm()?;
        Ok(Power { closed: Arc::default() })
    }

    /// Leaves no alarm behind.
    pub fn alarm_off(&self) -> AlarmOff {
        AlarmOff { closed: Arc::clone(&self.closed) }
    }

    /// Waits until the kernel lets us, then suspends until the alarm. `started` runs right before
    /// `mem` is written.
    pub fn attempt(&self, alarm_s: u64, started: impl FnOnce() -> Result<()>) -> Result<Attempt> {
        self.attempt_when(alarm_s, || Ok(()), started)
    }

    /// The same by a user space that is not ready at once: `ready` runs after each read of the count,
    /// before the number is written.
    pub fn attempt_when(
        &self,
        alarm_s: u64,
        mut ready: impl FnMut() -> Result<()>,
        started: impl FnOnce() -> Result<()>,
    ) -> Result<Attempt> {
        let mut waits = Vec::new();
        let not_closed = loop {
            let begin_ns = boot_ns();
            let count = read_count()?;
            waits.push(Span { begin_ns, end_ns: boot_ns() });
            ready()?;
            let not_closed = self.not_closed()?;
            match write(WAKEUP_COUNT, &count) {
                Ok(()) => break not_closed,
                Err(error) if is(&error, Errno::EINVAL) => {}
                Err(error) => return Err(error).context(WAKEUP_COUNT),
            }
            drop(not_closed);
            thread::sleep(AFTER_LOST_RACE);
        };
        suspend(not_closed, alarm_s, started, waits)
    }

    /// Suspends until the alarm without a look at the count: no wakeup event keeps the kernel from it.
    pub fn attempt_unarmed(
        &self,
        alarm_s: u64,
        started: impl FnOnce() -> Result<()>,
    ) -> Result<Attempt> {
        suspend(self.not_closed()?, alarm_s, started, Vec::new())
    }

    fn not_closed(&self) -> Result<MutexGuard<'_, bool>> {
        let closed = lock(&self.closed);
        if *closed {
            bail!("stopped");
        }
        Ok(closed)
    }
}

fn suspend(
    _not_closed: MutexGuard<bool>,
    alarm_s: u64,
    started: impl FnOnce() -> Result<()>,
    waits: Vec<Span>,
) -> Result<Attempt> {
    clear_alarm()?;
    write(WAKEALARM, &format!("+{alarm_s}"))
        .with_context(|| format!("`+{alarm_s}` into {WAKEALARM}"))?;
    // Opened before, so that nothing but the write is between the stamps.
    let mut state = OpenOptions::new().write(true).open(STATE).context(STATE)?;
    started()?;
    let begin_ns = boot_ns();
    let written = state.write_all(b"mem");
    let write = Span { begin_ns, end_ns: boot_ns() };
    let errno = match written {
        Ok(()) => 0,
        Err(error) => -error.raw_os_error().with_context(|| format!("{STATE}: {error}"))?,
    };
    Ok(Attempt { waits, write, errno })
}

impl Drop for AlarmOff {
    fn drop(&mut self) {
        let mut closed = lock(&self.closed);
        *closed = true;
        if let Err(error) = clear_alarm() {
            event::complain(format_args!("{error:#}"));
        }
    }
}

/// An alarm that is set must be cleared before another one: the kernel returns EBUSY otherwise.
fn clear_alarm() -> Result<()> {
    write(WAKEALARM, "0").with_context(|| format!("`0` into {WAKEALARM}"))
}

/// A flag has no state that a panic could leave half done.
fn lock(flag: &Mutex<bool>) -> MutexGuard<'_, bool> {
    flag.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_count() -> Result<String> {
    let mut text = [0; 64];
    let read = loop {
        // One read of one open: a second one would wait again.
        match File::open(WAKEUP_COUNT).and_then(|mut file| file.read(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other.context(WAKEUP_COUNT)?,
        }
    };
    Ok(String::from_utf8_lossy(&text[..read]).trim().to_owned())
}

fn write(path: &str, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// The line that `suspend` prints for an attempt.
#[derive(Serialize)]
struct Line {
    n: u32,
    /// When `mem` was written.
    t_ns: u64,
    errno: i32,
    wait_ns: u64,
    attempt_ns: u64,
    /// How often the kernel refused the number.
    lost_races: usize,
}

/// Suspend as Android does, with a JSON line for each attempt
#[derive(Args, Debug, PartialEq)]
pub struct Options {
    /// How many attempts
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub times: u32,
    /// When the RTC wakes the device: whole seconds
    #[arg(long = "alarm", value_name = "TIME", default_value = "2s", value_parser = whole_seconds)]
    pub alarm_s: u64,
    /// How long to wait between attempts
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = units::duration)]
    pub gap: Duration,
}

fn whole_seconds(text: &str) -> Result<u64, String> {
    let time = units::positive_duration(text);
    match time {
        Ok(time) if time.subsec_nanos() == 0 => Ok(time.as_secs()),
        _ => Err(format!("`{text}`: the RTC counts whole seconds, so give 1s, 2s and so on")),
    }
}

/// Suspends as often as asked.
pub fn run(options: &Options) -> Result<()> {
    let stop = Stop::new()?;
    let power = Power::open()?;
    let _alarm_off = power.alarm_off();
    let Options { times, alarm_s, gap } = *options;
    worker::run(&stop, move || attempts(power, times, alarm_s, gap))
}

fn attempts(power: Power, times: u32, alarm_s: u64, gap: Duration) -> Result<()> {
    for n in 1..=times {
        let Attempt { waits, write, errno } = power.attempt(alarm_s, || Ok(()))?;
        event::line(&Line {
            n,
            t_ns: write.begin_ns,
            errno,
            wait_ns: waits.iter().map(|wait| wait.ns()).sum(),
            attempt_ns: write.ns(),
            lost_races: waits.len() - 1,
        })?;
        if n < times {
            thread::sleep(gap);
        }
    }
    Ok(())
}
