//! One report as a page: short enough to paste into a bug, and what it says stands by itself.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::labels::{busy, returned, unknown, untold};
use super::page::{Align, Block, Page, Piece, Text, name, words};
use super::table::notes;
use crate::report::{Ledger, Name, Report, Source};
use crate::units::{count, percent, time, utc};

/// Names that one cell lists.
const NAMES: usize = 4;

/// The page, with the `top` most costly of the report's sources.
pub fn page(report: &Report, top: usize) -> Page {
    let mut page = Page::default();
    title(&mut page, report);
    let findings = report.findings.iter();
    page.list("Findings", findings.map(|f| words(format!("{}: {}", f.severity, f.text))).collect());
    ledger(&mut page, &report.ledger, report.session.duration_ns);
    ranking(&mut page, report, top);
    attempts(&mut page, report);
    page.list("In doubt", notes::warnings(&report.session).into_iter().map(words).collect());
    page
}

fn title(page: &mut Page, report: &Report) {
    let s = &report.session;
    let said = |text: &str, else_: &str| if text.is_empty() { else_ } else { text }.to_owned();
    page.blocks.push(Block::Title(words(format!(
        "What kept {} awake",
        said(&s.device, "an unnamed device")
    ))));
    let facts = [
        ("kernel", s.kernel.clone()),
        ("machine", s.machine.clone()),
        ("build", s.fingerprint.clone()),
        ("from", utc(s.start_realtime_ns)),
        ("length", time(s.duration_ns)),
        ("attempts", report.attempts.len().to_string()),
        ("snapshots", format!("{} by {}", s.snapshots, said(&s.source, "unknown means"))),
        ("edges", if s.edges { "recorded" } else { "not recorded" }.to_owned()),
        ("agent", s.agent.clone()),
    ];
    let rows = facts.into_iter().filter(|(_, fact)| !fact.is_empty());
    let rows = rows.map(|(what, fact)| [words(what), words(fact)]).collect();
    page.table([("session", Align::Left), ("", Align::Left)], 1, rows);
}

/// Where the time went, as a section.
pub(super) fn ledger(page: &mut Page, ledger: &Ledger, whole_ns: u64) {
    page.heading("Where the time went");
    let l = ledger;
    let lines = [
        ("asleep", Some(l.asleep_ns)),
        ("going to sleep", Some(l.suspending_ns)),
        ("waking up", Some(l.resuming_ns)),
        ("attempts that did not sleep", Some(l.aborted_ns)),
        ("blocked by a source", l.blocked_ns),
        ("awake, nobody asked to suspend", l.not_trying_ns),
        (untold(l), l.untold_ns),
        ("of that, charged to nobody", Some(l.unattributed_ns)),
    ];
    let told = lines.into_iter().filter_map(|(what, ns)| Some((what, ns?)));
    let rows = told.map(|(what, ns)| [words(what), words(time(ns)), words(percent(ns, whole_ns))]);
    page.table(
        [("what", Align::Left), ("time", Align::Right), ("share", Align::Right)],
        0,
        rows.collect(),
    );
}

fn ranking(page: &mut Page, report: &Report, top: usize) {
    page.heading("What kept it awake");
    let sources: Vec<_> = report.sources.iter().filter(|source| busy(source)).collect();
    if sources.is_empty() {
        page.line("No source was active.");
        return;
    }
    let row = |(index, s): (usize, &&Source)| {
        [
            words((index + 1).to_string()),
            source(s),
            words(time(s.cost_ns)),
            words(s.blocked_share_ns.map_or_else(unknown, time)),
            words(s.blocked_sole_ns.map_or_else(unknown, time)),
            words(time(s.held_ns)),
            words(s.aborts.to_string()),
            words(s.wakes.to_string()),
        ]
    };
    let rows = sources.iter().take(top).enumerate().map(row).collect();
    page.table(
        [
            ("nr", Align::Right),
            ("source", Align::Left),
            ("cost", Align::Right),
            ("blocked", Align::Right),
            ("alone", Align::Right),
            ("held", Align::Right),
            ("aborts", Align::Right),
            ("wakes", Align::Right),
        ],
        1,
        rows,
    );
    let rest = sources.len().saturating_sub(top) as u64;
    if rest > 0 {
        page.line(format!("{rest} more are not shown."));
    }
    page.line(
        "Cost: its share of the blocked time and of its aborts, and the time awake after its wakes. \
         Alone: blocked by it and no other.",
    );
}

fn source(source: &Source) -> Text {
    let mut text = name(&source.name);
    match source.instance {
        Some(instance) => text.push(Piece::Words(format!(" instance {instance}"))),
        None if source.instances > 1 => {
            text.push(Piece::Words(format!(" ({} of them)", source.instances)));
        }
        None => {}
    }
    if source.name_cut {
        text.push(Piece::Words(" …".to_owned()));
    }
    text
}

/// Attempts that came out alike.
#[derive(Default)]
struct Alike<'a> {
    count: u64,
    took_ns: u64,
    /// Who is to blame, how often, and how often proven.
    blamed: BTreeMap<&'a [u8], (u64, u64)>,
}

fn attempts(page: &mut Page, report: &Report) {
    let mut alike = BTreeMap::<_, Alike<'_>>::new();
    for attempt in &report.attempts {
        let group = alike.entry((attempt.outcome, attempt.stage, attempt.errno)).or_default();
        group.count += 1;
        let took = attempt.end_ns.saturating_sub(attempt.start_ns);
        group.took_ns = group.took_ns.saturating_add(took);
        let causes = attempt.causes.iter().map(|c| (&c.name, c.evidence));
        let wake = attempt.wake.as_ref().and_then(|w| Some((&w.source.as_ref()?.name, w.evidence)));
        for (Name { bytes, .. }, evidence) in causes.chain(wake) {
            let (times, proven) = group.blamed.entry(bytes).or_default();
            *times += 1;
            *proven += u64::from(evidence == "proven");
        }
    }
    if alike.is_empty() {
        return;
    }
    let mut groups: Vec<_> = alike.into_iter().collect();
    groups.sort_by_key(|(_, group)| Reverse(group.count));
    page.heading(format!("{} to suspend", count(report.attempts.len() as u64, "attempt")));
    let rows = groups.into_iter().map(|((outcome, stage, errno), group)| {
        [
            words(group.count.to_string()),
            words(outcome.replace('_', " ")),
            words(stage.replace('_', " ")),
            words(returned(errno)),
            words(time(group.took_ns)),
            blamed(&group),
        ]
    });
    page.table(
        [
            ("count", Align::Right),
            ("outcome", Align::Left),
            ("at", Align::Left),
            ("returned", Align::Left),
            ("took", Align::Right),
            ("kept up or woken by", Align::Left),
        ],
        5,
        rows.collect(),
    );
}

fn blamed(group: &Alike<'_>) -> Text {
    let mut names: Vec<_> = group.blamed.iter().collect();
    names.sort_by_key(|(_, (times, _))| Reverse(*times));
    let mut text = Text::new();
    for (name, (times, proven)) in names.iter().take(NAMES) {
        let comma = if text.is_empty() { "" } else { ", " };
        let sure = if *proven == 0 { " likely" } else { "" };
        text.push(Piece::Words(comma.to_owned()));
        text.push(Piece::Name(name.to_vec()));
        text.push(Piece::Words(format!(" ×{times}{sure}")));
    }
    if names.len() > NAMES {
        text.push(Piece::Words(format!(", {} more", names.len() - NAMES)));
    }
    if text.is_empty() { words(unknown()) } else { text }
}
