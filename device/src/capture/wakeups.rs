//! Everything that wakes the agent: events, ticks, the deadline, signals. It does not run in
//! between.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// The reasons for a wake-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Woken {
    /// The probe has sent events.
    pub events: bool,
    /// `--interval` has passed.
    pub tick: bool,
    /// `--duration` is over.
    pub deadline: bool,
    /// SIGINT or SIGTERM came.
    pub signal: bool,
    /// It is time to read the events that did not wake the agent.
    pub flush: bool,
}

/// The timers and descriptors that the agent waits for.
#[derive(Debug)]
pub struct Wakeups {
    epoll: Epoll,
    tick: TimerFd,
    /// Not set without a duration.
    deadline: TimerFd,
    signals: SignalFd,
    /// Set by [`Wakeups::flush_soon`].
    flush: TimerFd,
    flush_is_set: bool,
}

/// SIGINT and SIGTERM, as requests to finish.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// From here on they no longer kill the process. One that comes before the capture has started
    /// ends it cleanly as soon as it has.
    pub fn hold() -> Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        set.add(Signal::SIGTERM);
        set.thread_block().context("signals cannot be blocked")?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        SignalFd::with_flags(&set, flags).map(Self).context("signalfd")
    }
}

const EVENTS: u64 = 0;
const TICK: u64 = 1;
const DEADLINE: u64 = 2;
const SIGNALS: u64 = 3;
const FLUSH: u64 = 4;

/// How long events wait if they did not wake the agent. A power cut loses them, so the time is
/// short; each wake-up of the agent costs power, so it is not shorter.
const FLUSH_AFTER: Duration = Duration::from_secs(3);

impl Wakeups {
    /// Wake-ups by `events`, `signals` and timers.
    ///
    /// No timer uses an `*_ALARM` clock, so none wakes a suspended device: a tick that is due
    /// during a suspend comes after it.
    pub fn new(
        events: BorrowedFd<'_>,
        signals: Signals,
        interval: Duration,
        duration: Option<Duration>,
    ) -> Result<Self> {
        let Signals(signals) = signals;
        let tick = timer(ClockId::CLOCK_MONOTONIC)?;
        tick.set(
            Expiration::Interval(TimeSpec::from_duration(interval)),
            TimerSetTimeFlags::empty(),
        )
        .context("the interval's timer cannot be set")?;
        let deadline = timer(ClockId::CLOCK_BOOTTIME)?;
        if let Some(duration) = duration {
            let at = Expiration::OneShot(TimeSpec::from_duration(duration));
            deadline.set(at, TimerSetTimeFlags::empty()).context("the deadline cannot be set")?;
        }
        let flush = timer(ClockId::CLOCK_MONOTONIC)?;

        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1")?;
        // Never EPOLLWAKEUP: it would make the agent itself a wakeup source.
        let level = EpollFlags::EPOLLIN;
        let watched = [
            // Edge-triggered, because events that wait for the next batch make it readable too.
            (events, level | EpollFlags::EPOLLET, EVENTS),
            (tick.as_fd(), level, TICK),
            (deadline.as_fd(), level, DEADLINE),
            (signals.as_fd(), level, SIGNALS),
            (flush.as_fd(), level, FLUSH),
        ];
        for (fd, flags, name) in watched {
            epoll.add(fd, EpollEvent::new(flags, name)).context("epoll_ctl")?;
        }
        Ok(Self { epoll, tick, deadline, signals, flush, flush_is_set: false })
    }

    /// Wakes the agent once, after a while, for the events that come until then. If the timer is
    /// set already, it stays as it is.
    pub fn flush_soon(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.flush_is_set, true) {
            return Ok(());
        }
        let at = Expiration::OneShot(TimeSpec::from_duration(FLUSH_AFTER));
        self.flush.set(at, TimerSetTimeFlags::empty()).context("the flush timer cannot be set")
    }

    /// Sleeps until there is something to do, or until `most` ms have passed.
    pub fn wait(&mut self, most: Option<u16>) -> Result<Woken> {
        let mut ready = [EpollEvent::empty(); 5];
        let most = most.map_or(EpollTimeout::NONE, EpollTimeout::from);
        let count = match self.epoll.wait(&mut ready, most) {
            // The freezer, or a debugger: nothing happened.
            Err(Errno::EINTR) => 0,
            other => other.context("epoll_wait")?,
        };
        let mut woken = Woken::default();
        for event in &ready[..count] {
            match event.data() {
                EVENTS => woken.events = true,
                TICK => {
                    self.tick.wait().context("the interval's timer")?;
                    woken.tick = true;
                }
                DEADLINE => {
                    self.deadline.wait().context("the deadline")?;
                    woken.deadline = true;
                }
                SIGNALS => {
                    while self.signals.read_signal().context("signalfd")?.is_some() {}
                    woken.signal = true;
                }
                FLUSH => {
                    self.flush.wait().context("the flush timer")?;
                    self.flush_is_set = false;
                    woken.flush = true;
                }
                _ => {}
            }
        }
        Ok(woken)
    }
}

fn timer(clock: ClockId) -> Result<TimerFd> {
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    TimerFd::new(clock, flags).context("timerfd_create")
}
