//! The facts that totals lack.

use super::facts::{Import, Layer, Origin, Unknown};

/// The facts that `import` lacks, and why.
pub fn unknown(import: &Import) -> Vec<Unknown> {
    let mut unknown = vec![
        Unknown {
            what: "when each was held, and what it blocked",
            why: "these are totals: `sleepwalk record` has each hold and each attempt",
        },
        Unknown {
            what: "the time asleep, aborted and blocked",
            why: "nothing here has the stamps of attempts and waits",
        },
    ];
    let mut lacks = |missing: bool, what, why| {
        if missing {
            unknown.push(Unknown { what, why });
        }
    };
    let has = |layer| import.holders.iter().any(|holder| holder.layer == layer);
    lacks(
        !has(Layer::Kernel),
        "wakeup sources of the kernel",
        "there is neither suspend_control_internal nor wakeup_sources",
    );
    lacks(
        !has(Layer::Native),
        "native wakelocks",
        "there is no table of suspend_control_internal (Android 11 and later; a shell of a user build may not \
         read it, a bug report has it)",
    );
    lacks(
        !has(Layer::App),
        "wakelocks of apps, as totals",
        "there is no `dumpsys batterystats -c`",
    );
    lacks(
        import.held.is_empty() && import.blockers.is_empty(),
        "wakelocks of apps, as held then",
        "there is no `dumpsys power`",
    );
    lacks(import.alarms.is_empty(), "alarms", "there is no `dumpsys alarm` with its statistics");
    lacks(
        import.suspends.is_empty(),
        "counts of suspend attempts",
        "there is neither suspend_stats nor suspend_control_internal",
    );
    lacks(
        import.holders.iter().any(|holder| holder.origin == Origin::Batterystats),
        "holds while it was charged",
        "batterystats counts on battery alone",
    );
    unknown
}
