//! Suspend attempts as ftrace shows them, without data of ours.

use crate::ftrace::{Event, Kind};

/// One call of `pm_suspend`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// CLOCK_BOOTTIME of its begin and its return, in ns.
    pub span_ns: (u64, u64),
    /// Its return value.
    pub errno: i32,
    /// The step that it came to, as the report names it.
    pub stage: &'static str,
    /// Begin and end of each `machine_suspend`.
    pub machine_ns: Vec<(u64, u64)>,
}

/// The way down (`enter_state` and `suspend_devices_and_enter` in `kernel/power/suspend.c`, 7.3): what
/// ftrace shows, whether its begin or its end, and where the attempt is from then on.
const WAY_DOWN: [(&str, bool, &str); 9] = [
    ("suspend_enter", true, "entry"),
    ("sync_filesystems", true, "sync"),
    // The notifiers are next; they are not traced.
    ("sync_filesystems", false, "prepare"),
    ("freeze_processes", true, "freeze"),
    ("dpm_prepare", true, "dpm_prepare"),
    ("dpm_suspend", true, "suspend"),
    ("dpm_suspend_late", true, "suspend_late"),
    ("dpm_suspend_noirq", true, "suspend_noirq"),
    ("machine_suspend", true, "machine"),
];

impl Attempt {
    /// How it came out, as the report names it. A `machine_suspend` of less than a ms found a wakeup
    /// pending already.
    pub fn outcome(&self) -> &'static str {
        match self.errno {
            _ if self.machine_ns.iter().any(|(begin, end)| end - begin >= 1_000_000) => "slept",
            0 => "no_sleep",
            -16 => "aborted",
            _ => "failed",
        }
    }
}

/// All attempts in the order of their return.
pub fn of(events: &[Event]) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    let mut phases: Vec<(u64, &str, bool)> = Vec::new();
    for event in events {
        match &event.kind {
            Kind::Phase { action, begin, .. } => phases.push((event.at_ns, action, *begin)),
            Kind::Return(errno) => {
                attempts.push(attempt(&phases, event.at_ns, *errno));
                phases.clear();
            }
            _ => {}
        }
    }
    attempts
}

fn attempt(phases: &[(u64, &str, bool)], end_ns: u64, errno: i32) -> Attempt {
    let came_to = |(action, begin, _): &&(&str, bool, &str)| {
        phases.iter().any(|(_, seen, seen_begin)| (seen, seen_begin) == (action, begin))
    };
    let machine = |wanted| {
        let of =
            phases.iter().filter(move |(_, a, begin)| *a == "machine_suspend" && *begin == wanted);
        of.map(|(at_ns, ..)| *at_ns)
    };
    Attempt {
        span_ns: (phases.first().map_or(end_ns, |(at_ns, ..)| *at_ns), end_ns),
        errno,
        stage: WAY_DOWN.iter().rfind(came_to).map_or("entry", |(.., stage)| stage),
        machine_ns: machine(true).zip(machine(false)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_out_of_phases() {
        let phase = |at_ns, action: &str, begin| Event {
            at_ns,
            kind: Kind::Phase { action: action.into(), value: 1, begin },
        };
        let events = [
            phase(1, "suspend_enter", true),
            phase(2, "sync_filesystems", true),
            phase(3, "sync_filesystems", false),
            Event { at_ns: 4, kind: Kind::Return(-1) },
            phase(10, "suspend_enter", true),
            phase(11, "machine_suspend", true),
            phase(2_000_011, "machine_suspend", false),
            phase(2_000_012, "dpm_resume", true),
            Event { at_ns: 2_000_020, kind: Kind::Return(0) },
        ];
        let [refused, slept] = &of(&events)[..] else { panic!("two attempts") };
        assert_eq!((refused.errno, refused.stage, refused.outcome()), (-1, "prepare", "failed"));
        assert_eq!(refused.span_ns, (1, 4));
        assert_eq!((slept.errno, slept.stage, slept.outcome()), (0, "machine", "slept"));
        assert_eq!(slept.machine_ns, [(11, 2_000_011)]);
    }
}
