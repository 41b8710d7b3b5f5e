//! One capture at a time on a device: two would hook everything twice, and be in each other's traces.
//!
//! The lock is a listening socket with an abstract name. The kernel frees it at any death of its owner,
//! it needs no file system that both can write to, and who connects is told the owner's pid. It stands
//! in a network namespace: `adb shell` and `su` share the device's own, a container has another, and
//! captures inside and outside don't see each other. SELinux must allow the domain sockets of its own
//! (`unix_stream_socket`), as it does for root over adb and `su`; where the lock can't be had for such a
//! reason, a capture is not kept from beginning.

use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, socket,
};

/// Behind a NUL, as abstract names are.
const NAME: &[u8] = b"sleepwalkd.record";

/// Held as long as the capture lasts.
#[derive(Debug)]
pub struct Alone {
    _socket: Option<OwnedFd>,
}

impl Alone {
    /// Takes the lock, or says who has it.
    pub fn take() -> Result<Self> {
        Self::take_named(NAME)
    }

    fn take_named(name: &[u8]) -> Result<Self> {
        match bound(name) {
            Ok(socket) => Ok(Self { _socket: Some(socket) }),
            Err(Errno::EADDRINUSE) => match owner(name) {
                Ok(pid) => bail!(
                    "another sleepwalkd records on this device, with pid {pid}: end it first \
                     (`sleepwalk stop` on the host, or `kill {pid}` on the device, finishes its \
                     trace), or wait until it is done"
                ),
                // It has died meanwhile, or is asked by too many at once.
                Err(error) => bail!(
                    "another sleepwalkd records on this device, and does not say its pid ({error}): \
                     end it first, or try again"
                ),
            },
            Err(error) => {
                log::warn!("whether another sleepwalkd records here can't be told: {error}");
                Ok(Self { _socket: None })
            }
        }
    }
}

fn bound(name: &[u8]) -> Result<OwnedFd, Errno> {
    let socket = open()?;
    bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name)?)?;
    // Connections are never accepted; who asks goes away at once.
    listen(&socket, Backlog::MAXCONN)?;
    Ok(socket)
}

/// The pid of who listens.
fn owner(name: &[u8]) -> Result<i32, Errno> {
    let socket = open()?;
    connect(socket.as_raw_fd(), &UnixAddr::new_abstract(name)?)?;
    Ok(getsockopt(&socket, PeerCredentials)?.pid())
}

/// It never waits: a queue of askers that is full is an error.
fn open() -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_the_firsts_pid_and_the_third_may_when_it_is_gone() {
        let name = format!("sleepwalkd.test.{}", std::process::id());
        let first = Alone::take_named(name.as_bytes()).unwrap();
        let pid = std::process::id();
        for _ in 0..100 {
            let error = Alone::take_named(name.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(&format!("pid {pid}:")), "{error}");
        }
        drop(first);
        Alone::take_named(name.as_bytes()).unwrap();
    }
}
