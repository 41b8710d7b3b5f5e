//! Several traces as a page: devices beside each other, and the sums of each.

use std::collections::BTreeSet;

use crate::compare::merge::{Device, Reports, Session, Sum, Totals};
use crate::render::labels::{outcomes, unknown};
use crate::render::page::{Align, Block, Page, Text, name, words};
use crate::render::summary::ledger;
use crate::report::{Ledger, Report};
use crate::units::{count, percent, time, utc};

/// The page, with `top` sources per device.
pub fn page(reports: &Reports, top: usize) -> Page {
    let mut page = Page::default();
    if let [device] = &reports.devices[..] {
        one(&mut page, device, top);
        return page;
    }
    let devices = count(reports.devices.len() as u64, "device");
    page.blocks.push(Block::Title(words(format!("{devices} beside each other"))));
    let row = |d: &Device| {
        let t = &d.totals;
        [
            words(label(d)),
            words(time(t.duration_ns)),
            words(percent(awake(&t.ledger, t.duration_ns), t.duration_ns)),
            words(t.ledger.blocked_ns.map_or_else(unknown, |ns| percent(ns, t.duration_ns))),
            words(per_hour(t.attempts.aborted, t.duration_ns)),
            words(per_hour(t.attempts.slept, t.duration_ns)),
            t.sources.first().map_or_else(|| words(unknown()), |s| name(&s.name)),
        ]
    };
    page.table(
        [
            ("device", Align::Left),
            ("length", Align::Right),
            ("awake", Align::Right),
            ("blocked", Align::Right),
            ("aborts/h", Align::Right),
            ("wakes/h", Align::Right),
            ("worst", Align::Left),
        ],
        6,
        reports.devices.iter().map(row).collect(),
    );
    for device in &reports.devices {
        one(&mut page, device, top);
    }
    page
}

fn label(device: &Device) -> String {
    let model = if device.device.is_empty() { "unnamed device" } else { &device.device };
    format!("{model} {}", device.serial).trim_end().to_owned()
}

fn awake(ledger: &Ledger, whole_ns: u64) -> u64 {
    whole_ns.saturating_sub(ledger.asleep_ns)
}

fn per_hour(n: u64, whole_ns: u64) -> String {
    if whole_ns == 0 {
        return unknown();
    }
    format!("{:.1}", n as f64 / (whole_ns as f64 / 3_600e9))
}

fn one(page: &mut Page, device: &Device, top: usize) {
    let Totals { sessions, boots, duration_ns, attempts: a, .. } = &device.totals;
    if page.blocks.is_empty() {
        page.blocks.push(Block::Title(words(label(device))));
    } else {
        page.heading(label(device));
    }
    page.line(format!(
        "{}, {}, {} in all",
        count(*sessions, "session"),
        count(*boots, "boot"),
        time(*duration_ns)
    ));
    let told = outcomes([a.slept, a.no_sleep, a.aborted, a.failed, a.unknown]);
    page.line(format!("{} to suspend{told}", count(a.total(), "attempt")));
    ledger(page, &device.totals.ledger, *duration_ns);
    ranking(page, &device.totals, top);
    sessions_of(page, device);
    page.list("Warnings", device.warnings.iter().map(words).collect());
}

fn ranking(page: &mut Page, totals: &Totals, top: usize) {
    page.heading("What kept it awake");
    let busy = |s: &&Sum| s.cost_ns != 0 || s.held_ns != 0 || s.events != 0 || s.aborts != 0;
    let sources: Vec<_> = totals.sources.iter().filter(busy).collect();
    if sources.is_empty() {
        page.line("No source was active.");
    }
    let row = |(index, s): (usize, &&Sum)| {
        [
            words((index + 1).to_string()),
            name(&s.name),
            words(format!("{} of {}", s.sessions, totals.sessions)),
            words(time(s.cost_ns)),
            words(s.blocked_share_ns.map_or_else(unknown, time)),
            words(time(s.held_ns)),
            words(s.aborts.to_string()),
            words(s.wakes.to_string()),
        ]
    };
    page.table(
        [
            ("nr", Align::Right),
            ("source", Align::Left),
            ("in", Align::Left),
            ("cost", Align::Right),
            ("blocked", Align::Right),
            ("held", Align::Right),
            ("aborts", Align::Right),
            ("wakes", Align::Right),
        ],
        1,
        sources.iter().take(top).enumerate().map(row).collect(),
    );
    let rest = (sources.len().saturating_sub(top) as u64).saturating_add(totals.sources_left_out);
    if rest > 0 {
        page.line(format!("{rest} more are not shown."));
    }
}

/// The traces without their folders, where that tells them apart; folders use up the room.
fn files(sessions: &[Session]) -> Vec<&str> {
    let short: Vec<&str> =
        sessions.iter().map(|s| s.trace.rsplit('/').next().unwrap_or_default()).collect();
    let distinct: BTreeSet<_> = short.iter().collect();
    if distinct.len() == short.len() {
        return short;
    }
    sessions.iter().map(|s| s.trace.as_str()).collect()
}

fn sessions_of(page: &mut Page, device: &Device) {
    page.heading("Sessions");
    let row = |(session, file): (&Session, &str)| -> [Text; 7] {
        let report: &Report = &session.report;
        let whole = report.session.duration_ns;
        let slept = report.attempts.iter().filter(|a| a.outcome == "slept").count();
        [
            words(session.boot.to_string()),
            words(utc(report.session.start_realtime_ns)),
            words(time(whole)),
            words(percent(awake(&report.ledger, whole), whole)),
            words(report.attempts.len().to_string()),
            words(slept.to_string()),
            words(file),
        ]
    };
    page.table(
        [
            ("boot", Align::Right),
            ("from", Align::Left),
            ("length", Align::Right),
            ("awake", Align::Right),
            ("attempts", Align::Right),
            ("slept", Align::Right),
            ("trace", Align::Left),
        ],
        6,
        device.sessions.iter().zip(files(&device.sessions)).map(row).collect(),
    );
}
