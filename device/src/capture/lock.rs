//! The capture lock: a device runs one capture at a time. Two would hook everything twice and
//! appear in each other's traces.
//!
//! The lock is a listening socket with an abstract name. The kernel frees it however its owner
//! dies, it needs no file system that both can write to, and a connection reveals the owner's pid.
//! Abstract names belong to a network namespace: `adb shell` and `su` share the device's own, but
//! captures inside and outside a container don't see each other. SELinux must let the domain create
//! `unix_stream_socket`s, as it does for root over adb and `su`. If it does not, the capture runs
//! without the lock.

use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, socket,
};

/// The kernel puts a NUL before it, as in all abstract names.
const NAME: &[u8] = b"sleepwalkd.record";

/// The lock, held for as long as the capture lasts.
#[derive(Debug)]
pub struct CaptureLock {
    _socket: Option<OwnedFd>,
}

impl CaptureLock {
    /// Takes the lock. The error names its owner.
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
                // The owner has died meanwhile, or too many ask at once.
                Err(error) => bail!(
                    "another sleepwalkd records on this device, and its pid is unknown ({error}): \
                     end it first, or try again"
                ),
            },
            Err(error) => {
                log::warn!(
                    "the capture lock is not available, so another sleepwalkd may be recording: {error}"
                );
                Ok(Self { _socket: None })
            }
        }
    }
}

fn bound(name: &[u8]) -> Result<OwnedFd, Errno> {
    let socket = open()?;
    bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name)?)?;
    // Connections are never accepted: the peer closes them at once.
    listen(&socket, Backlog::MAXCONN)?;
    Ok(socket)
}

/// The pid of the owner.
fn owner(name: &[u8]) -> Result<i32, Errno> {
    let socket = open()?;
    connect(socket.as_raw_fd(), &UnixAddr::new_abstract(name)?)?;
    Ok(getsockopt(&socket, PeerCredentials)?.pid())
}

/// A socket that never blocks: a full queue of connections is an error.
fn open() -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_names_its_owner_and_dies_with_it() {
        let name = format!("sleepwalkd.test.{}", std::process::id());
        let first = CaptureLock::take_named(name.as_bytes()).unwrap();
        let pid = std::process::id();
        for _ in 0..100 {
            let error = CaptureLock::take_named(name.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(&format!("pid {pid}:")), "{error}");
        }
        drop(first);
        CaptureLock::take_named(name.as_bytes()).unwrap();
    }
}
