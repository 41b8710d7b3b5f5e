//! The kernel's own record: ftrace's `power` events, and its probes on the functions that we watch
//! with probes of our own.

use anyhow::{Context, Result};

use crate::Device;

const TRACING: &str = "/sys/kernel/tracing";
const AHEAD: &str = "/sys/kernel/tracing/instances/e2e-ahead";

/// The kernel's messages that say why an attempt failed (`pm_dev_err`, drivers/base/power/main.c;
/// `try_to_freeze_tasks`, kernel/power/process.c; 5.10 to 7.3), and its last in `pm_suspend`. 5.10 traces
/// them as they reach the console (`call_console_drivers`, kernel/printk/printk.c), later kernels all.
const MESSAGES: &str =
    r#"msg ~ "*PM: failed to *" || msg ~ "Freezing*failed after*" || msg ~ "PM: suspend exit*""#;
const EXIT: &str = "PM: suspend exit";

/// Something that ftrace saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// CLOCK_BOOTTIME in ns; ftrace prints µs.
    pub at_ns: u64,
    /// Its kind and its values.
    pub kind: Kind,
}

/// An event's kind, and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `power:suspend_resume`.
    Phase {
        /// The step.
        action: String,
        /// The suspend state, PM event or CPU.
        value: i32,
        /// Begin, else end.
        begin: bool,
    },
    /// `pm_suspend` returned this.
    Return(i32),
    /// `power:wakeup_source_activate` or `_deactivate`.
    Edge {
        /// The source's.
        name: String,
        /// Wakeup events registered << 16 | in progress.
        state: u32,
        /// Activated, else deactivated.
        active: bool,
    },
    /// A thread entered a blocking `pm_get_wakeup_count`.
    WaitBegin {
        /// Its id.
        thread: u32,
    },
    /// It came out.
    WaitEnd {
        /// Its id.
        thread: u32,
        /// The return value.
        idle: bool,
    },
    /// `pm_save_wakeup_count` returned.
    Save {
        /// The thread's id.
        thread: u32,
        /// The return value.
        saved: bool,
    },
    /// `pm_system_irq_wakeup` was called for this interrupt.
    Wake(u32),
    /// A thread entered `pm_suspend`; ftrace alone sees it, as all that follows.
    Suspend {
        /// Its id.
        thread: u32,
        /// `events_check_enabled`, where kallsyms has it.
        armed: Option<bool>,
    },
    /// `pm_wakeup_pending` returned this.
    Pending(bool),
    /// The kernel said why an attempt failed.
    Message(String),
    /// A thread's `read` returned.
    ReadEnd {
        /// Its id.
        thread: u32,
    },
}

impl Kind {
    /// Belongs to an attempt itself: a phase or a return.
    pub fn of_attempt(&self) -> bool {
        matches!(self, Self::Phase { .. } | Self::Return(_))
    }

    /// The agent has a hook there too.
    pub fn hooked(&self) -> bool {
        !matches!(
            self,
            Self::Suspend { .. } | Self::Pending(_) | Self::Message(_) | Self::ReadEnd { .. }
        )
    }
}

/// ftrace at work; [`Ftrace::stop`] returns its events.
#[derive(Debug)]
pub struct Ftrace<'a> {
    device: &'a Device,
}

impl<'a> Ftrace<'a> {
    /// From now on.
    pub fn start(device: &'a Device) -> Result<Self> {
        device.sh(&format!(
            "cd {TRACING}; echo 0 > tracing_on; echo > trace; echo boot > trace_clock
             echo 0 > events/enable; echo > kprobe_events; echo 4096 > buffer_size_kb
             echo 'r:e2e_return pm_suspend ret=$retval:s32' > kprobe_events
             echo 'p:e2e_wait pm_get_wakeup_count block=$arg2:u8' >> kprobe_events
             echo 'r:e2e_waited pm_get_wakeup_count ret=$retval:u8' >> kprobe_events
             echo 'r:e2e_save pm_save_wakeup_count ret=$retval:u8' >> kprobe_events
             echo 'p:e2e_wake pm_system_irq_wakeup irq=$arg1:u32' >> kprobe_events
             echo 1 > events/power/suspend_resume/enable
             echo 1 > events/power/wakeup_source_activate/enable
             echo 1 > events/power/wakeup_source_deactivate/enable
             echo 1 > events/kprobes/enable
             echo 1 > tracing_on"
        ))?;
        Ok(Self { device })
    }

    /// The same, with the kernel's decisions: what it looks at, and what it says. `waiter` waits already,
    /// so a probe on its function would not see its end.
    pub fn start_with_decisions(device: &'a Device, waiter: u32) -> Result<Self> {
        let ftrace = Self::start(device)?;
        device.sh(&format!(
            "cd {TRACING}; echo 0 > tracing_on
             dmesg -n 1
             case $(uname -r) in 5.*) dmesg -n 8; echo N > /sys/module/printk/parameters/time ;; esac
             suspend='p:e2e_suspend pm_suspend'
             echo \"$suspend armed=@events_check_enabled:u8\" >> kprobe_events ||
                 echo \"$suspend\" >> kprobe_events
             echo 'r:e2e_pending pm_wakeup_pending ret=$retval:u8' >> kprobe_events
             echo 1 > events/kprobes/enable
             echo '{MESSAGES}' > events/printk/console/filter
             echo 1 > events/printk/console/enable
             echo common_pid=={waiter} > events/syscalls/sys_exit_read/filter
             echo 1 > events/syscalls/sys_exit_read/enable
             echo 1 > tracing_on"
        ))?;
        Ok(ftrace)
    }

    /// How many events there were, more than its buffers can hold.
    pub fn stop_counting(self) -> Result<u64> {
        let stats = self.device.sh(&format!(
            "cd {TRACING}; echo 0 > tracing_on; cat per_cpu/cpu*/stats; echo 0 > events/enable
             echo > kprobe_events"
        ))?;
        count(&stats)
    }

    /// Stops, and returns the events, sorted by time.
    pub fn stop(self) -> Result<Vec<Event>> {
        self.device.sh(&format!(
            "cd {TRACING}; echo 0 > tracing_on; cat trace > {}/ftrace.txt; echo 0 > events/enable
             echo > kprobe_events; dmesg -n 7",
            sleepwalk_vdev::FOLDER
        ))?;
        let mut events = parse(&String::from_utf8_lossy(&self.device.pull("ftrace.txt")?))?;
        return_at_exit(&mut events);
        Ok(events)
    }
}

/// Another ftrace, whose record nobody reads; it ends when this is dropped.
///
/// An event's first pass through ftrace's code takes an emulated CPU some 20 µs where an activation
/// comes after a sleep, and 3 µs where the deactivation follows at once. A probe that is called
/// behind ftrace would seem late by the difference, so a test of µs sends this one ahead.
#[derive(Debug)]
pub struct Ahead<'a> {
    device: &'a Device,
}

impl<'a> Ahead<'a> {
    /// From now on, ahead of all that starts later.
    pub fn start(device: &'a Device) -> Result<Self> {
        let ahead = Self { device };
        device.sh(&format!(
            "mkdir -p {AHEAD}; cd {AHEAD}; echo boot > trace_clock
             echo 1 > events/power/wakeup_source_activate/enable
             echo 1 > events/power/wakeup_source_deactivate/enable"
        ))?;
        Ok(ahead)
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        let _ = self.device.try_sh(&format!("echo 0 > {AHEAD}/events/enable; rmdir {AHEAD}"));
    }
}

/// The sum over all CPUs' `stats`: what is in the buffers, and what had no room any more.
fn count(stats: &str) -> Result<u64> {
    let counts = stats.lines().filter_map(|line| {
        let (name, count) = line.split_once(": ")?;
        ["entries", "overrun", "commit overrun", "dropped events"].contains(&name).then_some(count)
    });
    counts
        .map(|count| count.trim().parse::<u64>().with_context(|| format!("ftrace's `{count}`")))
        .sum()
}

/// Has attempts return when the kernel says so.
///
/// Where the agent's hook is an fexit, ftrace's probe on the return comes behind it. The hook wakes the
/// agent, and an emulator that has to wake its other CPU for that may lose the CPU for 20 ms.
fn return_at_exit(events: &mut [Event]) {
    let mut exit = None;
    for event in events {
        match &event.kind {
            Kind::Message(text) if text == EXIT => exit = Some(event.at_ns),
            Kind::Return(_) => event.at_ns = exit.take().unwrap_or(event.at_ns),
            _ => {}
        }
    }
}

/// Lines look like `   sh-257  [000] .....  1017.470310: suspend_resume: suspend_enter[1] begin`.
fn parse(text: &str) -> Result<Vec<Event>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| event(line).with_context(|| format!("ftrace's `{line}`"))).collect()
}

fn event(line: &str) -> Option<Event> {
    let (head, rest) = line.split_once(": ")?;
    let (seconds, micros) = head.rsplit(' ').next()?.split_once('.')?;
    let at_us = seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?;
    let (name, rest) = rest.split_once(": ").or_else(|| rest.split_once(" -> "))?;
    let thread = || head.split_once(" [")?.0.trim_end().rsplit_once('-')?.1.parse().ok();
    let value = |key| rest.rsplit_once(key)?.1.trim().parse::<u32>().ok();
    let kind = match name {
        "wakeup_source_activate" | "wakeup_source_deactivate" => {
            let (source, state) = rest.rsplit_once(" state=0x")?;
            let state = u32::from_str_radix(state.trim(), 16).ok()?;
            Kind::Edge { name: source.to_owned(), state, active: name == "wakeup_source_activate" }
        }
        "e2e_wait" if value("block=")? != 0 => Kind::WaitBegin { thread: thread()? },
        "e2e_waited" => Kind::WaitEnd { thread: thread()?, idle: value("ret=")? != 0 },
        "e2e_save" => Kind::Save { thread: thread()?, saved: value("ret=")? != 0 },
        "e2e_wake" => Kind::Wake(value("irq=")?),
        "e2e_suspend" => {
            Kind::Suspend { thread: thread()?, armed: value("armed=").map(|armed| armed != 0) }
        }
        "e2e_pending" => Kind::Pending(value("ret=")? != 0),
        "console" => Kind::Message(rest.trim().to_owned()),
        "sys_read" => Kind::ReadEnd { thread: thread()? },
        "suspend_resume" => {
            let (action, rest) = rest.rsplit_once('[')?;
            let (value, edge) = rest.split_once("] ")?;
            let begin = edge.trim() == "begin";
            Kind::Phase { action: action.to_owned(), value: value.parse().ok()?, begin }
        }
        "e2e_return" => Kind::Return(rest.rsplit_once("ret=")?.1.trim().parse().ok()?),
        _ => return None,
    };
    Some(Event { at_ns: at_us * 1_000, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_returns_are_read() {
        let text = "# tracer: nop\n\
            \x20  sh-257     [000] .....  1017.470310: suspend_resume: suspend_enter[1] begin\n\
            \x20  sh-257     [000] d..1.  1017.500000: e2e_return: (state_store+0x90/0x140 <- pm_suspend) ret=-16\n\
            \x20  a-b-12     [001] d..1.  1018.000001: wakeup_source_deactivate: a b: c state=0x1ffff\n\
            \x20  a-b-12     [001] d..1.  1018.000002: e2e_waited: (x+0x1/0x2 <- pm_get_wakeup_count) ret=1\n\
            \x20  sh-257     [000] .....  1018.000003: e2e_suspend: (pm_suspend+0x4/0x390) armed=1\n\
            \x20  sh-257     [000] .....  1018.000004: console: usb usb1: PM: failed to suspend: error -16\n\
            \x20  dd-9       [000] .....  1018.000005: sys_read -> 0x3\n";
        let phase = Kind::Phase { action: "suspend_enter".into(), value: 1, begin: true };
        let expected = [
            Event { at_ns: 1_017_470_310_000, kind: phase },
            Event { at_ns: 1_017_500_000_000, kind: Kind::Return(-16) },
            Event {
                at_ns: 1_018_000_001_000,
                kind: Kind::Edge { name: "a b: c".into(), state: 0x1_ffff, active: false },
            },
            Event { at_ns: 1_018_000_002_000, kind: Kind::WaitEnd { thread: 12, idle: true } },
            Event {
                at_ns: 1_018_000_003_000,
                kind: Kind::Suspend { thread: 257, armed: Some(true) },
            },
            Event {
                at_ns: 1_018_000_004_000,
                kind: Kind::Message("usb usb1: PM: failed to suspend: error -16".into()),
            },
            Event { at_ns: 1_018_000_005_000, kind: Kind::ReadEnd { thread: 9 } },
        ];
        assert_eq!(parse(text).unwrap(), expected);
        assert!(parse("nonsense\n").is_err());
        let stats = "entries: 5\noverrun: 7\nbytes: 99\nentries: 1\ndropped events: 2\n";
        assert_eq!(count(stats).unwrap(), 15);
    }
}
