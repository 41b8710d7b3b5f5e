//! Checks of the hooks, and of the values that are read besides their events.

use anyhow::{Result, anyhow, ensure};
use sleepwalk_trace::record::HOOKS;

use super::check::{Check, CheckState, Loss};
use super::kconfig::Kconfig;
use crate::activators::Detail;
use crate::context::suspend_stats::SuspendStatsReader;
use crate::context::{irqs, power_supply};
use crate::probe::btf::Kernel;
use crate::probe::hooks::Hooks;
use crate::probe::refusal;
use crate::snapshot::kptr;

/// The checks; `kernel` is the kernel's BTF.
pub fn checks(kernel: Option<&Kernel>, kconfig: &Kconfig) -> Vec<Check> {
    let mut checks = hook_checks(kernel, kconfig);
    checks.extend(surroundings(kconfig));
    checks
}

/// Checks the values that are read besides the probe's events.
fn surroundings(kconfig: &Kconfig) -> [Check; 3] {
    [
        Check::new(
            "suspend_stats",
            CheckState::Degraded,
            SuspendStatsReader::open().map(|stats| stats.path().to_owned()),
            Loss::data(
                "the kernel's own count of attempts as a cross-check, and, without `returns`, how attempts ended",
            ),
            kconfig.fix(&["CONFIG_SUSPEND"]),
        ),
        Check::new(
            "power supplies",
            CheckState::Degraded,
            power_supplies(),
            Loss::data("the charge used asleep and awake, and whether a charger was connected"),
            "a driver for the battery, if the device has one",
        ),
        Check::new(
            "interrupts",
            CheckState::Degraded,
            interrupts(),
            Loss::data(
                "the names of the interrupts that wake the device; their numbers are still recorded",
            ),
            kconfig.fix(&["CONFIG_SPARSE_IRQ", "CONFIG_SYSFS"]),
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
fn hook_checks(kernel: Option<&Kernel>, kconfig: &Kconfig) -> Vec<Check> {
    const RETURNS: Loss = Loss {
        data: "none: /sys/power/suspend_stats shows how attempts ended",
        times: "an attempt's end is known when the agent looks",
        cost: "it looks at suspend_stats while an attempt is open",
    };
    const LOST: [(&str, Loss); HOOKS.len()] = [
        ("suspend phases", Loss::data("suspend attempts")),
        ("returns", RETURNS),
        ("activations", Loss::data("activations of wakeup sources between two snapshots")),
        ("waits", Loss::data("the times when user space wanted to suspend and was blocked")),
        ("count writes", Loss::data("attempts that lost the race for the wakeup count")),
        ("wakes", Loss::data("the interrupts that woke the device")),
    ];
    let fix = kconfig.fix(&["CONFIG_BPF_EVENTS", "CONFIG_KPROBES"]);
    let (hooks, lacks) = Hooks::attach_best(kernel, true, Detail::Stacks.frames());
    match hooks {
        Err(error) => {
            let (error, fix) = match refusal::of(&error) {
                Some(refusal) => (error.context(refusal.to_string()), refusal.fix().to_owned()),
                None => (error, "none known: report the line above to Sleepwalk".to_owned()),
            };
            let lost = Loss::everything("everything: a capture does not start without its hooks");
            vec![Check::new("hooks", CheckState::Missing, Err(error), lost, fix)]
        }
        Ok(hooks) => hooks
            .attached()
            .iter()
            .zip(LOST)
            .map(|(hook, (name, lost))| {
                let found = match hook.how.as_str() {
                    "" => Err(anyhow!("{}", hook.why)),
                    how => Ok(how.to_owned()),
                };
                Check::new(name, CheckState::Degraded, found, lost, fix.as_str())
            })
            .chain([activators(kernel, lacks, &fix)])
            .collect(),
    }
}

/// Checks activators; `lacks` is the reason why the hooks cannot read them.
fn activators(kernel: Option<&Kernel>, lacks: Option<String>, fix: &str) -> Check {
    let attached = lacks.map_or(Ok(()), |why| Err(anyhow!(why)));
    let found = attached.and_then(|()| {
        kptr::kallsyms()?;
        let levels = match kernel.and_then(|kernel| kernel.preempt_count_at) {
            Some(_) => "functions, threads and interrupts",
            None => "functions and threads, without the difference between threads and interrupts",
        };
        Ok(levels.to_owned())
    });
    let lost = Loss::data("the function, thread or interrupt that activates a source");
    Check::new("activators", CheckState::Degraded, found, lost, fix)
}
