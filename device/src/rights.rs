//! Capabilities (capabilities(7)): which are there, what is lost without each, and giving them up.

use anyhow::{Result, ensure};
use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::libc;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::utsname::uname;
use nix::unistd::{AccessFlags, faccessat, geteuid};

use crate::preflight::{Check, State, check};

use Capability::{
    CAP_BPF, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_RESOURCE,
    CAP_SYSLOG,
};

/// Before this, maps count as locked memory (`bpf_map_charge_init`, `kernel/bpf/syscall.c`, 5.10).
const MAPS_ARE_ACCOUNTED: (u32, u32) = (5, 11);

/// Where traces go on a phone; it belongs to `shell`, also where root writes there.
const TRACES: &str = "/data/local/tmp";

const KALLSYMS: &str = "/proc/kallsyms";
const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";
const DEBUGFS: &str = "/sys/kernel/debug";

/// What a capture may go on to need, the least first: BPF_PROG_RUN and access to maps (CAP_BPF before
/// 5.19, where the kernel closes bpf(2) to others), and debugfs for one that is not root.
const NEEDS: [&[Capability]; 5] = [
    &[],
    &[CAP_BPF],
    &[CAP_DAC_READ_SEARCH],
    &[CAP_BPF, CAP_DAC_READ_SEARCH],
    &[CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE, CAP_SYSLOG],
];

/// An error that names what is missing without which nothing can be recorded.
pub fn required() -> Result<()> {
    let lacking = [CAP_BPF, CAP_PERFMON].into_iter().filter(|right| !allows(*right));
    let missing: Vec<_> = lacking.map(|right| right.to_string()).collect();
    ensure!(
        missing.is_empty(),
        "user {} may not: {} is missing; run it as root (`adb root`, or through `su`)",
        geteuid(),
        missing.join(" and ")
    );
    Ok(())
}

/// One check for each right.
pub fn checks() -> Vec<Check> {
    const ROOT: &str = "run it as root: `adb root`, or through `su`";
    let one = |right: Capability, otherwise, needed: bool, name, lost, mend| {
        let found = match (allows(right), needed) {
            (true, _) => Ok("held".to_owned()),
            (false, false) => Ok("not held, and not needed here".to_owned()),
            (false, true) => Err(anyhow::anyhow!("user {} does not hold {right}", geteuid())),
        };
        check(name, otherwise, found, lost, mend)
    };
    vec![
        one(
            CAP_BPF,
            State::Missing,
            true,
            "CAP_BPF",
            "everything: the kernel loads no probe",
            ROOT,
        ),
        one(
            CAP_PERFMON,
            State::Missing,
            true,
            "CAP_PERFMON",
            "everything: the probe may not trace the kernel, nor read its memory",
            ROOT,
        ),
        one(
            CAP_SYSLOG,
            State::Degraded,
            !shows_addresses(),
            "CAP_SYSLOG",
            "the walk from the address in /proc/kallsyms, for kernels that lack the kfuncs",
            ROOT,
        ),
        one(
            CAP_DAC_READ_SEARCH,
            State::Degraded,
            std::fs::read_dir(DEBUGFS).is_err(),
            "CAP_DAC_READ_SEARCH",
            "debugfs: snapshots from it, and suspend_stats before Linux 5.4",
            ROOT,
        ),
        one(
            CAP_DAC_OVERRIDE,
            State::Degraded,
            !may_write(TRACES),
            "CAP_DAC_OVERRIDE",
            "traces in /data/local/tmp",
            "run it as root, or give -o a file in a folder of this user's",
        ),
        one(
            CAP_SYS_ADMIN,
            State::Degraded,
            perf_is_closed(),
            "CAP_SYS_ADMIN",
            "kprobes, which see returns, waits, saves and wakes where fexit can't: perf_event_paranoid \
             above 2 closes them to CAP_PERFMON",
            "run it as root, or `echo 2 > /proc/sys/kernel/perf_event_paranoid`",
        ),
        one(
            CAP_SYS_RESOURCE,
            State::Degraded,
            counts_maps() && getrlimit(MEMLOCK).is_ok_and(|(soft, _)| soft != RLIM_INFINITY),
            "CAP_SYS_RESOURCE",
            "the probe's maps may find no room: before Linux 5.11 they count as locked memory",
            "run it as root, or raise the limit: `ulimit -l unlimited`",
        ),
    ]
}

const MEMLOCK: Resource = Resource::RLIMIT_MEMLOCK;

/// Lifts the limit on locked memory, where maps count as such and this process may. Where it may not,
/// loading tells.
pub fn raise_memlock() {
    if counts_maps()
        && let Err(error) = setrlimit(MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)
    {
        log::info!("the limit on locked memory stays ({error}): CAP_SYS_RESOURCE would raise it");
    }
}

/// Gives up every right that `works` does not need: from all five sets, for good, and for whatever
/// might be executed. What can't be given up is logged: a capture is as good with it.
pub fn give_up(mut works: impl FnMut() -> Result<()>) {
    // nix has no prctl for Android.
    // SAFETY: it takes numbers alone, and of this option they mean yes and nothing else.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if let Err(error) = Errno::result(set) {
        log::warn!("no_new_privs can't be set: {error}");
    }
    // While CAP_SETPCAP is there: without it the bounding set stays, and gives nothing to a process
    // with no_new_privs.
    if let Err(error) = caps::clear(None, CapSet::Bounding) {
        log::info!("the bounding set stays: {error}");
    }
    if let Err(error) = keep_only(&mut works) {
        log::warn!("rights can't be given up: {error}");
    }
}

fn keep_only(works: &mut impl FnMut() -> Result<()>) -> Result<(), caps::errors::CapsError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    let mut kept = CapsHashSet::new();
    // What is taken out of the effective set alone can be had back: so each choice is tried.
    for needs in NEEDS {
        kept = needs.iter().copied().filter(|right| permitted.contains(right)).collect();
        caps::set(None, CapSet::Effective, &kept)?;
        match works() {
            Ok(()) => break,
            Err(error) => log::debug!("with {} of the rights: {error:#}", names(&kept)),
        }
    }
    log::info!("rights kept: {}", names(&kept));
    caps::clear(None, CapSet::Inheritable)?;
    // The permitted set goes last: nothing comes back. It takes the ambient set with it.
    caps::set(None, CapSet::Permitted, &kept)
}

fn names(rights: &CapsHashSet) -> String {
    let mut names: Vec<_> = rights.iter().map(Capability::to_string).collect();
    names.sort();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Whether a right is effective, or one that includes it (`bpf_capable` and `perfmon_capable`,
/// `include/linux/capability.h`; `generic_permission`, `fs/namei.c`; 5.8 and later).
fn allows(right: Capability) -> bool {
    let holds = |right| caps::has_cap(None, CapSet::Effective, right).unwrap_or(false);
    let including = match right {
        CAP_BPF | CAP_PERFMON => Some(CAP_SYS_ADMIN),
        CAP_DAC_READ_SEARCH => Some(CAP_DAC_OVERRIDE),
        _ => None,
    };
    holds(right) || including.is_some_and(holds)
}

/// Whether `/proc/kallsyms` shows addresses (`kallsyms_show_value`, `kernel/ksyms_common.c`, 7.3).
fn shows_addresses() -> bool {
    use std::io::{BufRead as _, BufReader};
    let mut line = String::new();
    let file = std::fs::File::open(KALLSYMS);
    let read = file.and_then(|file| BufReader::with_capacity(256, file).read_line(&mut line));
    let address = line.split(' ').next().unwrap_or_default();
    read.is_ok() && address.bytes().any(|digit| digit != b'0')
}

/// Whether perf_event_open(2), by which kprobes are attached, is for CAP_SYS_ADMIN alone. Above 2 means
/// so on Android's and Debian's kernels, and the others have no such value.
fn perf_is_closed() -> bool {
    let level = std::fs::read_to_string(PARANOID);
    level.is_ok_and(|level| level.trim().parse().is_ok_and(|level: i32| level > 2))
}

/// By the rights that are in effect. Bionic can ask for the real user's alone, which are the same unless
/// somebody else than root runs the agent with capabilities (`faccessat`, libc/bionic/faccessat.cpp).
#[cfg(not(target_os = "android"))]
const BY: AtFlags = AtFlags::AT_EACCESS;
#[cfg(target_os = "android")]
const BY: AtFlags = AtFlags::empty();

/// Whether a folder that there is can be written to.
fn may_write(folder: &str) -> bool {
    !std::path::Path::new(folder).exists()
        || faccessat(AT_FDCWD, folder, AccessFlags::W_OK, BY).is_ok()
}

fn counts_maps() -> bool {
    let release = uname().map(|u| u.release().to_string_lossy().into_owned());
    release.is_ok_and(|release| version(&release).is_some_and(|v| v < MAPS_ARE_ACCOUNTED))
}

/// The first two numbers of `uname -r`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_two_numbers() {
        assert_eq!(version("5.10.198-android13-4-00050-g12"), Some((5, 10)));
        assert_eq!(version("7.3.4+deb13-arm64"), Some((7, 3)));
        assert_eq!(version("6.1-rc1"), Some((6, 1)));
        assert_eq!(version("next"), None);
    }

    #[test]
    fn what_is_needed_begins_with_nothing_and_never_shrinks_to_less() {
        assert!(NEEDS[0].is_empty());
        assert!(NEEDS.is_sorted_by_key(|needs| needs.len()));
        let last = NEEDS[NEEDS.len() - 1];
        assert!(NEEDS.iter().all(|needs| needs.iter().all(|right| last.contains(right))));
    }
}
