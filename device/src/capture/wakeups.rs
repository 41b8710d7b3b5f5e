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
    /// A signal came that ends the capture.
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

/// The signals that would kill the process, as requests to finish.
#[derive(Debug)]
pub struct Signals(SignalFd);

/// The signals that end a process unless it catches them (signal(7)), without those of its own
/// faults. SIGPIPE is ignored by Rust's runtime. SIGKILL cannot be caught, and real-time signals
/// belong to the C library.
const ENDING: [Signal; 15] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGABRT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGTERM,
    Signal::SIGSTKFLT,
    Signal::SIGXCPU,
    Signal::SIGXFSZ,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGIO,
    Signal::SIGPWR,
];

impl Signals {
    /// From here on they no longer kill the process. One that comes before the capture has started
    /// ends it cleanly as soon as it has. A `detached` capture does not end by SIGHUP.
    pub fn hold(detached: bool) -> Result<Self> {
        let ends = |one: &Signal| !(detached && *one == Signal::SIGHUP);
        let set: SigSet = ENDING.into_iter().filter(ends).collect();
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

#[cfg(test)]
mod tests {
    use nix::sys::eventfd::EventFd;
    use nix::sys::signal::raise;

    use super::*;

    fn wakeups(detached: bool) -> Wakeups {
        let signals = Signals::hold(detached).unwrap();
        // The descriptor stays in the epoll set for as long as it is open.
        let events: &'static EventFd = Box::leak(Box::new(EventFd::new().unwrap()));
        Wakeups::new(events.as_fd(), signals, Duration::from_secs(3600), None).unwrap()
    }

    #[test]
    fn every_ending_signal_is_a_request() {
        let mut wakeups = wakeups(false);
        for signal in ENDING {
            raise(signal).unwrap();
            let woken = wakeups.wait(Some(10_000)).unwrap();
            assert_eq!(woken, Woken { signal: true, ..Woken::default() }, "{signal}");
            assert_eq!(wakeups.wait(Some(0)).unwrap(), Woken::default());
        }
    }

    #[test]
    fn only_sighup_leaves_a_detached_capture() {
        let blocked = std::thread::spawn(|| {
            let _signals = Signals::hold(true).unwrap();
            SigSet::thread_get_mask().unwrap()
        });
        let blocked = blocked.join().unwrap();
        let missing: Vec<_> = ENDING.into_iter().filter(|one| !blocked.contains(*one)).collect();
        assert_eq!(missing, [Signal::SIGHUP]);
    }
}
