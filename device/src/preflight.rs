//! What this kernel and these rights allow; loads what there is.

use std::fmt;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde::Serialize;
use sleepwalk_trace::abi;
use sleepwalk_trace::record::HOOKS;

use crate::context::suspend_stats::SuspendStats;
use crate::context::{irqs, supplies};
use crate::probe::btf::Kernel;
use crate::probe::hooks::Hooks;
use crate::probe::{self, KFUNCS, VMLINUX};
use crate::rights;
use crate::source::{self, Kind, SnapshotSource};

/// The context of an error that another device would not have.
#[derive(Clone, Copy, Debug)]
pub struct Unusable;

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this device can't be used")
    }
}

/// What the kernel says of its own types; an error where it does not, which some sources and hooks can
/// do without.
pub fn kernel() -> Result<Kernel> {
    probe::kernel().inspect_err(|error| log::info!("{error:#}"))
}

/// Checks the rights, and makes the source of snapshots ready: the one asked for, or the best.
pub fn source(
    kind: Option<Kind>,
    kernel: Result<&Kernel, &anyhow::Error>,
    capacity: u32,
) -> Result<Box<dyn SnapshotSource>> {
    let source = rights::required().and_then(|()| match kind {
        Some(kind) => kind.open(kernel, capacity),
        None => source::best(kernel, capacity),
    });
    source.context(Unusable)
}

/// Loads and attaches the hooks.
pub fn hooks(kernel: Option<&Kernel>, edges: bool) -> Result<Hooks> {
    Hooks::attach(kernel, edges).context(Unusable)
}

/// How one thing that Sleepwalk needs stands here.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What is looked at.
    pub name: &'static str,
    /// Whether it serves.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What does not work without it; empty where nothing is lost.
    pub lost: &'static str,
    /// How to mend it; empty where there is nothing to mend.
    pub mend: &'static str,
}

/// Whether something serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It does.
    Ok,
    /// Less than it could.
    Degraded,
    /// Nothing can be recorded.
    Missing,
}

/// Looks at everything, and tries what can only be tried.
pub fn checks() -> Vec<Check> {
    let kernel = probe::kernel().map_err(|error| format!("{error:#}"));
    let kernel = || kernel.as_ref().map_err(|error| anyhow!(error.clone()));
    let mut checks = rights::checks();
    checks.extend([
        check(
            "BTF",
            State::Degraded,
            kernel().map(|_| VMLINUX.to_owned()),
            "snapshots in ns: debugfs and sysfs print ms",
            "a kernel with CONFIG_DEBUG_INFO_BTF=y (every GKI since android12-5.10)",
        ),
        check(
            "kfuncs",
            State::Degraded,
            kernel().and_then(kfuncs),
            "snapshots under the kernel's own lock",
            "a kernel of Linux 7.2, android16-6.12 of mid-2026, or later",
        ),
        snapshots(kernel()),
        check(
            "suspend",
            State::Degraded,
            suspend(),
            "there are no suspend attempts to explain",
            "a kernel with CONFIG_SUSPEND=y",
        ),
        selinux(),
    ]);
    checks.extend(hook_checks(kernel().ok()));
    checks.extend(surroundings());
    checks
}

/// What is read beside the probe's events.
fn surroundings() -> [Check; 3] {
    [
        check(
            "suspend_stats",
            State::Degraded,
            SuspendStats::open().map(|stats| stats.place().to_owned()),
            "the kernel's own count of attempts to check against, and how they ended where `returns` is \
             missing",
            "a kernel of Linux 5.4 or later with CONFIG_SUSPEND=y; before it, debugfs",
        ),
        check(
            "supplies",
            State::Degraded,
            power_supplies(),
            "how much charge sleep and wakefulness cost, and whether a charger was there",
            "a kernel with CONFIG_POWER_SUPPLY=y and a driver for the battery; none where the device has \
             no battery",
        ),
        check(
            "interrupts",
            State::Degraded,
            interrupts(),
            "the names of the interrupts that wake the device: their numbers stay",
            "a kernel with CONFIG_SPARSE_IRQ=y, and sysfs mounted",
        ),
    ]
}

fn power_supplies() -> Result<String> {
    let found = supplies::found();
    ensure!(!found.is_empty(), "/sys/class/power_supply has none");
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).escape_debug().to_string();
    let named = found
        .iter()
        .map(|(name, kind, values)| format!("{} ({}, {values} values)", lossy(name), lossy(kind)));
    Ok(named.collect::<Vec<_>>().join(", "))
}

fn interrupts() -> Result<String> {
    let named = irqs::named();
    ensure!(named > 0, "/sys/kernel/irq has no names");
    Ok(format!("{named} have names"))
}

/// Each thing that is hooked, with what a trace lacks where it can't be.
fn hook_checks(kernel: Option<&Kernel>) -> Vec<Check> {
    const LOST: [(&str, &str); HOOKS.len()] = [
        ("phases", "suspend attempts can't be seen"),
        ("returns", "how an attempt ended is told by /sys/power/suspend_stats alone"),
        ("edges", "what sources do between two snapshots"),
        ("waits", "when user space wanted to suspend and was blocked"),
        ("saves", "attempts that lost the race for the wakeup count"),
        ("wakes", "which interrupt woke the device"),
    ];
    const MEND: &str = "a kernel with CONFIG_BPF_EVENTS=y and CONFIG_KPROBES=y";
    match Hooks::attach(kernel, true) {
        Err(error) => vec![check(
            "hooks",
            State::Degraded,
            Err(error),
            "all but snapshots: attempts, edges, waits and wakes can't be seen",
            MEND,
        )],
        Ok(hooks) => hooks
            .told()
            .iter()
            .zip(LOST)
            .map(|(hook, (name, lost))| {
                let found = match hook.how.as_str() {
                    "" => Err(anyhow!("{}", hook.why)),
                    how => Ok(how.to_owned()),
                };
                check(name, State::Degraded, found, lost, MEND)
            })
            .collect(),
    }
}

pub(crate) fn check(
    name: &'static str,
    otherwise: State,
    result: Result<String>,
    lost: &'static str,
    mend: &'static str,
) -> Check {
    match result {
        Ok(found) => Check { name, state: State::Ok, found, lost: "", mend: "" },
        Err(error) => Check { name, state: otherwise, found: format!("{error:#}"), lost, mend },
    }
}

fn kfuncs(kernel: &Kernel) -> Result<String> {
    let missing: Vec<_> = KFUNCS.into_iter().filter(|f| !kernel.ids.contains_key(f)).collect();
    ensure!(missing.is_empty(), "the kernel has no {}", missing.join(", "));
    Ok(KFUNCS.join(", "))
}

/// The best source, tried; a table that the kernel prints is less than a walk.
fn snapshots(kernel: Result<&Kernel>) -> Check {
    let kernel = kernel.as_ref().copied();
    let tried = try_best(kernel);
    let printed = matches!(tried, Ok((Kind::Debugfs | Kind::Sysfs, _)));
    let mut check = check(
        "snapshots",
        State::Missing,
        tried.map(|(_, found)| found),
        "everything: nothing tells what is active",
        "see the reasons; with SELinux enforcing, try `setenforce 0`",
    );
    if printed && let Err(why) = Kind::Kallsyms.open(kernel, abi::DEFAULT_CAPACITY) {
        check.state = State::Degraded;
        check.found += &format!("; no walk: {why:#}");
        check.lost = "times in ns, and which of several sources of one name is which";
        check.mend = "a kernel with the kfuncs, or with CONFIG_KALLSYMS_ALL=y";
    }
    check
}

fn try_best(kernel: Result<&Kernel, &anyhow::Error>) -> Result<(Kind, String)> {
    let mut source = source::best(kernel, abi::DEFAULT_CAPACITY)?;
    let taken = source.take(&mut |_| {})?;
    ensure!(!taken.broken, "{} broke off after {} sources", source.name(), taken.seen);
    let micros = taken.end.since(taken.begin) as f64 / 1e3;
    let found = format!("{}: {} sources in {micros:.0} µs", source.name(), taken.seen);
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == source.name());
    Ok((kind.context("a source without a kind")?, found))
}

fn suspend() -> Result<String> {
    const STATE: &str = "/sys/power/state";
    let states =
        std::fs::read_to_string(STATE).with_context(|| format!("{STATE} can't be read"))?;
    ensure!(states.contains("mem"), "{STATE} offers `{}` and no `mem`", states.trim());
    let deep = std::fs::read_to_string("/sys/power/mem_sleep").unwrap_or_default();
    Ok(format!("{} (mem is {})", states.trim(), deep.trim()))
}

/// Only told: whether it lets the probe in is what the walk and the hooks show.
fn selinux() -> Check {
    let found = match std::fs::read_to_string("/sys/fs/selinux/enforce").as_deref() {
        Ok("1") => "enforcing",
        Ok(_) => "permissive",
        Err(_) => "none",
    };
    check("SELinux", State::Degraded, Ok(found.to_owned()), "", "")
}
