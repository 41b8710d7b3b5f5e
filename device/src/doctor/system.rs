//! Checks of the system: whether its kernel runs the probe at all, and its settings.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::utsname::uname;

use super::check::{Check, CheckState, Loss};
use super::kconfig::Kconfig;
use crate::probe::refusal::beforehand;

/// Whether the kernel compiles BPF programs: a kernel that always does has no 0, and one without a compiler has no
/// such file (`net/core/sysctl_net_core.c`, 5.10 to 7.3).
const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";

const HAS_JIT: &str = "CONFIG_BPF_JIT";

/// The checks.
pub fn checks(kconfig: &Kconfig) -> [Check; 4] {
    let setting = fs::read_to_string(JIT).ok();
    [
        Check::new(
            "kernel",
            CheckState::Missing,
            kernel(),
            Loss::everything("everything: the kernel runs no probe"),
            beforehand().map_or("", |refusal| refusal.fix()),
        ),
        selinux(),
        Check::new(
            "JIT",
            CheckState::Degraded,
            jit(setting.as_deref(), kconfig),
            Loss {
                data: "none",
                times: "none",
                cost: "the kernel interprets the probe, so that every event takes longer; the kfuncs need the JIT",
            },
            match setting {
                Some(_) => format!("echo 1 > {JIT}"),
                None => kconfig.fix(&[HAS_JIT]),
            },
        ),
        Check::new(
            "suspend",
            CheckState::Degraded,
            suspend(),
            Loss::data("suspend attempts: there are none to explain"),
            "a device that offers `mem`: a virtual machine or a desktop may not",
        ),
    ]
}

fn kernel() -> Result<String> {
    if let Some(refusal) = beforehand() {
        bail!(refusal);
    }
    let system = uname().context("uname")?;
    Ok(system.release().to_string_lossy().escape_debug().to_string())
}

/// For information: the checks that it makes fail quote its denial.
fn selinux() -> Check {
    let found = match fs::read_to_string("/sys/fs/selinux/enforce").as_deref() {
        Ok("1") => "enforcing",
        Ok(_) => "permissive",
        Err(_) => "none",
    };
    Check::new("SELinux", CheckState::Degraded, Ok(found.to_owned()), Loss::data("none"), "")
}

fn jit(setting: Option<&str>, kconfig: &Kconfig) -> Result<String> {
    let Some(value) = setting else {
        ensure!(kconfig.has(HAS_JIT) != Some(false), "the kernel has none: {HAS_JIT} is off");
        return Ok("not known".to_owned());
    };
    ensure!(value.trim() != "0", "{JIT} is 0");
    Ok("on".to_owned())
}

fn suspend() -> Result<String> {
    const STATE: &str = "/sys/power/state";
    let states = fs::read_to_string(STATE).with_context(|| format!("{STATE} cannot be read"))?;
    ensure!(states.contains("mem"), "{STATE} offers `{}` and no `mem`", states.trim());
    let deep = fs::read_to_string("/sys/power/mem_sleep").unwrap_or_default();
    Ok(format!("{} (mem is {})", states.trim(), deep.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jit_that_is_off_is_not_one_that_is_lacking() {
        let (with, without) =
            (Kconfig::of("CONFIG_BPF_JIT=y\n"), Kconfig::of("# CONFIG_BPF_JIT is not set\n"));
        let text = |setting: Option<&str>, kconfig: &Kconfig| match jit(setting, kconfig) {
            Ok(found) => found,
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(text(Some("1\n"), &with), "on");
        assert_eq!(text(Some("0\n"), &with), format!("error: {JIT} is 0"));
        assert_eq!(text(None, &with), "not known");
        assert_eq!(text(None, &Kconfig::default()), "not known");
        assert_eq!(text(None, &without), "error: the kernel has none: CONFIG_BPF_JIT is off");
    }
}
