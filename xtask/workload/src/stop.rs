//! When to end: a signal, stdin's end, or the time.

use std::io::{IsTerminal as _, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{SFlag, fstat};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// Why a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// The time was up.
    Time,
    /// SIGINT, SIGTERM or SIGHUP came.
    Signal(Signal),
    /// Stdin has no writer any more.
    Stdin,
    /// The other file was ready or closed.
    File,
}

/// Takes the ending signals away from their default, which would leave files behind.
pub struct Stop {
    signals: SignalFd,
    /// Measures the time of a wait. A poll's own timeout would not: the kernel starts it again with
    /// what was left when the freezer came, so that suspended time would not count.
    timer: TimerFd,
    /// Whether stdin is something whose end means anything; /dev/null is not.
    stdin: bool,
}

impl Stop {
    /// Call it before there are threads: they inherit the mask.
    pub fn new() -> Result<Stop> {
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            mask.add(signal);
        }
        mask.thread_block().context("signals cannot be blocked")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&mask, flags).context("signalfd")?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags).context("timerfd_create")?;
        Ok(Stop { signals, timer, stdin: false })
    }

    /// Ends at stdin's end too.
    pub fn or_stdin(self) -> Stop {
        let stdin = std::io::stdin();
        let kind =
            fstat(&stdin).map(|s| SFlag::from_bits_truncate(s.st_mode & SFlag::S_IFMT.bits()));
        let talks = matches!(kind, Ok(SFlag::S_IFIFO | SFlag::S_IFSOCK)) || stdin.is_terminal();
        Stop { stdin: talks, ..self }
    }

    /// Waits until that time, for ever where there is none.
    pub fn wait_until(&self, deadline: Option<Instant>) -> Result<Ended> {
        self.wait(deadline, None)
    }

    /// Waits that long; `None` when it did, or why it ended before.
    pub fn sleep(&self, time: Duration) -> Result<Option<Ended>> {
        let ended = self.wait(Some(Instant::now() + time), None)?;
        Ok(Some(ended).filter(|ended| *ended != Ended::Time))
    }

    /// Waits until a file can be read or is closed at its other end.
    pub fn wait_for(&self, file: BorrowedFd) -> Result<Ended> {
        self.wait(None, Some(file))
    }

    fn wait(&self, deadline: Option<Instant>, file: Option<BorrowedFd>) -> Result<Ended> {
        let stdin = std::io::stdin();
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let mut timeout = None;
        match left {
            None => self.timer.unset().context("timerfd_settime")?,
            // Too late already, but a signal may have come.
            Some(Duration::ZERO) => timeout = Some(TimeSpec::from_duration(Duration::ZERO)),
            Some(left) => {
                let when = Expiration::OneShot(TimeSpec::from_duration(left));
                let flags = TimerSetTimeFlags::empty();
                self.timer.set(when, flags).context("timerfd_settime")?;
            }
        }
        loop {
            let mut fds = vec![
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.timer.as_fd(), PollFlags::POLLIN),
            ];
            if let Some(file) = file {
                fds.push(PollFd::new(file, PollFlags::POLLIN));
            } else if self.stdin {
                fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
            }
            match ppoll(&mut fds, timeout, None) {
                Ok(0) => return Ok(Ended::Time),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("poll"),
            }
            let ready = |index: usize| fds.get(index).is_some_and(|fd| fd.any() == Some(true));
            if let Some(info) = self.signals.read_signal().context("read of the signalfd")? {
                // The mask holds no signal that nix does not know.
                let signal = Signal::try_from(info.ssi_signo as i32).unwrap_or(Signal::SIGTERM);
                return Ok(Ended::Signal(signal));
            }
            if ready(2) {
                if file.is_some() {
                    return Ok(Ended::File);
                }
                // Typed input means nothing.
                let mut typed = [0; 512];
                if stdin.lock().read(&mut typed).context("stdin")? == 0 {
                    return Ok(Ended::Stdin);
                }
            }
            if ready(1) {
                return Ok(Ended::Time);
            }
        }
    }
}
