//! Wakelocks and alarms of user space, as Android's services gave them.

use std::collections::BTreeMap;

use crate::import::Layer;
use crate::render::page::{Cell, Column, Mark, Page, Piece, Text, quote, words};
use crate::report::{
    FOR_APPS, FOR_SCREEN, HoldEvidence, Question, Report, Status, UserSpace, Wakelock,
};
use crate::units::{count, many, time};

/// The sections, with the `top` rows of each table; none where no service was asked.
pub fn user_space(page: &mut Page, report: &Report, top: Option<usize>) {
    let Some(user_space) = &report.user_space else { return };
    let top = top.unwrap_or(usize::MAX);
    wakelocks(page, user_space, report.ledger.user_space_ns, top);
    alarms(page, user_space, top);
    page.list("Questions to Android without an answer", Mark::Doubt, failures(user_space));
}

fn wakelocks(page: &mut Page, user_space: &UserSpace, of_ns: Option<u64>, top: usize) {
    if user_space.wakelocks.is_empty() {
        return;
    }
    page.heading("Wakelocks in user space");
    if let Some(of_ns) = of_ns.filter(|ns| *ns > 0) {
        let charged = time(user_space.charged_ns);
        let whole = time(of_ns);
        page.line(format!("{charged} of {whole} in which user space was not ready is charged."));
    }
    if let Some(screen_ns) = user_space.screen_ns.filter(|ns| *ns > 0) {
        page.line(format!("The screen kept it awake for {}, by these totals.", time(screen_ns)));
    }
    let columns = [
        Column::text("wakelock"),
        Column::text("held by"),
        Column::number("charged")
            .meaning("holds of user space in which each question found it held, shared equally"),
        Column::number("held")
            .meaning("by the service's own total, awake time between the answers"),
        Column::text("known by"),
    ];
    let rows = user_space.wakelocks.iter().take(top).map(|one| {
        [
            Cell::Text(quote(one.name.as_str())),
            Cell::Text(holder(one)),
            Cell::time(one.charged_ns),
            Cell::known_time(one.held_ns),
            Cell::words(match one.evidence {
                HoldEvidence::Traced => "traced",
                HoldEvidence::AskedWhileHeld => "asked while held",
                HoldEvidence::Difference => "difference",
            }),
        ]
    });
    page.table(&columns, rows);
    left(page, user_space.wakelocks.len(), top);
}

/// The process or the app, and what the framework's own are for.
fn holder(wakelock: &Wakelock) -> Text {
    if wakelock.layer == Layer::App {
        return match (&wakelock.packages[..], wakelock.uid) {
            ([package, ..], _) => quote(package.as_str()),
            ([], Some(uid)) => words(format!("uid {uid}")),
            ([], None) => words("unknown"),
        };
    }
    match &*wakelock.name {
        FOR_APPS => words("apps"),
        name if FOR_SCREEN.contains(&name) => words("the screen"),
        _ => words(wakelock.pid.map_or("unknown".to_owned(), |pid| format!("pid {pid}"))),
    }
}

fn alarms(page: &mut Page, user_space: &UserSpace, top: usize) {
    if user_space.alarms.is_empty() {
        return;
    }
    page.heading("Wakeup alarms that came");
    let columns = [Column::text("package"), Column::text("alarm"), Column::number("wakeups")];
    let rows = user_space.alarms.iter().take(top).map(|alarm| {
        [
            Cell::Text(quote(alarm.package.as_str())),
            Cell::Text(quote(alarm.tag.as_str())),
            Cell::count(alarm.wakeups),
        ]
    });
    page.table(&columns, rows);
    left(page, user_space.alarms.len(), top);
}

fn left(page: &mut Page, all: usize, top: usize) {
    if all > top {
        page.rest(&[format!("{} more", many((all - top) as u64))]);
    }
}

/// Each service and ending once, with how often.
fn failures(user_space: &UserSpace) -> Vec<Text> {
    let mut times = BTreeMap::<(&str, &str), u64>::new();
    for Question { service, status, .. } in &user_space.questions {
        let ending = match status {
            Status::Whole => continue,
            Status::Cut => "the answer was too long, and was cut",
            Status::TimedOut => "it did not answer in time",
            Status::Failed => "it failed or was denied",
            Status::Incomplete => "the trace has only a part of the answer",
        };
        *times.entry((service, ending)).or_default() += 1;
    }
    let mut failures: Vec<Text> = times
        .into_iter()
        .map(|((service, ending), times)| {
            let mut text = vec![Piece::Quote(format!("dumpsys {service}"))];
            text.extend(words(format!(": {ending}")));
            if times > 1 {
                text.extend(words(format!(" ({times} times)")));
            }
            text
        })
        .collect();
    if user_space.lines_not_understood > 0 {
        let lines = count(user_space.lines_not_understood, "line");
        failures.push(words(format!("not understood: {lines} of the answers")));
    }
    failures
}
