//! The best that the agent can do on each kernel: the matrix of docs/guide.md, as far as it is run.

use sleepwalk_vdev::Kernel;

/// The hooks, in the order of the session's list: phases, returns, activations, waits, count writes, wakes.
type Hooks = [&'static str; 6];

/// With fexit: Debian's kernels have a function tracer, and arm64 the trampolines from 6.4 on.
const WITH_TRACER: Hooks = ["tp_btf", "fexit", "tp_btf", "fexit", "fexit", "fentry"];
/// Without, as phones: no GKI has a function tracer.
const WITHOUT_TRACER: Hooks = ["tp_btf", "kretprobe", "tp_btf", "kretprobe", "kretprobe", "kprobe"];
/// Without BTF.
const WITHOUT_BTF: Hooks = ["raw_tp", "kretprobe", "raw_tp", "kretprobe", "kretprobe", "kprobe"];

/// The best on one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Best {
    /// Where snapshots come from.
    pub snapshots: &'static str,
    /// How each hook is attached.
    pub hooks: Hooks,
    /// The stage in which the kernel ends an attempt when a source is active during its sync of the file
    /// systems. Where a sync cannot be aborted, the freezer is the first to look for wakeups.
    pub sync: &'static str,
    /// Why no address is known, where the walk from the address fails.
    pub no_address: Option<&'static str>,
}

impl Best {
    /// On this kernel.
    pub fn on(kernel: Kernel) -> Self {
        let (snapshots, hooks, sync) = match kernel {
            Kernel::Kfunc => ("kfunc", WITH_TRACER, "sync"),
            Kernel::V6_12 => ("kallsyms", WITH_TRACER, "freeze"),
            Kernel::V6_1 | Kernel::V5_10 => ("debugfs", WITHOUT_TRACER, "freeze"),
            Kernel::Gki7 => ("kfunc", WITHOUT_TRACER, "sync"),
            Kernel::Gki6_12 | Kernel::Gki6_12Pages16 | Kernel::Gki6_1 => {
                ("kallsyms", WITHOUT_TRACER, "freeze")
            }
            Kernel::Gki5_10 => ("kallsyms", WITHOUT_BTF, "freeze"),
        };
        // Debian's older kernels have no data symbols.
        let no_address = (snapshots == "debugfs").then_some("CONFIG_KALLSYMS_ALL");
        Self { snapshots, hooks, sync, no_address }
    }

    /// Every source of snapshots that works.
    pub fn sources(self) -> impl Iterator<Item = &'static str> {
        let works = move |source: &&str| match *source {
            "kfunc" => self.snapshots == "kfunc",
            "kallsyms" => self.no_address.is_none(),
            _ => true,
        };
        ["kfunc", "kallsyms", "debugfs", "sysfs"].into_iter().filter(works)
    }
}
