//! Checks of the kernel: sources of snapshots, suspend, hooks, and the values read besides.

use anyhow::{Context as _, Result, anyhow, ensure};
use sleepwalk_trace::abi;
use sleepwalk_trace::record::HOOKS;

use super::check::{Check, CheckState};
use crate::context::suspend_stats::SuspendStatsReader;
use crate::context::{irqs, power_supply};
use crate::probe::btf::Kernel;
use crate::probe::hooks::Hooks;
use crate::probe::{self, KFUNCS, VMLINUX};
use crate::snapshot::{Kind, SnapshotSource as _, open_best};

/// Checks the kernel. Snapshots and hooks are tried, because nothing else shows that they work.
pub fn checks() -> Vec<Check> {
    let kernel = probe::kernel().map_err(|error| format!("{error:#}"));
    let kernel = || kernel.as_ref().map_err(|error| anyhow!(error.clone()));
    let mut checks = vec![
        Check::new(
            "BTF",
            CheckState::Degraded,
            kernel().map(|_| VMLINUX.to_owned()),
            "snapshots in ns: debugfs and sysfs print ms",
            "a kernel with CONFIG_DEBUG_INFO_BTF=y (every GKI since android12-5.10)",
        ),
        Check::new(
            "kfuncs",
            CheckState::Degraded,
            kernel().and_then(kfuncs),
            "snapshots under the kernel's own lock",
            "a kernel of Linux 7.2, android16-6.12 of mid-2026, or later",
        ),
        snapshots(kernel()),
        Check::new(
            "suspend",
            CheckState::Degraded,
            suspend(),
            "there are no suspend attempts to explain",
            "a kernel with CONFIG_SUSPEND=y",
        ),
        selinux(),
    ];
    checks.extend(hook_checks(kernel().ok()));
    checks.extend(surroundings());
    checks
}

/// Checks the values that are read besides the probe's events.
fn surroundings() -> [Check; 3] {
    [
        Check::new(
            "suspend_stats",
            CheckState::Degraded,
            SuspendStatsReader::open().map(|stats| stats.path().to_owned()),
            "the kernel's own count of attempts as a cross-check, and, without `returns`, how attempts ended",
            "a kernel of Linux 5.4 or later with CONFIG_SUSPEND=y, or debugfs on an older kernel",
        ),
        Check::new(
            "power supplies",
            CheckState::Degraded,
            power_supplies(),
            "the charge used asleep and awake, and whether a charger was connected",
            "a kernel with CONFIG_POWER_SUPPLY=y and a driver for the battery, if the device has one",
        ),
        Check::new(
            "interrupts",
            CheckState::Degraded,
            interrupts(),
            "the names of the interrupts that wake the device; their numbers are still recorded",
            "a kernel with CONFIG_SPARSE_IRQ=y, and sysfs mounted",
        ),
    ]
}

fn power_supplies() -> Result<String> {
    let available = power_supply::available();
    ensure!(!available.is_empty(), "/sys/class/power_supply has none");
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).escape_debug().to_string();
    let named = available
        .iter()
        .map(|(name, kind, values)| format!("{} ({}, {values} values)", lossy(name), lossy(kind)));
    Ok(named.collect::<Vec<_>>().join(", "))
}

fn interrupts() -> Result<String> {
    let named = irqs::named();
    ensure!(named > 0, "/sys/kernel/irq has no names");
    Ok(format!("{named} have names"))
}

/// Checks each hook.
fn hook_checks(kernel: Option<&Kernel>) -> Vec<Check> {
    const LOST: [(&str, &str); HOOKS.len()] = [
        ("suspend phases", "suspend attempts"),
        (
            "returns",
            "the exact end of attempts: only /sys/power/suspend_stats shows how they ended",
        ),
        ("activations", "activations of wakeup sources between two snapshots"),
        ("waits", "the times when user space wanted to suspend and was blocked"),
        ("count writes", "attempts that lost the race for the wakeup count"),
        ("wakes", "the interrupts that woke the device"),
    ];
    const FIX: &str = "a kernel with CONFIG_BPF_EVENTS=y and CONFIG_KPROBES=y";
    match Hooks::attach(kernel, true) {
        Err(error) => vec![Check::new(
            "hooks",
            CheckState::Degraded,
            Err(error),
            "everything except snapshots: attempts, activations, waits and wakes",
            FIX,
        )],
        Ok(hooks) => hooks
            .attached()
            .iter()
            .zip(LOST)
            .map(|(hook, (name, lost))| {
                let found = match hook.how.as_str() {
                    "" => Err(anyhow!("{}", hook.why)),
                    how => Ok(how.to_owned()),
                };
                Check::new(name, CheckState::Degraded, found, lost, FIX)
            })
            .collect(),
    }
}

fn kfuncs(kernel: &Kernel) -> Result<String> {
    let missing: Vec<_> = KFUNCS.into_iter().filter(|f| !kernel.ids.contains_key(f)).collect();
    ensure!(missing.is_empty(), "the kernel has no {}", missing.join(", "));
    Ok(KFUNCS.join(", "))
}

/// Tries the best source. A table that the kernel prints is not as good as a walk.
fn snapshots(kernel: Result<&Kernel>) -> Check {
    let kernel = kernel.as_ref().copied();
    let tried = try_best(kernel);
    let printed = matches!(tried, Ok((Kind::Debugfs | Kind::Sysfs, _)));
    let mut check = Check::new(
        "snapshots",
        CheckState::Missing,
        tried.map(|(_, found)| found),
        "everything: no source shows which wakeup sources are active",
        "see the reasons above; if SELinux is enforcing, try `setenforce 0`",
    );
    if printed && let Err(why) = Kind::Kallsyms.open(kernel, abi::DEFAULT_CAPACITY) {
        check.state = CheckState::Degraded;
        check.found += &format!("; no walk: {why:#}");
        check.lost = "times in ns, and the distinction between sources of one name";
        check.fix = "a kernel with the kfuncs, or with CONFIG_KALLSYMS_ALL=y";
    }
    check
}

fn try_best(kernel: Result<&Kernel, &anyhow::Error>) -> Result<(Kind, String)> {
    let mut source = open_best(kernel, abi::DEFAULT_CAPACITY)?.source;
    let summary = source.take_snapshot(&mut |_| {})?;
    ensure!(!summary.broken, "{} ended early, after {} sources", source.name(), summary.seen);
    let micros = summary.end.since(summary.begin) as f64 / 1e3;
    let found = format!("{}: {} sources in {micros:.0} µs", source.name(), summary.seen);
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == source.name());
    Ok((kind.context("a source of an unknown kind")?, found))
}

fn suspend() -> Result<String> {
    const STATE: &str = "/sys/power/state";
    let states =
        std::fs::read_to_string(STATE).with_context(|| format!("{STATE} cannot be read"))?;
    ensure!(states.contains("mem"), "{STATE} offers `{}` and no `mem`", states.trim());
    let deep = std::fs::read_to_string("/sys/power/mem_sleep").unwrap_or_default();
    Ok(format!("{} (mem is {})", states.trim(), deep.trim()))
}

/// For information. The walk and the hooks show whether it lets the probe in.
fn selinux() -> Check {
    let found = match std::fs::read_to_string("/sys/fs/selinux/enforce").as_deref() {
        Ok("1") => "enforcing",
        Ok(_) => "permissive",
        Err(_) => "none",
    };
    Check::new("SELinux", CheckState::Degraded, Ok(found.to_owned()), "", "")
}
