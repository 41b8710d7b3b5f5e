//! Checks of where snapshots come from. They are tried, because nothing else shows that they work.

use anyhow::{Context as _, Result, ensure};
use sleepwalk_trace::abi;

use super::check::{Check, CheckState, Loss};
use super::kconfig::Kconfig;
use crate::probe::btf::Kernel;
use crate::probe::{KFUNCS, VMLINUX, refusal};
use crate::snapshot::{Kind, NoAddress, SnapshotSource as _, open_best};

/// The loss of the kernel's own tables against a walk.
const PRINTED: Loss = Loss {
    data: "the distinction between sources of one name; from sysfs also `autosleep`",
    times: "whole ms",
    cost: "debugfs prints all sources for each snapshot, sysfs opens some dozen files for each source",
};

const NOTHING: Loss = Loss::data("none: the walk below works without it");

/// The checks; `kernel` is the kernel's BTF.
pub fn checks<'a>(kernel: &dyn Fn() -> Result<&'a Kernel>, kconfig: &Kconfig) -> [Check; 3] {
    let tried = try_best(kernel());
    let walks = matches!(tried, Ok((Kind::Kfunc | Kind::Kallsyms, _)));
    [
        Check::new(
            "BTF",
            CheckState::Degraded,
            kernel().map(|_| VMLINUX.to_owned()),
            if walks { NOTHING } else { PRINTED },
            kconfig.fix(&["CONFIG_DEBUG_INFO_BTF"]),
        ),
        Check::new(
            "kfuncs",
            CheckState::Degraded,
            kernel().and_then(kfuncs),
            Loss {
                data: "none",
                times: "none",
                cost: "the kernel's lock does not keep the list unchanged: a walk that meets a change is repeated",
            },
            "a kernel of Linux 7.2, android16-6.12 of mid-2026, or later",
        ),
        best(tried, kernel, kconfig),
    ]
}

fn kfuncs(kernel: &Kernel) -> Result<String> {
    let missing: Vec<_> = KFUNCS.into_iter().filter(|f| !kernel.ids.contains_key(f)).collect();
    ensure!(missing.is_empty(), "the kernel has no {}", missing.join(", "));
    Ok(KFUNCS.join(", "))
}

/// The best source. A table that the kernel prints is not as good as a walk.
fn best<'a>(
    tried: Result<(Kind, String)>,
    kernel: &dyn Fn() -> Result<&'a Kernel>,
    kconfig: &Kconfig,
) -> Check {
    let printed = matches!(tried, Ok((Kind::Debugfs | Kind::Sysfs, _)));
    let mut check = Check::new(
        "snapshots",
        CheckState::Missing,
        tried.map(|(_, found)| found),
        Loss::everything("everything: no source shows which wakeup sources are active"),
        "as root, with sysfs mounted; the line above names what each source lacks",
    );
    let kernel = kernel();
    if printed
        && let Err(why) = Kind::Kallsyms.open(kernel.as_ref().copied(), abi::DEFAULT_CAPACITY)
    {
        check.state = CheckState::Degraded;
        check.found += &format!("; no walk: {why:#}");
        check.lost = PRINTED.to_string();
        check.fix = match (refusal::of(&why), why.downcast_ref(), &kernel) {
            (Some(refusal), ..) => {
                check.found += &format!("; {refusal}");
                refusal.fix().to_owned()
            }
            (_, Some(NoAddress::Absent), _) => kconfig.fix(&["CONFIG_KALLSYMS_ALL"]),
            (_, Some(NoAddress::Hidden), _) => "run it as root, with CAP_SYSLOG".to_owned(),
            (.., Err(_)) => kconfig.fix(&["CONFIG_DEBUG_INFO_BTF"]),
            _ => "none known: report the line above to Sleepwalk".to_owned(),
        };
    }
    check
}

fn try_best(kernel: Result<&Kernel>) -> Result<(Kind, String)> {
    let opened = open_best(kernel.as_ref().copied(), abi::DEFAULT_CAPACITY)?;
    let notes: String = opened.source.note().map(|note| format!("; {note}")).into_iter().collect();
    let mut source = opened.source;
    let summary = source.take_snapshot(&mut |_| {})?;
    ensure!(!summary.broken, "{} ended early, after {} sources", source.name(), summary.seen);
    let micros = summary.took_ns() as f64 / 1e3;
    let found = format!("{}: {} sources in {micros:.0} µs{notes}", source.name(), summary.seen);
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == source.name());
    Ok((kind.context("a source of an unknown kind")?, found))
}
