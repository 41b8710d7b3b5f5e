//! The processes that wait for files with EPOLLWAKEUP, which makes a wakeup source for each such file.
//!
//! `/proc/PID/fdinfo/FD` of an epoll set lists its files and their events (`ep_show_fdinfo`, `fs/eventpoll.c`, 5.10 to
//! 7.3). The source has the name of the file's directory entry (`ep_create_wakeup_source`), which the link
//! `/proc/PID/fd/FD` shows for most kinds of files.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::value;

/// `EPOLLWAKEUP`, `include/uapi/linux/eventpoll.h`.
const WAKEUP: u32 = 1 << 29;

/// The name of the source that each epoll set has of its own, besides those of its files.
const SET: &[u8] = b"eventpoll";

/// The look ends after this long.
const LIMIT: Duration = Duration::from_secs(2);

/// The most that are recorded.
const MOST: usize = 1024;

/// A process that waits for such a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpollWaiter {
    /// The name of the file's source.
    pub name: Vec<u8>,
    /// The process' id.
    pub process: u32,
    /// Its user.
    pub uid: u32,
    /// Its name (`comm`).
    pub comm: Vec<u8>,
}

/// All of them, as far as time goes, and whether every process was seen.
pub fn find() -> (Vec<EpollWaiter>, bool) {
    look(Path::new("/proc"), Instant::now() + LIMIT)
}

fn look(proc: &Path, until: Instant) -> (Vec<EpollWaiter>, bool) {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(proc).into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if Instant::now() >= until || found.len() >= MOST {
            return (found.into_iter().collect(), false);
        }
        let folder = entry.path();
        let names = files(&folder);
        if names.is_empty() {
            continue;
        }
        let uid = fs::metadata(&folder).map_or(0, |metadata| metadata.uid());
        let comm = value(&folder.join("comm")).unwrap_or_default();
        let waiter = |name| EpollWaiter { name, process, uid, comm: comm.clone() };
        found.extend(names.into_iter().map(waiter));
    }
    (found.into_iter().collect(), true)
}

/// The names of a process' sources.
fn files(process: &Path) -> BTreeSet<Vec<u8>> {
    let mut names = BTreeSet::new();
    for fd in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
        let is_set =
            fs::read_link(fd.path()).is_ok_and(|link| link == Path::new("anon_inode:[eventpoll]"));
        if !is_set {
            continue;
        }
        let info = fs::read_to_string(process.join("fdinfo").join(fd.file_name()));
        for target in info.unwrap_or_default().lines().filter_map(awaited) {
            names.insert(SET.to_vec());
            let link = fs::read_link(process.join(format!("fd/{target}")));
            names.extend(link.ok().and_then(|link| name(process, &link)));
        }
    }
    names
}

/// The file of a line `tfd:        8 events: 20000019 data: …`, if it is with EPOLLWAKEUP.
fn awaited(line: &str) -> Option<u32> {
    let mut words = line.strip_prefix("tfd:")?.split_ascii_whitespace();
    let file = words.next()?.parse().ok()?;
    let events = words.next().filter(|word| *word == "events:").and(words.next())?;
    (u32::from_str_radix(events, 16).ok()? & WAKEUP != 0).then_some(file)
}

/// The name of the directory entry behind a link of `/proc/PID/fd`; `None` where the link does not show it.
fn name(process: &Path, link: &Path) -> Option<Vec<u8>> {
    let bytes = link.as_os_str().as_bytes();
    if let Some(kind) = bytes.strip_prefix(b"anon_inode:") {
        return Some(kind.to_vec());
    }
    if let Some(inode) = bytes.strip_prefix(b"socket:[") {
        let inode = std::str::from_utf8(inode.strip_suffix(b"]")?).ok()?;
        return is_netlink(&process.join("net/netlink"), inode).then(|| b"NETLINK".to_vec());
    }
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(
        bytes.strip_suffix(b" (deleted)").unwrap_or(bytes),
    ));
    path.is_absolute().then(|| path.file_name().map(|name| name.as_bytes().to_vec())).flatten()
}

/// The inode is a line's last column (`netlink_native_seq_show`, `net/netlink/af_netlink.c`).
fn is_netlink(list: &Path, inode: &str) -> bool {
    let text = fs::read_to_string(list).unwrap_or_default();
    text.lines().any(|line| line.split_ascii_whitespace().next_back() == Some(inode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_with_epollwakeup_are_found() {
        let proc = tempfile::tempdir().unwrap();
        let process = proc.path().join("812");
        for folder in ["fd", "fdinfo", "net"] {
            fs::create_dir_all(process.join(folder)).unwrap();
        }
        fs::create_dir_all(proc.path().join("sys")).unwrap();
        fs::write(process.join("comm"), "system|server\n").unwrap();
        fs::write(process.join("net/netlink"), "sk Eth Pid Inode\n0000 15 1 77\n").unwrap();
        for (fd, target) in [
            (4, "anon_inode:[eventpoll]"),
            (5, "anon_inode:[timerfd]"),
            (6, "/dev/input/event3"),
            (7, "socket:[77]"),
            (8, "socket:[78]"),
            (9, "anon_inode:inotify"),
            (10, "/data/fifo (deleted)"),
        ] {
            symlink(target, process.join(format!("fd/{fd}"))).unwrap();
        }
        let line =
            |fd, events| format!("tfd: {fd:8} events: {events:8x} data: 1 pos:0 ino:2e sdev:9\n");
        let wakeup = [5, 6, 7, 8, 10].map(|fd| line(fd, 0xe000_0019u32)).concat();
        fs::write(
            process.join("fdinfo/4"),
            format!("pos:\t0\n{wakeup}{}nonsense\n", line(9, 0x19)),
        )
        .unwrap();
        let (found, all) = look(proc.path(), Instant::now() + LIMIT);
        let names: Vec<_> = found.iter().map(|one| String::from_utf8_lossy(&one.name)).collect();
        assert_eq!(names, ["NETLINK", "[timerfd]", "event3", "eventpoll", "fifo"]);
        assert!(all && found.iter().all(|one| one.process == 812 && one.comm == b"system|server"));
        assert!(!look(proc.path(), Instant::now()).1);
    }

    #[test]
    fn lines_that_are_no_files_are_skipped() {
        assert_eq!(awaited("tfd:        5 events: 20000001 data: 0"), Some(5));
        for line in [
            "",
            "tfd:",
            "tfd: x events: 20000001",
            "tfd: 5 events: 1",
            "tfd: 5 20000001",
            "tfd: 5 events: z",
        ] {
            assert_eq!(awaited(line), None, "{line:?}");
        }
    }
}
