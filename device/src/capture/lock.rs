//! The capture lock: a device runs one capture at a time. Two would hook everything twice and
//! appear in each other's traces.
//!
//! The lock is a listening socket with an abstract name. The kernel frees it however its owner
//! dies, it needs no file system that both can write to, and a connection reveals the owner's pid
//! and user. The name of another user than root or the agent's own is ignored.
//! Abstract names belong to a network namespace: `adb shell` and `su` share the device's own, but
//! captures inside and outside a container don't see each other. SELinux must let the domain create
//! `unix_stream_socket`s, as it does for root over adb and `su`. If it does not, the capture runs
//! without the lock.

use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, socket,
};
use nix::unistd::geteuid;

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
            Err(Errno::EADDRINUSE) => {
                let owner = peer(name).ok().or_else(|| holder(name));
                judge(owner, geteuid().as_raw())?;
                Ok(Self { _socket: None })
            }
            Err(error) => {
                log::warn!(
                    "the capture lock is not available, so another sleepwalkd may be recording: {error}"
                );
                Ok(Self { _socket: None })
            }
        }
    }
}

/// The process that has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    pid: i32,
    uid: u32,
}

/// An error if the owner may be an agent: root's, or one of this user. Any app can take an abstract
/// name, and must neither keep captures from running nor have a person kill a process of its choice.
fn judge(owner: Option<Owner>, own: u32) -> Result<()> {
    match owner {
        Some(Owner { pid, uid }) if uid == 0 || uid == own => bail!(
            "another sleepwalkd records on this device, with pid {pid}: end it first (`sleepwalk \
             stop` on the host, or `kill {pid}` on the device, finishes its trace), or wait until it \
             is done"
        ),
        Some(Owner { pid, uid }) => {
            log::warn!(
                "the capture lock's name is taken by process {pid} of user {uid}, who is not root: \
                 it is ignored"
            );
            Ok(())
        }
        // It has ended meanwhile, or this user may not look at it.
        None => bail!(
            "another sleepwalkd records on this device, and its pid is unknown: end it first, or try \
             again"
        ),
    }
}

fn bound(name: &[u8]) -> Result<OwnedFd, Errno> {
    let socket = open()?;
    bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name)?)?;
    // Connections are never accepted: the peer closes them at once.
    listen(&socket, Backlog::MAXCONN)?;
    Ok(socket)
}

/// The owner, by a connection to it. The kernel noted both numbers when it began to listen.
fn peer(name: &[u8]) -> Result<Owner, Errno> {
    let socket = open()?;
    connect(socket.as_raw_fd(), &UnixAddr::new_abstract(name)?)?;
    let peer = getsockopt(&socket, PeerCredentials)?;
    Ok(Owner { pid: peer.pid(), uid: peer.uid() })
}

/// The owner of a socket that takes no connection: it does not listen, or its queue is full. Only root
/// sees the descriptors of other users.
fn holder(name: &[u8]) -> Option<Owner> {
    let inodes = inodes(&fs::read("/proc/net/unix").ok()?, name);
    let owners = fs::read_dir("/proc").ok()?.flatten().filter_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        let is_it = |link: &Path| {
            let target = fs::read_link(link).ok()?.into_os_string().into_string().ok()?;
            let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
            inodes.iter().any(|one| one == inode).then_some(())
        };
        let found = files.find(|file| is_it(&file.path()).is_some())?;
        // The user who made the socket, whatever the process has become since (`sock_alloc`,
        // `net/socket.c`).
        Some(Owner { pid, uid: fs::metadata(found.path()).ok()?.uid() })
    });
    owners.min_by_key(|owner| owner.uid)
}

/// The inodes of the sockets with this abstract name, in text of the form `/proc/net/unix`
/// (`unix_seq_show`, `net/unix/af_unix.c`).
fn inodes(table: &[u8], name: &[u8]) -> Vec<String> {
    let path = [b"@", name].concat();
    let lines = table.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
        let inode = fields.nth(6)?;
        (fields.next()? == path && fields.next().is_none()).then_some(inode)
    });
    lines.map(|inode| String::from_utf8_lossy(inode).into_owned()).collect()
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

    #[test]
    fn a_socket_that_does_not_listen_is_found() {
        let name = format!("sleepwalkd.mute.{}", std::process::id());
        let socket = open().unwrap();
        bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes()).unwrap()).unwrap();
        assert_eq!(peer(name.as_bytes()), Err(Errno::ECONNREFUSED));
        let own = Owner { pid: std::process::id() as i32, uid: geteuid().as_raw() };
        assert_eq!(holder(name.as_bytes()), Some(own));
        drop(socket);
        assert_eq!(holder(name.as_bytes()), None);
    }

    #[test]
    fn only_root_and_the_own_user_hold_the_lock() {
        let owner = |uid| Some(Owner { pid: 7, uid });
        assert!(judge(owner(0), 2000).unwrap_err().to_string().contains("pid 7:"));
        assert!(judge(owner(2000), 2000).is_err());
        assert!(judge(None, 0).unwrap_err().to_string().contains("unknown"));
        judge(owner(10_123), 0).unwrap();
        judge(owner(10_123), 2000).unwrap();
    }

    #[test]
    fn sockets_are_found_by_their_whole_name() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01  4711 @a.b\n\
            0000000000000000: 00000002 00000000 00010000 0001 01  4712 @a.bc\n\
            0000000000000000: 00000003 00000000 00000000 0001 03  4713\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 4714 /x @a.b\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 4715 @a.b\n";
        assert_eq!(inodes(table, b"a.b"), ["4711", "4715"]);
        assert_eq!(inodes(b"", b"a.b"), [""; 0]);
    }
}
