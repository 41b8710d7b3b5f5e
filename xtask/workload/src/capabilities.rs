//! The user and the capabilities that the program needs.

use std::fs;

use anyhow::{Context as _, Result, bail};

/// Where the kernel shows the capabilities of this process.
const STATUS: &str = "/proc/self/status";
/// CAP_BLOCK_SUSPEND (kernel: include/uapi/linux/capability.h).
const BLOCK_SUSPEND: u32 = 36;

/// Fails where wakeup sources cannot be made: the kernel ignores EPOLLWAKEUP silently then.
pub fn check() -> Result<()> {
    let uid = nix::unistd::geteuid();
    if !uid.is_root() {
        bail!("user {uid} may not hold the device awake or suspend it: run this as root");
    }
    let status = fs::read_to_string(STATUS).context(STATUS)?;
    let effective = effective(&status).with_context(|| format!("{STATUS} has no CapEff"))?;
    if effective & (1 << BLOCK_SUSPEND) == 0 {
        bail!(
            "CapEff {effective:#x} lacks CAP_BLOCK_SUSPEND (bit {BLOCK_SUSPEND}), which EPOLLWAKEUP \
             needs: run this as root with all its capabilities"
        );
    }
    Ok(())
}

fn effective(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(value.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_capabilities_are_found() {
        let status = "CapPrm:\t0000000000000000\nCapEff:\t000001ffffffffff\n";
        assert_eq!(effective(status), Some(0x1ff_ffff_ffff));
        assert_eq!(effective("CapEff:\tmany\n"), None);
        assert_eq!(effective("Name:\tx\n"), None);
    }
}
