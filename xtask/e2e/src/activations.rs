//! Activations with what ran, by ftrace's stack traces and by ours.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use sleepwalk_trace::record::{
    Activator, EDGE_ACTIVE, LEVEL_HARD_IRQ, LEVEL_NMI, LEVEL_SOFT_IRQ, LEVEL_THREAD, LEVEL_UNKNOWN,
    Record,
};

use crate::Device;
use crate::trace::Trace;

const TRACING: &str = "/sys/kernel/tracing";

/// An activation, and what ran then.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Activation {
    /// CLOCK_BOOTTIME in µs.
    pub at_us: u64,
    /// The source's name.
    pub source: String,
    /// The function that called the core.
    pub function: String,
    /// The functions from there on, without offsets.
    pub stack: Vec<String>,
    /// One of the `LEVEL_*` values.
    pub level: u8,
    /// The thread's name and id; `None` in an interrupt.
    pub thread: Option<(String, u32)>,
}

/// Starts ftrace with a stack for each activation.
pub fn start(device: &Device) -> Result<()> {
    device.sh(&format!(
        "cd {TRACING}; echo 0 > tracing_on; echo > trace; echo boot > trace_clock
         echo 0 > events/enable; echo 8192 > buffer_size_kb
         echo 1 > options/stacktrace; echo 1 > options/sym-offset
         echo 1 > events/power/wakeup_source_activate/enable; echo 1 > tracing_on"
    ))?;
    Ok(())
}

/// Stops it, and returns the activations, sorted by time.
pub fn stop(device: &Device) -> Result<Vec<Activation>> {
    device.sh(&format!(
        "cd {TRACING}; echo 0 > tracing_on; cat trace > {}/stacks.txt; echo 0 > events/enable
         echo 0 > options/stacktrace; echo 0 > options/sym-offset",
        sleepwalk_vdev::FOLDER
    ))?;
    let mut all = parse(&String::from_utf8_lossy(&device.pull("stacks.txt")?))?;
    all.sort();
    Ok(all)
}

/// Lines look like `  sh-257  [000] d.h1.  1017.470310: wakeup_source_activate: rtc state=0x10000`, and
/// after it, perhaps behind a line of another processor, ` => __pm_stay_awake`.
fn parse(text: &str) -> Result<Vec<Activation>> {
    let mut all: Vec<Activation> = Vec::new();
    let mut stacks: BTreeMap<String, usize> = BTreeMap::new();
    let mut current = None;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(function) = line.strip_prefix(" => ") {
            let at: usize = current.with_context(|| format!("a stack of nothing: {line}"))?;
            let plain = function.split(['.', '+', ' ']).next().unwrap_or(function);
            // A call that never returns is a function's last instruction, and ftrace names the next one.
            // A trampoline of the probe has no name any more once the agent has ended.
            let known = !function.contains("+0x0/") && !function.starts_with("0x");
            all[at].stack.push(if known { plain } else { "" }.to_owned());
            continue;
        }
        let parsed = event(line).with_context(|| format!("ftrace's `{line}`"))?;
        match parsed {
            (cpu, Some(activation)) => {
                stacks.insert(cpu, all.len());
                all.push(activation);
            }
            (cpu, None) => current = stacks.get(&cpu).copied(),
        }
    }
    for one in &mut all {
        let core = one.stack.iter().position(|f| is_core(f));
        let above = core.and_then(|core| one.stack[core..].iter().position(|f| !is_core(f)));
        let caller = core.zip(above).map(|(core, above)| core + above);
        let caller = caller.with_context(|| format!("no caller: {one:?}"))?;
        one.stack.drain(..caller);
        one.function.clone_from(&one.stack[0]);
    }
    Ok(all)
}

/// The names of all functions of the core begin so.
fn is_core(function: &str) -> bool {
    ["wakeup_source_", "__pm_", "pm_stay_awake", "pm_wakeup_"]
        .iter()
        .any(|p| function.starts_with(p))
}

/// The processor, and the activation; `None` for the head of a stack.
fn event(line: &str) -> Option<(String, Option<Activation>)> {
    let (task, rest) = line.split_once(" [")?;
    let (comm, thread) = task.trim_start().rsplit_once('-')?;
    let (cpu, rest) = rest.split_once("] ")?;
    let mut words = rest.split_ascii_whitespace();
    let flags = words.next()?;
    let (seconds, micros) = words.next()?.strip_suffix(':')?.split_once('.')?;
    let what = rest.split_once(": ")?.1;
    if what.contains("<stack trace>") {
        return Some((cpu.to_owned(), None));
    }
    let (source, _) = what.strip_prefix("wakeup_source_activate: ")?.rsplit_once(" state=0x")?;
    // The third flag (`trace_print_lat_fmt`, kernel/trace/trace_output.c).
    let level = match flags.chars().nth(2)? {
        '.' => LEVEL_THREAD,
        's' => LEVEL_SOFT_IRQ,
        'h' | 'H' => LEVEL_HARD_IRQ,
        'z' | 'Z' => LEVEL_NMI,
        _ => return None,
    };
    // ftrace shows the idle thread of each processor under one name.
    let comm = if comm == "<idle>" { "swapper" } else { comm };
    let thread = (comm.to_owned(), thread.trim().parse().ok()?);
    let activation = Activation {
        at_us: seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?,
        source: source.to_owned(),
        function: String::new(),
        stack: Vec::new(),
        level,
        thread: (level == LEVEL_THREAD).then_some(thread),
    };
    Some((cpu.to_owned(), Some(activation)))
}

/// The activations in a trace, sorted by time.
pub fn recorded(trace: &Trace) -> Result<Vec<Activation>> {
    let (strings, names) = (trace.strings(), trace.names());
    let text = |id: &u32| {
        let bytes = strings.get(id).with_context(|| format!("text {id} is not defined"))?;
        Ok::<_, anyhow::Error>(String::from_utf8_lossy(bytes).into_owned())
    };
    let mut activators = BTreeMap::<u32, Activator>::new();
    let (mut by, mut all) = (BTreeMap::new(), Vec::new());
    for stamped in &trace.records {
        match &stamped.record {
            Record::Activator(activator) => {
                let mut activator = activator.clone();
                if let Some(known) =
                    activators.get(&activator.id).filter(|_| activator.frames.is_empty())
                {
                    activator.frames.clone_from(&known.frames);
                }
                activators.insert(activator.id, activator);
            }
            Record::ActivatedBy(one) => drop(by.insert(one.source, one.activator)),
            Record::Edge(edge) if edge.flags & EDGE_ACTIVE != 0 => {
                let name = names.get(&edge.source).context("an edge's source is not defined")?;
                let id = by.get(&edge.source).context("an activation without its activator")?;
                let activator = activators.get(id).context("an activator is not defined")?;
                let plain = |frame: &String| {
                    frame.split(['.', '+', ' ']).next().unwrap_or(frame).to_owned()
                };
                let stack = activator.frames.iter().map(plain).skip_while(|f| is_core(f));
                let comm = text(&activator.comm)?;
                let comm = if comm.starts_with("swapper/") { "swapper".to_owned() } else { comm };
                all.push(Activation {
                    at_us: stamped.at.0 / 1_000,
                    source: text(name)?,
                    function: text(&activator.function)?,
                    stack: stack.collect(),
                    level: activator.level,
                    thread: (activator.level == LEVEL_THREAD).then_some((comm, activator.thread)),
                });
            }
            _ => {}
        }
    }
    all.sort();
    Ok(all)
}

/// Holds each of our activations to the kernel's: the same source at the same time, by the same function, in the
/// same thread or interrupt, over the same stack.
pub fn same(kernel: &[Activation], ours: &[Activation]) -> Result<()> {
    // Both were at work from some time to some other.
    let both = |all: &[Activation], other: &[Activation]| -> Vec<Activation> {
        let (Some(first), Some(last)) = (other.first(), other.last()) else { return Vec::new() };
        let within = first.at_us.saturating_sub(NEAR_US)..=last.at_us + NEAR_US;
        all.iter().filter(|one| within.contains(&one.at_us)).cloned().collect()
    };
    let by_source = |all: Vec<Activation>| {
        let mut sorted = BTreeMap::<String, Vec<Activation>>::new();
        all.into_iter().for_each(|one| sorted.entry(one.source.clone()).or_default().push(one));
        sorted
    };
    let (kernel, ours) = (by_source(both(kernel, ours)), by_source(both(ours, kernel)));
    ensure!(
        kernel.keys().eq(ours.keys()),
        "ftrace has {:?}, we have {:?}",
        kernel.keys(),
        ours.keys()
    );
    for (theirs, ours) in kernel.values().flatten().zip(ours.values().flatten()) {
        let depth = theirs.stack.len().min(ours.stack.len());
        ensure!(
            theirs.source == ours.source && theirs.at_us.abs_diff(ours.at_us) <= NEAR_US,
            "ftrace has {theirs:?}, we have {ours:?}"
        );
        // Without BTF the agent does not know.
        let known = ours.level != LEVEL_UNKNOWN;
        ensure!(
            theirs.function == ours.function
                && (!known || (theirs.level, &theirs.thread) == (ours.level, &ours.thread)),
            "ftrace has {theirs:?}, we have {ours:?}"
        );
        let mut frames = theirs.stack.iter().zip(&ours.stack);
        ensure!(
            depth >= 2 && frames.all(|(theirs, ours)| theirs.is_empty() || theirs == ours),
            "ftrace has {theirs:?}, we have {ours:?}"
        );
    }
    let count =
        |all: &BTreeMap<String, Vec<Activation>>| all.values().map(Vec::len).collect::<Vec<_>>();
    ensure!(
        count(&kernel) == count(&ours),
        "{:?} and {:?} activations",
        count(&kernel),
        count(&ours)
    );
    Ok(())
}

/// The hooks of both are called one after the other, and a processor may be stopped in between.
const NEAR_US: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_belong_to_their_processor() {
        let text = "# tracer: nop\n\
            \x20  <idle>-0     [001] d.h1.  10.000002: wakeup_source_activate: rtc state=0x10001\n\
            \x20  a-b-12     [000] d..1.  10.000003: wakeup_source_activate: x y state=0x10002\n\
            \x20  <idle>-0     [001] d.h1.  10.000009: <stack trace>\n\
            \x20=> wakeup_source_report_event.part.0\n => __pm_stay_awake\n => pm_stay_awake\n\
            \x20=> rtc_update_irq+0x30/0x60\n => pl031_interrupt+0x0/0x90\n => 0xffff80008012ef14\n\
            \x20  a-b-12     [000] d..1.  10.000010: <stack trace>\n\
            \x20=> trace_event_raw\n => wakeup_source_report_event\n => ep_poll_callback\n => write\n";
        let all = parse(text).unwrap();
        assert_eq!((&*all[0].function, all[0].level), ("rtc_update_irq", LEVEL_HARD_IRQ));
        assert_eq!(
            (all[0].thread.as_ref(), &all[0].stack[1..]),
            (None, &[String::new(), String::new()][..])
        );
        assert_eq!(all[1].stack, ["ep_poll_callback", "write"]);
        assert_eq!((&*all[1].source, all[1].at_us), ("x y", 10_000_003));
        assert_eq!(all[1].thread, Some(("a-b".to_owned(), 12)));
        assert!(same(&all, &all).is_ok());
        let mut other = all.clone();
        other[1].thread = Some(("a-b".to_owned(), 13));
        assert!(same(&all, &other).is_err() && same(&all, &all[..1]).is_err());
        assert!(parse(" => lost\n").is_err() && parse("nonsense\n").is_err());
    }
}
