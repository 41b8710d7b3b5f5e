//! Leaving adbd behind: what a capture needs to go on when adbd ends.
//!
//! Android's init puts each service into a cgroup of its own, and when the service ends it kills all
//! who are still in there (`Service::Reap` and `KillProcessGroup`, `system/core/init/service.cpp`):
//! adbd's shells and their children too, however they were started. adbd ends when the mode of USB
//! changes, by `adb root`, `adb usb` and `adb tcpip`, when debugging is switched off, and in a crash.
//!
//! Which hierarchies there are and where they are mounted differs by version (`/acct`, `/dev/memcg`,
//! `/sys/fs/cgroup`), so both are found in `/proc/self`. Nobody kills a hierarchy's root.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{Pid, getpid, getsid};

/// Out of reach of the kernel's out-of-memory killer, and of Android's lmkd
/// (`OOM_SCORE_ADJ_MIN`, `include/uapi/linux/oom.h`).
const NEVER_KILLED: &str = "-1000";

/// Leaves adbd's cgroups, and the reach of SIGHUP and of the low-memory killers. A failure is only
/// logged: the capture goes on until adbd ends.
///
/// It needs root's capabilities, so it comes before they are dropped.
pub fn from_adbd() {
    // SAFETY: no handler is installed.
    if let Err(error) = unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) } {
        log::warn!("SIGHUP is not ignored: {error}");
    }
    for process in processes() {
        let score = format!("/proc/{process}/oom_score_adj");
        match fs::write(&score, NEVER_KILLED) {
            Ok(()) => log::info!("{score} is {NEVER_KILLED}"),
            Err(error) => log::warn!(
                "{score} cannot be set, so the capture may be killed when memory is low: {error}"
            ),
        }
        match memberships(process) {
            Ok(memberships) => memberships.iter().for_each(|one| one.leave(process)),
            Err(error) => log::warn!("the capture may end with adbd: {error:#}"),
        }
    }
}

/// This process, and the leader of its session: the shell that the host started with `setsid`, which
/// stores the exit code.
fn processes() -> Vec<Pid> {
    let own = getpid();
    let leader = getsid(None).ok().filter(|leader| *leader != own);
    // A leader outside of this pid namespace is 0.
    [Some(own), leader].into_iter().flatten().filter(|pid| pid.as_raw() > 0).collect()
}

/// The group that a process is in, in one hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Membership {
    /// The hierarchy, as `/proc/PID/cgroup` names it; empty for the unified one.
    hierarchy: String,
    /// The group's path in the hierarchy.
    group: String,
    /// The highest group that is mounted: its path in the hierarchy, and its folder.
    top: Option<(String, PathBuf)>,
}

impl Membership {
    fn leave(&self, process: Pid) {
        let name =
            if self.hierarchy.is_empty() { "the unified hierarchy" } else { &self.hierarchy };
        match self.try_leave(process) {
            Ok(top) => {
                log::info!("process {process}: from cgroup {} to {top} ({name})", self.group)
            }
            Err(error) => log::warn!(
                "process {process} stays in cgroup {} ({name}), and may end with adbd: {error:#}",
                self.group
            ),
        }
    }

    fn try_leave(&self, process: Pid) -> Result<&str> {
        let (top, folder) = self.top.as_ref().context("the hierarchy is not mounted")?;
        ensure!(*top != self.group, "no group above it is mounted");
        let members = folder.join("cgroup.procs");
        let moved = File::options()
            .write(true)
            .open(&members)
            .and_then(|mut file| file.write_all(process.to_string().as_bytes()));
        moved.with_context(|| members.display().to_string())?;
        Ok(top)
    }
}

/// The groups of a process that are not the root of their hierarchy.
fn memberships(process: Pid) -> Result<Vec<Membership>> {
    let path = format!("/proc/{process}/cgroup");
    let groups = fs::read_to_string(&path).context(path)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    parse(&groups, &mounts)
}

/// `groups` is of the form `/proc/PID/cgroup` (cgroups(7)), `mounts` of `/proc/self/mountinfo`
/// (proc(5)).
fn parse(groups: &str, mounts: &str) -> Result<Vec<Membership>> {
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
    let mut memberships = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(hierarchy), Some(group)) = (fields.next(), fields.next()) else {
            bail!("{line:?} names no cgroup")
        };
        if group == "/" {
            continue;
        }
        // The shortest path is the highest group.
        let mounted = mounts.iter().filter(|mount| mount.is_of(hierarchy));
        let top = mounted.min_by_key(|mount| mount.group.len());
        memberships.push(Membership {
            hierarchy: hierarchy.to_owned(),
            group: group.to_owned(),
            top: top.map(|mount| (mount.group.to_owned(), mount.folder.clone())),
        });
    }
    Ok(memberships)
}

/// A mounted hierarchy, or a part of it.
struct Mount<'a> {
    group: &'a str,
    folder: PathBuf,
    /// The options of the file system, which name the controllers; `None` for the unified hierarchy.
    options: Option<&'a str>,
}

impl<'a> Mount<'a> {
    /// `None` for other file systems.
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let options = match system.next()? {
            "cgroup2" => None,
            "cgroup" => Some(system.nth(1)?),
            _ => return None,
        };
        let mut mount = mount.split(' ').skip(3);
        let group = mount.next()?;
        let folder = unescape(mount.next()?).ok()?;
        Some(Self { group, folder, options })
    }

    fn is_of(&self, hierarchy: &str) -> bool {
        match self.options {
            None => hierarchy.is_empty(),
            Some(options) => {
                let has = |wanted| options.split(',').any(|option| option == wanted);
                !hierarchy.is_empty() && hierarchy.split(',').all(has)
            }
        }
    }
}

/// A path in which the kernel wrote space, tab, newline and backslash as `\` and three octal digits
/// (`mangle_path`, `fs/seq_file.c`).
fn unescape(text: &str) -> Result<PathBuf> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(3).context("too few digits")?;
        let digits = std::str::from_utf8(digits)?;
        bytes.push(u8::from_str_radix(digits, 8).map_err(|_| anyhow!("{digits:?} is not octal"))?);
        rest = after;
    }
    Ok(OsString::from_vec(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        25 1 0:23 / /proc rw,relatime - proc proc rw\n\
        36 25 0:30 / /sys/fs/cgroup rw,nosuid shared:9 master:1 - cgroup2 none rw,memory_recursiveprot\n\
        37 25 0:31 /uid_0 /mnt/part rw - cgroup none rw,cpuacct\n\
        38 25 0:31 / /ac\\040ct rw - cgroup none rw,cpuacct\n\
        39 25 0:32 / /dev/cpuctl rw - cgroup none rw,cpu\n\
        40 25 0:33 /../part /dev/memcg rw - cgroup none rw,memory\n\
        41 25 0:34 / /systemd rw - cgroup x rw,xattr,release_agent=/a,b,name=systemd\n\
        42 cut - cgroup none";

    fn one(groups: &str) -> Membership {
        let mut all = parse(groups, MOUNTS).unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    #[test]
    fn android_has_both_kinds_of_hierarchy() {
        let all = parse("3:cpuacct:/uid_0/pid_7\n2:cpu:/\n0::/uid_0/pid_7\n", MOUNTS).unwrap();
        let expected =
            [("cpuacct", "/ac ct"), ("", "/sys/fs/cgroup")].map(|(name, folder)| Membership {
                hierarchy: name.to_owned(),
                group: "/uid_0/pid_7".to_owned(),
                top: Some(("/".to_owned(), folder.into())),
            });
        assert_eq!(all, expected);
    }

    #[test]
    fn controllers_share_a_hierarchy_by_name() {
        assert_eq!(one("1:name=systemd:/a:b").group, "/a:b");
        let top = one("1:name=systemd:/a:b").top.unwrap();
        assert_eq!(top.1, PathBuf::from("/systemd"));
        // No mount has both.
        assert_eq!(one("4:cpu,cpuacct:/a").top, None);
    }

    #[test]
    fn what_cannot_be_left_is_said() {
        let own = getpid();
        let error = |groups: &str| format!("{:#}", one(groups).try_leave(own).unwrap_err());
        assert_eq!(error("9:freezer:/a"), "the hierarchy is not mounted");
        assert_eq!(error("9:memory:/../part"), "no group above it is mounted");
        assert!(error("1:name=systemd:/a").starts_with("/systemd/cgroup.procs: "));
    }

    #[test]
    fn a_process_moves_by_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let top = Some(("/".to_owned(), folder.path().to_owned()));
        let group = "/uid_0/pid_7".to_owned();
        let membership = Membership { hierarchy: String::new(), group, top };
        let members = folder.path().join("cgroup.procs");
        fs::write(&members, "").unwrap();
        membership.try_leave(Pid::from_raw(1234)).unwrap();
        let written = fs::read_to_string(&members).unwrap();
        assert_eq!(written, "1234");
    }

    #[test]
    fn any_text_is_read_without_panic() {
        for text in ["", ":", "::", "0::", "x\ny", "\\", "1 2 3 / \\4 - cgroup2", "\u{0}"] {
            let _ = (parse(text, MOUNTS), parse("0::/a", text));
        }
        assert!(parse("nonsense", MOUNTS).is_err());
        assert!(unescape("a\\09x").is_err() && unescape("\\99").is_err());
    }
}
