//! Checks of capabilities: the ones that are held, and what is lost without each.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use caps::Capability;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat, geteuid};

use Capability::{
    CAP_BPF, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_RESOURCE,
    CAP_SYSLOG,
};

use super::check::{Check, CheckState, Loss};
use crate::capabilities::{is_effective, memlock_limits_maps};

/// The folder for traces on a phone. It belongs to `shell`, so even root needs a capability to
/// write there.
const TRACES: &str = "/data/local/tmp";

const KALLSYMS: &str = "/proc/kallsyms";
const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";
const DEBUGFS: &str = "/sys/kernel/debug";

const ROOT: &str = "run it as root: `adb root`, or through `su`";

/// One check per capability.
pub fn checks() -> Vec<Check> {
    vec![
        required(CAP_BPF, "CAP_BPF", Loss::everything("everything: the kernel loads no probe")),
        required(
            CAP_PERFMON,
            "CAP_PERFMON",
            Loss::everything("everything: the probe may not trace the kernel, nor read its memory"),
        ),
        optional(
            CAP_SYSLOG,
            !shows_addresses(),
            "CAP_SYSLOG",
            Loss {
                data: "the walk from the address in /proc/kallsyms, for kernels that lack the kfuncs",
                times: "whole ms",
                cost: "snapshots by debugfs or sysfs",
            },
            ROOT,
        ),
        optional(
            CAP_DAC_READ_SEARCH,
            std::fs::read_dir(DEBUGFS).is_err(),
            "CAP_DAC_READ_SEARCH",
            Loss::data("debugfs: snapshots from it, and suspend_stats before Linux 5.4"),
            ROOT,
        ),
        optional(
            CAP_DAC_OVERRIDE,
            !can_write(TRACES),
            "CAP_DAC_OVERRIDE",
            Loss::data("traces in /data/local/tmp"),
            "run it as root, or give -o a file in a folder of this user's",
        ),
        optional(
            CAP_SYS_ADMIN,
            perf_is_closed(),
            "CAP_SYS_ADMIN",
            Loss::data(
                "kprobes, which see returns, waits, count writes and wakes if fexit does not work: \
                 perf_event_paranoid above 2 closes them to CAP_PERFMON",
            ),
            "run it as root, or `echo 2 > /proc/sys/kernel/perf_event_paranoid`",
        ),
        optional(
            CAP_SYS_RESOURCE,
            memlock_limits_maps(),
            "CAP_SYS_RESOURCE",
            Loss::everything(
                "the probe's maps may not fit: before Linux 5.11 they count as locked memory",
            ),
            "run it as root, or raise the limit: `ulimit -l unlimited`",
        ),
    ]
}

/// A capability without which nothing can be recorded.
fn required(capability: Capability, name: &'static str, lost: Loss) -> Check {
    check(capability, CheckState::Missing, true, name, lost, ROOT)
}

/// A capability that only some devices need.
fn optional(
    capability: Capability,
    needed: bool,
    name: &'static str,
    lost: Loss,
    fix: &'static str,
) -> Check {
    check(capability, CheckState::Degraded, needed, name, lost, fix)
}

fn check(
    capability: Capability,
    otherwise: CheckState,
    needed: bool,
    name: &'static str,
    lost: Loss,
    fix: &'static str,
) -> Check {
    let found = match (is_effective(capability), needed) {
        (true, _) => Ok("held".to_owned()),
        (false, false) => Ok("not held, and not needed here".to_owned()),
        (false, true) => Err(anyhow::anyhow!("user {} does not hold {capability}", geteuid())),
    };
    Check::new(name, otherwise, found, lost, fix)
}

/// Whether `/proc/kallsyms` shows addresses (`kallsyms_show_value`, `kernel/ksyms_common.c`, 7.3).
fn shows_addresses() -> bool {
    let mut line = String::new();
    let file = File::open(KALLSYMS);
    let read = file.and_then(|file| BufReader::with_capacity(256, file).read_line(&mut line));
    let address = line.split(' ').next().unwrap_or_default();
    read.is_ok() && address.bytes().any(|digit| digit != b'0')
}

/// Whether only CAP_SYS_ADMIN may call perf_event_open(2), which attaches kprobes. On Android's and
/// Debian's kernels a level above 2 means that; other kernels have no such level.
fn perf_is_closed() -> bool {
    let level = std::fs::read_to_string(PARANOID);
    level.is_ok_and(|level| level.trim().parse().is_ok_and(|level: i32| level > 2))
}

/// Checks access for the effective user. Bionic can only check it for the real user (`faccessat`,
/// libc/bionic/faccessat.cpp), which differs only if a user other than root runs the agent with
/// capabilities.
#[cfg(not(target_os = "android"))]
const ACCESS: AtFlags = AtFlags::AT_EACCESS;
#[cfg(target_os = "android")]
const ACCESS: AtFlags = AtFlags::empty();

/// Whether a folder can be written to; `true` if it does not exist.
fn can_write(folder: &str) -> bool {
    !Path::new(folder).exists() || faccessat(AT_FDCWD, folder, AccessFlags::W_OK, ACCESS).is_ok()
}
