//! Checks of the system: whether its kernel runs the probe at all, and its settings.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::utsname::uname;

use super::check::{Check, CheckState, Loss};
use crate::probe::refusal::beforehand;

/// Whether the kernel compiles BPF programs (`net/core/sysctl_net_core.c`): a kernel that always does has no 0.
const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";

/// The checks.
pub fn checks() -> [Check; 4] {
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
            jit(),
            Loss {
                data: "none",
                times: "none",
                cost: "the kernel interprets the probe, so that every event takes longer; the kfuncs need the JIT",
            },
            format!("echo 1 > {JIT}"),
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

fn jit() -> Result<String> {
    // Without the JIT in the kernel, there is no such file.
    let Ok(value) = fs::read_to_string(JIT) else { return Ok("not known".to_owned()) };
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
