//! Several traces as a page: the sums of each device, and devices beside each other.

use std::collections::BTreeSet;

use super::ranking::{self, Ranked};
use super::{attempts, capture, findings, ledger};
use crate::compare::merge::{Device, DeviceSession, Reports, Totals};
use crate::render::labels;
use crate::render::page::{Cell, Column, Mark, Page, Piece, Section, Text, UNKNOWN, quote, words};
use crate::report::{Drain, Ledger, Outcome};
use crate::units::{count, percent, time};

/// The page, with `top` sources of each device.
pub fn page(reports: &Reports, top: usize) -> Page {
    let mut page = Page::default();
    if let [device] = &reports.devices[..] {
        // A page is pasted into bugs, where a serial number has no use.
        page.title(labels::device(&device.device));
        one(&mut page, device, top);
        return page;
    }
    let devices = count(reports.devices.len() as u64, "device");
    page.title(words(format!("{devices} side by side")));
    let columns = [
        Column::text("device"),
        Column::number("length"),
        Column::number("awake"),
        Column::number("blocked"),
        Column::number("aborts/h"),
        Column::number("wakes/h"),
        Column::text("most costly source"),
    ];
    page.table(&columns, reports.devices.iter().map(beside));
    for device in &reports.devices {
        page.blocks.push(crate::render::page::Block::Heading(Section::Other, label(device)));
        one(&mut page, device, top);
    }
    page
}

fn beside(device: &Device) -> [Cell; 7] {
    let t = &device.totals;
    let worst = t.sources.first().filter(|source| source.sum.busy());
    let blocked = t.ledger.blocked_ns.map(|ns| percent(ns, t.duration_ns));
    [
        Cell::Text(label(device)),
        Cell::time(t.duration_ns),
        Cell::words(percent(awake(&t.ledger, t.duration_ns), t.duration_ns)),
        Cell::known(blocked),
        Cell::words(per_hour(t.attempts[&Outcome::Aborted], t.duration_ns)),
        Cell::words(per_hour(t.attempts[&Outcome::Slept], t.duration_ns)),
        Cell::Text(worst.map_or_else(
            || words(UNKNOWN),
            |source| labels::ranked(&source.name, source.kind, None),
        )),
    ]
}

fn label(device: &Device) -> Text {
    let mut text = labels::device(&device.device);
    if !device.serial.is_empty() {
        text.push(Piece::Words(" ".to_owned()));
        text.extend(quote(device.serial.as_str()));
    }
    text
}

fn awake(ledger: &Ledger, whole_ns: u64) -> u64 {
    whole_ns.saturating_sub(ledger.asleep_ns)
}

fn per_hour(n: u64, whole_ns: u64) -> String {
    if whole_ns == 0 {
        return UNKNOWN.to_owned();
    }
    format!("{:.1}", n as f64 / (whole_ns as f64 / 3_600e9))
}

fn one(page: &mut Page, device: &Device, top: usize) {
    let Totals { sessions, boots, duration_ns, sources, sources_left_out, .. } = &device.totals;
    let attempts = || device.sessions.iter().flat_map(|s| &s.report.attempts);
    page.line(format!(
        "{}, {}, {} in all",
        count(*sessions, "session"),
        count(*boots, "boot"),
        time(*duration_ns)
    ));
    page.line(labels::attempts(|outcome| device.totals.attempts[&outcome]));
    let files = files(&device.sessions);
    let found = files.iter().zip(&device.sessions);
    findings::findings(page, found.map(|(file, s)| (*file, &s.report)));
    page.list("Warnings", Mark::Doubt, device.warnings.iter().map(quote).collect());
    ledger::ledger(page, &device.totals.ledger, *duration_ns);
    let ranked: Vec<_> = sources.iter().map(|s| Ranked::merged(s, *sessions)).collect();
    ranking::ranking(page, &ranked, Some(top), *sources_left_out, *duration_ns);
    attempts::attempts(page, attempts());
    attempts::wakes(page, attempts());
    capture::battery(page, drain(&device.sessions));
    sessions_of(page, device, &files);
}

/// The drain of the sessions in which it is known.
fn drain(sessions: &[DeviceSession]) -> Option<Drain> {
    let known = sessions.iter().filter_map(|session| session.report.power.drain);
    known.reduce(|a, b| Drain {
        asleep_ns: a.asleep_ns.saturating_add(b.asleep_ns),
        asleep_uah: a.asleep_uah.saturating_add(b.asleep_uah),
        awake_ns: a.awake_ns.saturating_add(b.awake_ns),
        awake_uah: a.awake_uah.saturating_add(b.awake_uah),
    })
}

/// The traces without their folders, where these still differ; folders use up the room.
fn files(sessions: &[DeviceSession]) -> Vec<&str> {
    let short: Vec<&str> =
        sessions.iter().map(|s| s.trace.rsplit('/').next().unwrap_or_default()).collect();
    let distinct: BTreeSet<_> = short.iter().collect();
    if distinct.len() == short.len() {
        return short;
    }
    sessions.iter().map(|s| s.trace.as_str()).collect()
}

fn sessions_of(page: &mut Page, device: &Device, files: &[&str]) {
    page.heading("Sessions");
    let columns = [
        Column::number("boot"),
        Column::number("from"),
        Column::number("length"),
        Column::number("awake"),
        Column::number("attempts"),
        Column::number("slept"),
        Column::text("trace"),
    ];
    let row = |(session, file): (&DeviceSession, &&str)| {
        let report = &session.report;
        let whole_ns = report.session.duration_ns;
        [
            Cell::words(session.boot.to_string()),
            Cell::words(capture::date(&report.session)),
            Cell::time(whole_ns),
            Cell::words(percent(awake(&report.ledger, whole_ns), whole_ns)),
            Cell::count(report.attempts.len() as u64),
            Cell::count(report.count(Outcome::Slept)),
            Cell::Text(quote(*file)),
        ]
    };
    page.table(&columns, device.sessions.iter().zip(files).map(row));
}
