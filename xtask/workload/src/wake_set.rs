//! An epoll set whose members hold the device awake while they have something to read.

use std::os::fd::AsFd;

use anyhow::{Context as _, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// The set. The kernel gives it a wakeup source of its own, `eventpoll`, which is active only while
/// a wait hands events over.
pub struct WakeSet {
    epoll: Epoll,
}

impl WakeSet {
    /// An empty set.
    pub fn new() -> Result<WakeSet> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1")?;
        Ok(WakeSet { epoll })
    }

    /// Gives a file a wakeup source. The kernel ignores EPOLLWAKEUP from those who lack
    /// CAP_BLOCK_SUSPEND, without an error: `capabilities::check` checks for it beforehand.
    pub fn add(&self, file: &impl AsFd) -> Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLWAKEUP;
        self.epoll.add(file, EpollEvent::new(flags, 0)).context("epoll_ctl with EPOLLWAKEUP")
    }

    /// Takes a file's wakeup source away.
    pub fn remove(&self, file: &impl AsFd) -> Result<()> {
        self.epoll.delete(file).context("epoll_ctl")
    }

    /// Has the kernel look again: a source whose file has nothing to read any more relaxes.
    ///
    /// A source whose file still has something would relax and activate again, so sources that must
    /// be held without a gap have a set each.
    pub fn settle(&self) -> Result<()> {
        let mut events = [EpollEvent::empty(); 4];
        self.epoll.wait(&mut events, EpollTimeout::ZERO).context("epoll_wait")?;
        Ok(())
    }

    /// The same for as many sources as `events` has room for. One whose file still has something
    /// relaxes and activates again (`ep_send_events` in fs/eventpoll.c, 7.3).
    pub fn settle_all(&self, events: &mut [EpollEvent]) -> Result<()> {
        self.epoll.wait(events, EpollTimeout::ZERO).context("epoll_wait")?;
        Ok(())
    }
}
