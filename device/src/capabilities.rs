//! Capabilities (capabilities(7)): the ones that a capture needs, and dropping the others.

use anyhow::{Result, ensure};
use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::utsname::uname;
use nix::unistd::geteuid;

use Capability::{
    CAP_BPF, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYSLOG,
};

/// Before this version, maps count as locked memory (`bpf_map_charge_init`, `kernel/bpf/syscall.c`,
/// 5.10).
const MAPS_ARE_UNCHARGED: (u32, u32) = (5, 11);

const MEMLOCK: Resource = Resource::RLIMIT_MEMLOCK;

/// The sets that a running capture may need, the smallest first: BPF_PROG_RUN and access to maps
/// (CAP_BPF before 5.19, where the kernel closes bpf(2) to others), and debugfs for a user other
/// than root.
const NEEDS: [&[Capability]; 5] = [
    &[],
    &[CAP_BPF],
    &[CAP_DAC_READ_SEARCH],
    &[CAP_BPF, CAP_DAC_READ_SEARCH],
    &[CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE, CAP_SYSLOG],
];

/// An error that names the missing capabilities without which nothing can be recorded.
pub fn ensure_required() -> Result<()> {
    let missing = [CAP_BPF, CAP_PERFMON].into_iter().filter(|one| !is_effective(*one));
    let missing: Vec<_> = missing.map(|one| one.to_string()).collect();
    ensure!(
        missing.is_empty(),
        "user {} lacks {}: run it as root (`adb root`, or through `su`)",
        geteuid(),
        missing.join(" and ")
    );
    Ok(())
}

/// Whether a capability is effective, or one that includes it (`bpf_capable` and `perfmon_capable`,
/// `include/linux/capability.h`; `generic_permission`, `fs/namei.c`; 5.8 and later).
pub fn is_effective(capability: Capability) -> bool {
    let holds = |one| caps::has_cap(None, CapSet::Effective, one).unwrap_or(false);
    let including = match capability {
        CAP_BPF | CAP_PERFMON => Some(CAP_SYS_ADMIN),
        CAP_DAC_READ_SEARCH => Some(CAP_DAC_OVERRIDE),
        _ => None,
    };
    holds(capability) || including.is_some_and(holds)
}

/// Lifts the limit on locked memory if maps count as such. Without the capability to do so, loading
/// a map reports the error.
pub fn raise_memlock() {
    if maps_are_charged()
        && let Err(error) = setrlimit(MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)
    {
        log::info!("the limit on locked memory stays ({error}): CAP_SYS_RESOURCE would raise it");
    }
}

/// Whether the limit on locked memory also limits the probe's maps.
pub fn memlock_limits_maps() -> bool {
    maps_are_charged() && getrlimit(MEMLOCK).is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
}

fn maps_are_charged() -> bool {
    let release = uname().map(|u| u.release().to_string_lossy().into_owned());
    release.is_ok_and(|release| version(&release).is_some_and(|v| v < MAPS_ARE_UNCHARGED))
}

/// The first two numbers of `uname -r`.
pub fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Drops every capability that `works` does not need: from all five sets, for good, and for any
/// program that might be executed. A failure is only logged, because it does not affect the
/// capture.
pub fn drop_unneeded(mut works: impl FnMut() -> Result<()>) {
    // nix has no prctl for Android.
    // SAFETY: this option takes only numbers.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if let Err(error) = Errno::result(set) {
        log::warn!("no_new_privs cannot be set: {error}");
    }
    // This needs CAP_SETPCAP, so it comes first. Without it the bounding set stays, which gives
    // nothing to a process with no_new_privs.
    if let Err(error) = caps::clear(None, CapSet::Bounding) {
        log::info!("the bounding set stays: {error}");
    }
    if let Err(error) = keep_only(&mut works) {
        log::warn!("capabilities cannot be dropped: {error}");
    }
}

fn keep_only(works: &mut impl FnMut() -> Result<()>) -> Result<(), caps::errors::CapsError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    let mut kept = CapsHashSet::new();
    // A capability that leaves only the effective set can come back, so each choice can be tried.
    for needs in NEEDS {
        kept = needs.iter().copied().filter(|one| permitted.contains(one)).collect();
        caps::set(None, CapSet::Effective, &kept)?;
        match works() {
            Ok(()) => break,
            Err(error) => log::debug!("with capabilities {}: {error:#}", names(&kept)),
        }
    }
    log::info!("capabilities kept: {}", names(&kept));
    caps::clear(None, CapSet::Inheritable)?;
    // The permitted set comes last, because nothing comes back after it. The kernel reduces the
    // ambient set with it.
    caps::set(None, CapSet::Permitted, &kept)
}

fn names(capabilities: &CapsHashSet) -> String {
    let mut names: Vec<_> = capabilities.iter().map(Capability::to_string).collect();
    names.sort();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
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
    fn needs_grow_from_nothing() {
        assert!(NEEDS[0].is_empty());
        assert!(NEEDS.is_sorted_by_key(|needs| needs.len()));
        let last = NEEDS[NEEDS.len() - 1];
        assert!(NEEDS.iter().all(|needs| needs.iter().all(|one| last.contains(one))));
    }
}
