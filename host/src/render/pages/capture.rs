//! The capture itself: how far it can be trusted, what it cost, and the battery meanwhile.

use crate::render::labels::{device, spaced};
use crate::render::page::{Cell, Column, Mark, Page, Piece, Text, quote, words};
use crate::report::{Drain, HookKind, Overhead, Report, Session};
use crate::text::fit;
use crate::units::{SECOND, count, damage, size, time, utc};

/// `Pixel 6 · Linux 6.12.23 aarch64`.
pub fn title(s: &Session) -> Text {
    let mut text = device(&s.device);
    text.push(Piece::Words(" · ".to_owned()));
    match s.kernel.is_empty() {
        true => text.push(Piece::Words("unknown kernel".to_owned())),
        false => {
            text.push(Piece::Words("Linux ".to_owned()));
            text.push(Piece::Quote(format!("{} {}", s.kernel, s.machine).trim_end().to_owned()));
        }
    }
    text
}

/// `8 m 00 s from 2026-03-01 10:00:11 UTC · 27 snapshots by kfunc`.
pub fn extent(s: &Session) -> Text {
    let mut text = words(format!("{} from {}", time(s.duration_ns), utc(s.start_realtime_ns.0)));
    if !s.source.is_empty() {
        text.push(Piece::Words(format!(" · {} by ", count(s.snapshots, "snapshot"))));
        text.extend(quote(s.source.as_str()));
    }
    text
}

/// What is unknown where a hook is missing.
const UNSEEN: [(HookKind, &str); 5] = [
    (HookKind::Return, "the return values of attempts were not recorded"),
    (HookKind::Edge, "single activations were not recorded"),
    (HookKind::Wait, "reads of the wakeup count were not recorded"),
    (HookKind::CountWrite, "writes of the wakeup count were not recorded"),
    (HookKind::Wake, "interrupts that wake were not recorded"),
];

/// Reasons to doubt the numbers of a session.
pub fn warnings(s: &Session) -> Vec<Text> {
    let mut warnings = Vec::new();
    if s.end_reason.is_none() {
        warnings.push(words("the capture did not end cleanly: the last events may be missing"));
    }
    match s.end_reason.as_deref() {
        Some("full") => {
            warnings.push(words("the capture ended because the trace reached --max-size"))
        }
        Some(reason) if reason.starts_with("error: ") => {
            // Both ends matter: the place and the cause.
            let reason = fit(&reason["error: ".len()..], 100);
            let text = "the capture ended early: ".to_owned();
            warnings.push(vec![Piece::Words(text), Piece::Quote(reason)]);
        }
        _ => {}
    }
    let damage = damage(s.damaged_bytes, s.missing_chunks, s.bad_records);
    if !damage.is_empty() {
        let is = match s.end_reason {
            Some(_) => "the trace is damaged",
            None => "the trace is damaged, or was copied too early",
        };
        warnings.push(words(format!("{is}: {damage}")));
    }
    for (n, noun, rest) in [
        (s.dropped_chunks, "older chunk", "dropped to keep the trace small"),
        (s.unknown_records, "record", "of a newer version skipped"),
        (s.truncated_snapshots, "snapshot", "without some sources"),
        (s.orphaned_snapshots, "snapshot", "unusable, because the one before is lost"),
        (s.torn_states, "reading", "of sources ignored: the fields contradict each other"),
    ] {
        if n > 0 {
            warnings.push(words(format!("{} {rest}", count(n, noun))));
        }
    }
    warnings.extend(match s.source.as_str() {
        "kallsyms" => Some("snapshots were read without the kernel's lock: sources may be missed"),
        "debugfs" => Some(
            "snapshots come from debugfs: millisecond resolution, and sources of one name may be mixed up",
        ),
        "sysfs" => Some(
            "snapshots come from sysfs: millisecond resolution, and sources are read at different moments",
        ),
        _ => None,
    }.map(words));
    for (what, lost) in UNSEEN {
        let mut missing = s.hooks.iter().filter(|hook| hook.what == what && hook.how.is_empty());
        if let Some(hook) = missing.next() {
            warnings.push(because(lost, &hook.why));
        }
    }
    if !s.agent.is_empty() && !s.watched(&HookKind::Phase) {
        warnings.push(words("suspend attempts could not be traced on this kernel"));
    }
    warnings
}

/// `text (why)`.
fn because(text: &str, why: &str) -> Text {
    if why.is_empty() {
        return words(text);
    }
    let why = Piece::Quote(why.to_owned());
    vec![Piece::Words(format!("{text} (")), why, Piece::Words(")".to_owned())]
}

/// The section on the drain of the battery; none where it is unknown.
pub fn battery(page: &mut Page, drain: Option<Drain>) {
    let Some(drain) = drain else { return };
    page.heading("Battery, off the charger");
    let lines =
        [("asleep", drain.asleep_ns, drain.asleep_uah), ("awake", drain.awake_ns, drain.awake_uah)];
    let rows = lines.into_iter().filter(|(_, ns, _)| *ns > 0).map(|(what, ns, uah)| {
        let hours = ns as f64 / (3_600 * SECOND) as f64;
        let mah = uah as f64 / 1_000.0;
        [
            Cell::words(what),
            Cell::time(ns),
            Cell::words(format!("{mah:.1} mAh")),
            Cell::words(format!("{:.1} mA", mah / hours)),
        ]
    });
    let columns = [
        Column::text("device"),
        Column::number("time"),
        Column::number("drained"),
        Column::number("on average"),
    ];
    page.table(&columns, rows);
}

/// The section on the trace and the cost of recording it.
pub fn capture(page: &mut Page, report: &Report) {
    let s = &report.session;
    let mut items = Vec::new();
    for (what, value) in [
        ("build", s.fingerprint.as_str()),
        ("serial number", &s.serial),
        ("boot", &s.boot_id),
        ("agent", &s.agent),
        ("ended by", s.end_reason.as_deref().unwrap_or_default()),
    ] {
        if !value.is_empty() {
            items.push(vec![Piece::Words(format!("{what}: ")), Piece::Quote(value.to_owned())]);
        }
    }
    items.push(words(format!(
        "read: {}, {}; lost: {}, {}",
        count(s.records, "record"),
        count(s.snapshots, "snapshot"),
        count(s.lost_events, "event"),
        size(s.damaged_bytes),
    )));
    items.extend(watched(s));
    items.extend(report.overhead.as_ref().map(|cost| words(overhead(cost))));
    page.list("The capture", Mark::Plain, items);
}

/// What was recorded, and by which hook; nothing without hooks.
fn watched(s: &Session) -> Option<Text> {
    let mut text = Text::new();
    for hook in s.hooks.iter().filter(|hook| !hook.how.is_empty()) {
        let separator = if text.is_empty() { "hooks: " } else { ", " };
        text.push(Piece::Words(separator.to_owned()));
        text.push(Piece::Quote(spaced(&hook.what)));
        text.push(Piece::Words(" by ".to_owned()));
        text.extend(quote(hook.how.as_str()));
        text.extend(because("", &hook.why).into_iter().filter(|_| !hook.why.is_empty()));
    }
    Some(text).filter(|text| !text.is_empty())
}

fn overhead(cost: &Overhead) -> String {
    let walks = &cost.snapshots;
    let mean = walks.total_ns.checked_div(walks.count).unwrap_or(0);
    // A capture that broke off may have reported its cost at the start alone.
    let recording = match cost.agent_cpu_ns.saturating_sub(cost.agent_start_cpu_ns) {
        0 => String::new(),
        ns => format!(", {} to record", time(ns)),
    };
    format!(
        "cost: {} of CPU to start{recording}; a snapshot takes {}, the slowest {}; {} written",
        time(cost.agent_start_cpu_ns),
        time(mean),
        time(walks.max_ns),
        size(cost.bytes_written),
    )
}
