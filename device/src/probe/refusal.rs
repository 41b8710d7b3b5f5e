//! Why a kernel refuses the probe, as far as the system shows it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt as _;

use aya::maps::MapError;
use nix::libc;
use nix::sys::utsname::uname;
use thiserror::Error;

use super::run_prog::{LoadError, program_info};
use crate::capabilities::version;

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
const ENFORCE: &str = "/sys/fs/selinux/enforce";
const CONTEXT: &str = "/proc/self/attr/current";
const KERNEL_LOG: &str = "/dev/kmsg";

/// BPF_MAP_TYPE_RINGBUF (`include/uapi/linux/bpf.h`) came with this version.
const RING_BUFFER: (u32, u32) = (5, 8);

/// A record of the kernel's log has at most this many bytes (`CONSOLE_EXT_LOG_MAX`,
/// `include/linux/printk.h`, 5.10; `PRINTKRB_RECORD_MAX` later).
const LOG_RECORD: usize = 8192;

/// The reason.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// A kernel without BPF's ring buffer.
    #[error("the kernel is {0}, and BPF has a ring buffer since Linux 5.8")]
    TooOld(String),
    /// No bpf(2).
    #[error("the kernel has no bpf(2): CONFIG_BPF_SYSCALL is off")]
    NoBpf,
    /// Lockdown.
    #[error(
        "the kernel is locked down ({LOCKDOWN} is at confidentiality): no program reads its memory"
    )]
    LockedDown,
    /// SELinux, with its message.
    #[error("SELinux denies it: {0}")]
    Denied(String),
    /// SELinux is enforcing, and its message is not there or cannot be read.
    #[error(
        "SELinux is enforcing and may deny bpf(2) (class bpf) to {0}; {KERNEL_LOG} has no denial that can be read"
    )]
    MayBeDenied(String),
}

impl Refusal {
    /// The remedy.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::TooOld(_) => "use a device with Linux 5.8 or later",
            Self::NoBpf => "use a kernel with CONFIG_BPF_SYSCALL=y",
            Self::LockedDown => "boot the kernel without `lockdown=confidentiality`",
            Self::Denied(_) | Self::MayBeDenied(_) => {
                "run it in a domain that may use bpf, as that of `su`, or add the rule to the policy"
            }
        }
    }
}

/// The reason why no kernel like this one runs the probe, before anything is tried.
pub fn beforehand() -> Option<Refusal> {
    let release = uname().ok()?.release().to_string_lossy().into_owned();
    // SAFETY: bpf(2) looks the number up and finds that no file has it.
    let no_file = unsafe { BorrowedFd::borrow_raw(i32::MAX) };
    let error = program_info(no_file).err().and_then(|error| error.raw_os_error());
    let lockdown = fs::read_to_string(LOCKDOWN).unwrap_or_default();
    refusal(release, error, &lockdown)
}

/// For the kernel's release, the error of a bpf(2) on no file, and the levels of lockdown.
fn refusal(release: String, error: Option<i32>, lockdown: &str) -> Option<Refusal> {
    if version(&release).is_some_and(|version| version < RING_BUFFER) {
        return Some(Refusal::TooOld(release));
    }
    if error == Some(libc::ENOSYS) {
        return Some(Refusal::NoBpf);
    }
    // The verifier then knows no function that reads memory (`bpf_tracing_func_proto`,
    // `kernel/trace/bpf_trace.c`, 5.10 to 7.3).
    is_locked_down(lockdown).then_some(Refusal::LockedDown)
}

/// The reason for an error in loading the probe.
pub fn of(error: &anyhow::Error) -> Option<Refusal> {
    if !is_denial(error) || fs::read(ENFORCE).ok().as_deref() != Some(b"1") {
        return None;
    }
    let context = fs::read_to_string(CONTEXT).unwrap_or_default();
    let context = context.trim_end_matches(['\0', '\n']);
    Some(match last_denial(&kernel_log(), context) {
        Some(denial) => Refusal::Denied(denial),
        None => Refusal::MayBeDenied(context.escape_debug().to_string()),
    })
}

/// Whether bpf(2) was not permitted: another file that is closed to the agent is not its fault.
fn is_denial(error: &anyhow::Error) -> bool {
    let denied = |cause: &(dyn std::error::Error + 'static)| {
        let map = cause.downcast_ref().and_then(|error| match error {
            MapError::CreateError { io_error, .. } => Some(io_error),
            _ => None,
        });
        let program = cause.downcast_ref::<LoadError>().map(|error| &error.0);
        map.or(program).is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    error.chain().any(denied)
}

/// The level in brackets is in force (`lockdown_read`, `security/lockdown/lockdown.c`, 5.10 to 7.3).
fn is_locked_down(levels: &str) -> bool {
    levels.contains("[confidentiality]")
}

/// The last denial of bpf(2) to this context: `avc:  denied  { prog_load } for  pid=1 comm="a"
/// scontext=u:r:shell:s0 tcontext=… tclass=bpf permissive=0` (`avc_audit_pre_callback`, `security/selinux/avc.c`).
fn last_denial(log: &str, context: &str) -> Option<String> {
    let subject = format!("scontext={context} ");
    let is_ours = |line: &&str| {
        line.contains("avc: ")
            && line.contains(" denied ")
            && line.contains("tclass=bpf")
            && line.contains(&subject)
    };
    let line = log.lines().rev().find(is_ours)?;
    let denial = line.get(line.find("avc: ")?..)?;
    // Quotes are the kernel's own.
    let escaped = denial.split('"').map(|part| part.escape_debug().to_string());
    Some(escaped.collect::<Vec<_>>().join("\""))
}

/// The messages that the kernel still has; empty where they cannot be read. Each read returns one
/// (`devkmsg_read`, `kernel/printk/printk.c`).
fn kernel_log() -> String {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(KERNEL_LOG);
    let Ok(mut file) = file else { return String::new() };
    let mut log = Vec::new();
    let mut record = [0; LOG_RECORD];
    loop {
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(length) => log.extend(&record[..length]),
            // It was overwritten meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&log).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_in_force_is_in_brackets() {
        assert!(is_locked_down("none integrity [confidentiality]\n"));
        for other in
            ["[none] integrity confidentiality\n", "none [integrity] confidentiality\n", ""]
        {
            assert!(!is_locked_down(other), "{other}");
        }
    }

    #[test]
    fn each_kernel_without_bpf_is_named() {
        let of = |release: &str, error| refusal(release.to_owned(), Some(error), "");
        let old = of("4.19.87-g0", libc::EBADF).expect("too old");
        assert!(old.to_string().contains("4.19.87-g0") && old.fix().contains("5.8"), "{old}");
        assert_eq!(of("5.7.0", libc::ENOSYS), Some(Refusal::TooOld("5.7.0".to_owned())));
        assert_eq!(of("5.10.1-android12", libc::ENOSYS), Some(Refusal::NoBpf));
        assert_eq!(of("5.10.1-android12", libc::EBADF), None);
        assert_eq!(of("unknown", libc::EBADF), None);
    }

    #[test]
    fn the_last_denial_of_bpf_to_us_is_quoted() {
        let log = "6,1,2,-;audit: type=1400 audit(1.2:3): avc:  denied  { map_create } for  pid=7 \
            comm=\"sleepwalkd\" scontext=u:r:shell:s0 tcontext=u:r:shell:s0 tclass=bpf permissive=0\n\
            6,2,3,-;audit: type=1400 audit(1.3:4): avc:  denied  { prog_load } for  pid=7 \
            comm=\"x\u{1b}\" scontext=u:r:shell:s0 tcontext=u:r:shell:s0 tclass=bpf permissive=0\n\
            6,3,4,-;audit: avc:  denied  { prog_load } for  pid=9 scontext=u:r:netd:s0 tclass=bpf \
            permissive=0\n\
            6,4,5,-;audit: avc:  denied  { read } for  pid=7 scontext=u:r:shell:s0 tclass=file\n";
        let denial = last_denial(log, "u:r:shell:s0").expect("a denial");
        assert!(denial.starts_with("avc:  denied  { prog_load } for  pid=7 "), "{denial}");
        assert!(denial.contains(r"x\u{1b}") && denial.ends_with("permissive=0"), "{denial}");
        assert_eq!(last_denial(log, "u:r:su:s0"), None);
        assert_eq!(last_denial("", "u:r:shell:s0"), None);
    }

    #[test]
    fn an_error_that_is_no_denial_is_not_selinuxs() {
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied] {
            let other = anyhow::Error::from(io::Error::from(kind)).context("/proc/kallsyms");
            assert!(!is_denial(&other), "{kind}");
            let denied = kind == io::ErrorKind::PermissionDenied;
            let map = MapError::CreateError { name: "SLOTS".into(), io_error: kind.into() };
            assert_eq!(is_denial(&anyhow::Error::from(map).context("no map")), denied);
            let program = anyhow::Error::from(LoadError(kind.into())).context("no program");
            assert_eq!(is_denial(&program), denied);
        }
    }
}
