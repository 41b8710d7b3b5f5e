//! The kernel's own record of suspend attempts: ftrace's `power` events and a probe on
//! `pm_suspend`'s return that is none of ours.

use anyhow::{Context, Result};

use crate::Device;

const TRACING: &str = "/sys/kernel/tracing";

/// Something that ftrace saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// CLOCK_BOOTTIME in ns; ftrace prints µs.
    pub at_ns: u64,
    /// What.
    pub what: What,
}

/// What ftrace saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
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
}

/// ftrace at work; [`Ftrace::stop`] says what it saw.
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
             echo 1 > events/power/suspend_resume/enable
             echo 1 > events/kprobes/e2e_return/enable
             echo 1 > tracing_on"
        ))?;
        Ok(Self { device })
    }

    /// What it saw, in order.
    pub fn stop(self) -> Result<Vec<Event>> {
        self.device.sh(&format!(
            "cd {TRACING}; echo 0 > tracing_on; cat trace > {}/ftrace.txt; echo 0 > events/enable
             echo > kprobe_events",
            crate::device::FOLDER
        ))?;
        parse(&String::from_utf8_lossy(&self.device.pull("ftrace.txt")?))
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
    let (name, rest) = rest.split_once(": ")?;
    let what = match name {
        "suspend_resume" => {
            let (action, rest) = rest.rsplit_once('[')?;
            let (value, edge) = rest.split_once("] ")?;
            let begin = edge.trim() == "begin";
            What::Phase { action: action.to_owned(), value: value.parse().ok()?, begin }
        }
        "e2e_return" => What::Return(rest.rsplit_once("ret=")?.1.trim().parse().ok()?),
        _ => return None,
    };
    Some(Event { at_ns: at_us * 1_000, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_returns_are_read() {
        let text = "# tracer: nop\n\
            \x20  sh-257     [000] .....  1017.470310: suspend_resume: suspend_enter[1] begin\n\
            \x20  sh-257     [000] d..1.  1017.500000: e2e_return: (state_store+0x90/0x140 <- pm_suspend) ret=-16\n";
        let phase = What::Phase { action: "suspend_enter".into(), value: 1, begin: true };
        let expected = [
            Event { at_ns: 1_017_470_310_000, what: phase },
            Event { at_ns: 1_017_500_000_000, what: What::Return(-16) },
        ];
        assert_eq!(parse(text).unwrap(), expected);
        assert!(parse("nonsense\n").is_err());
    }
}
