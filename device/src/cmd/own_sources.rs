//! Wakeup sources of this process, which `measure` activates.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::{pipe2, read, write};

/// Pipes in an epoll set: each has a wakeup source, and the set has one, `eventpoll` (`ep_insert` and
/// `ep_create_wakeup_source`, `fs/eventpoll.c`, 7.3).
pub struct OwnSources {
    epoll: Epoll,
    pipes: Vec<(OwnedFd, OwnedFd)>,
    events: Vec<EpollEvent>,
}

impl OwnSources {
    /// `count` sources with the set's own, none if that is 0. The kernel ignores EPOLLWAKEUP without
    /// CAP_BLOCK_SUSPEND.
    pub fn new(count: u32) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1")?;
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLWAKEUP;
        let mut pipes = Vec::new();
        for _ in 1..count {
            let pipe = pipe2(OFlag::O_CLOEXEC).context("pipe2")?;
            epoll.add(&pipe.0, EpollEvent::new(flags, 0)).context("epoll_ctl with EPOLLWAKEUP")?;
            pipes.push(pipe);
        }
        let events = vec![EpollEvent::empty(); pipes.len().max(1)];
        Ok(Self { epoll, pipes, events })
    }

    /// Activates and deactivates each once.
    pub fn activate(&mut self) -> Result<()> {
        if self.pipes.is_empty() {
            return Ok(());
        }
        for (reader, writer) in &self.pipes {
            write(writer, b"1").context("a pipe cannot be written")?;
            read(reader, &mut [0]).context("a pipe cannot be read")?;
        }
        // The kernel finds nothing to read (`ep_send_events`).
        self.epoll.wait(&mut self.events, EpollTimeout::ZERO).context("epoll_wait")?;
        Ok(())
    }
}
