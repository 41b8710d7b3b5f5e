//! What puts the numbers in doubt, in words.

use super::{Page, YELLOW};
use crate::render::terminal::WIDTH;
use crate::report::{HookKind, Report, Session};
use crate::text::{escape, fit, one_line};
use crate::units::{count, damage, time};

/// The warnings, and what the capture itself cost.
pub(super) fn notes(out: &mut Page, report: &Report) {
    let warnings = warnings(&report.session);
    if !warnings.is_empty() {
        out.heading("Warnings");
        for warning in warnings {
            out.item(YELLOW, "!", &warning);
        }
    }
    if let Some(cost) = &report.overhead {
        let walks = &cost.snapshots;
        let mean = walks.total_ns.checked_div(walks.count).unwrap_or(0);
        out.text.push('\n');
        let begun = time(cost.agent_start_cpu_ns);
        // A capture that broke off may have told its cost at the begin alone.
        let cpu = match cost.agent_cpu_ns.saturating_sub(cost.agent_start_cpu_ns) {
            0 => String::new(),
            ns => format!(", {} to record", time(ns)),
        };
        let (mean, max) = (time(mean), time(walks.max_ns));
        let line = format!("CPU {begun} to begin{cpu}; a snapshot {mean}, the slowest {max}.");
        out.wrapped(&line);
    }
}

/// What is not known where a hook is missing.
const UNSEEN: [(HookKind, &str); 5] = [
    (HookKind::Return, "what attempts returned was not seen"),
    (HookKind::Edge, "activations were not seen one by one"),
    (HookKind::Wait, "waits for the wakeup count were not seen"),
    (HookKind::CountWrite, "writes of the wakeup count were not seen"),
    (HookKind::Wake, "interrupts that wake were not seen"),
];

/// Each warning as a line.
pub(in crate::render) fn warnings(session: &Session) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |n: u64, text: String| {
        if n > 0 {
            warnings.push(text);
        }
    };
    let s = session;
    warn(
        u64::from(s.end_reason.is_none()),
        "the capture did not end in order: what it saw last may be missing".to_owned(),
    );
    let early = match s.end_reason.as_deref() {
        Some("full") => {
            "the trace was as long as --max-size lets it, and the capture ended".to_owned()
        }
        Some(reason) if reason.starts_with("error: ") => {
            // At both ends there is what matters: where, and why.
            format!("the capture ended early: {}", fit(&one_line(&reason["error: ".len()..]), 50))
        }
        _ => String::new(),
    };
    warn(u64::from(!early.is_empty()), early);
    warn(
        s.dropped_chunks,
        format!("{} dropped to keep the trace small", count(s.dropped_chunks, "older chunk")),
    );
    let damage = damage(s.damaged_bytes, s.missing_chunks, s.bad_records);
    let is = match s.end_reason {
        Some(_) => "the trace is damaged",
        None => "damaged, or copied too early",
    };
    warn(u64::from(!damage.is_empty()), format!("{is}: {damage}"));
    warn(
        s.unknown_records,
        format!("{} of a newer version passed over", count(s.unknown_records, "record")),
    );
    warn(
        s.truncated_snapshots,
        format!("{} without some sources", count(s.truncated_snapshots, "snapshot")),
    );
    warn(
        s.orphaned_snapshots,
        format!("{} unusable: they build on a lost one", count(s.orphaned_snapshots, "snapshot")),
    );
    warn(
        s.torn_states,
        format!(
            "{} of sources not used: fields that contradict each other",
            count(s.torn_states, "reading")
        ),
    );
    let cost = match s.source.as_str() {
        "kallsyms" => "snapshots were walked without the kernel's lock: sources may be missed",
        "debugfs" => "snapshots are debugfs': whole ms, and sources of one name may be mixed up",
        "sysfs" => "snapshots are sysfs': whole ms, and no one instant, for each takes long",
        _ => "",
    };
    warn(u64::from(!cost.is_empty()), cost.to_owned());
    for (what, lost) in UNSEEN {
        let mut missing = s.hooks.iter().filter(|hook| hook.what == what && hook.how.is_empty());
        if let Some(hook) = missing.next() {
            let why = escape(hook.why.as_bytes());
            let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
            warn(1, fit(&format!("{lost}{why}"), WIDTH - 4));
        }
    }
    let hooked = s.agent.is_empty() || s.watched(&HookKind::Phase);
    warn(u64::from(!hooked), "this kernel let nobody watch attempts to suspend".to_owned());
    warnings
}
