//! The ranking: a table that stands without the script, which sorts and filters its rows.

use maud::{Markup, html};

use super::page::share;
use crate::render::labels::{self, busy};
use crate::report::{Report, Source};
use crate::units::{count, time};

/// A column of the ranking: its head, what it means, and its value.
type Column = (&'static str, &'static str, fn(&Source) -> Option<u64>, Shown);

/// As what a value is shown.
#[derive(Clone, Copy)]
enum Shown {
    Time,
    Count,
}

const COLUMNS: [Column; 11] = [
    ("cost", "blocked share, aborts and time after its wakes", |s| Some(s.cost_ns), Shown::Time),
    ("blocked", "its share of the time blocked", |s| s.blocked_share_ns, Shown::Time),
    (
        "alone",
        "blocked time in which it alone was active: what mending it gains",
        |s| s.blocked_sole_ns,
        Shown::Time,
    ),
    ("aborts", "attempts that it kept from sleeping", |s| Some(s.aborts), Shown::Count),
    ("abort time", "its share of their time", |s| Some(s.abort_ns), Shown::Time),
    ("wakes", "sleeps that it ended", |s| Some(s.wakes), Shown::Count),
    ("after wakes", "time awake after those", |s| Some(s.after_wake_ns), Shown::Time),
    ("held", "time active", |s| Some(s.held_ns), Shown::Time),
    ("holds", "activations", |s| Some(s.activations), Shown::Count),
    ("events", "events reported", |s| Some(s.events), Shown::Count),
    ("expiries", "activations that a timer ended", |s| Some(s.expiries), Shown::Count),
];

pub(super) fn ranking(report: &Report) -> Markup {
    // What no source can tell has no column.
    let told = |column: &&Column| report.sources.iter().any(|s| column.2(s).is_some());
    let columns: Vec<_> = COLUMNS.iter().filter(told).collect();
    let most = report.sources.iter().map(|s| s.cost_ns).max().unwrap_or(0);
    let longest = report.sources.iter().map(|s| s.held_ns).max().unwrap_or(0);
    html! {
        section #ranking aria-labelledby="ranking-h" tabindex="-1" {
            div.bar {
                h2 #ranking-h { "What kept it awake" }
                label.field {
                    span.unseen { "Filter sources by name" }
                    input #filter type="search" placeholder="Filter by name  ( / )" autocomplete="off" spellcheck="false";
                }
                label.check { input #idle type="checkbox"; " never active" }
                output #count aria-live="polite" {}
            }
            @if report.sources.is_empty() {
                p.empty { "No source was seen." }
            } @else {
                div.scroll {
                    table #sources {
                        thead { tr {
                            th scope="col" aria-sort="ascending" { button type="button" title="the order of the report" { "#" } }
                            th.name scope="col" { button type="button" title="by name" { "source" } }
                            @for (head, meaning, ..) in &columns {
                                th scope="col" { button type="button" title=(meaning) { (head) } }
                            }
                        } }
                        tbody {
                            @for (row, source) in report.sources.iter().enumerate() {
                                tr data-row=(row) class=[(!busy(source)).then_some("idle")] {
                                    td data-v=(row) { (row + 1) }
                                    th.name scope="row" {
                                        @let label = labels::source(source);
                                        button.pick type="button" aria-pressed="false" title=(label) { (label) }
                                    }
                                    @for (head, _, value, as_what) in &columns {
                                        @let whole = match *head { "cost" => most, "held" => longest, _ => 0 };
                                        (cell(value(source), *as_what, whole, head))
                                    }
                                }
                            }
                        }
                    }
                }
                p.more { button #more.quiet type="button" hidden {} }
                @if report.sources_left_out > 0 {
                    p.note { (count(report.sources_left_out, "more source")) " left out of this report." }
                }
            }
        }
    }
}

/// `whole` is what fills the bar, or 0 for none. A zero is no news.
fn cell(value: Option<u64>, as_what: Shown, whole: u64, head: &str) -> Markup {
    let text = match (value, as_what) {
        (None, _) => "–".to_owned(),
        (Some(0), _) => "·".to_owned(),
        (Some(ns), Shown::Time) => time(ns),
        (Some(n), Shown::Count) => thousands(n),
    };
    let value = value.unwrap_or(0);
    html! {
        td data-v=(value) class=[(value == 0).then_some("nil")] {
            @if whole > 0 && value > 0 {
                svg class={ "meter m-" (head) } viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
                    rect width=(format!("{:.1}", (share(value, whole) * 100.0).max(0.5))) height="4" {}
                }
            }
            (text)
        }
    }
}

/// `12,345`.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
