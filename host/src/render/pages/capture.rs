//! The capture itself: the device, the cost of recording, and the battery meanwhile.

use super::warnings::because;
use crate::render::labels::{device, spaced};
use crate::render::page::{Cell, Column, Mark, Page, Piece, Text, quote, words};
use crate::report::{Drain, Overhead, Report, Session};
use crate::units::{SECOND, count, size, time, utc};

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
    let mut text = words(format!("{} from {}", time(s.duration_ns), date(s)));
    if !s.source.is_empty() {
        text.push(Piece::Words(format!(" · {} by ", count(s.snapshots, "snapshot"))));
        text.extend(quote(s.source.as_str()));
    }
    text
}

/// When the session began.
pub fn date(s: &Session) -> String {
    match s.clock {
        Some(_) => utc(s.start_realtime_ns.0),
        None => "an unknown date".to_owned(),
    }
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

/// The section on the trace and the cost of recording it. A page is pasted into bugs, so the serial
/// number of the device is left to JSON.
pub fn capture(page: &mut Page, report: &Report) {
    let s = &report.session;
    let mut items = Vec::new();
    for (what, value) in [
        ("build", s.fingerprint.as_str()),
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
    items.extend(s.notes.iter().map(|note| {
        let mut text = quote(note.about.as_str());
        text.push(Piece::Words(": ".to_owned()));
        text.push(Piece::Quote(note.text.clone()));
        text
    }));
    items.extend(watched(s));
    items.extend(report.overhead.as_ref().map(|cost| words(overhead(cost))));
    page.list("The capture", Mark::Plain, items);
}

/// The hooks that recorded the session; nothing without them.
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
    // A capture that was killed may have recorded its cost only at the start.
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
