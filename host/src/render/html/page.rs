//! The frame of the page: the head, the sections of [`pages::report`], and the places that the
//! script draws in.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::blocks::{Names, sections};
use crate::render::page::{Block, Page, Section};
use crate::render::pages;
use crate::render::terminal::plain;
use crate::report::Report;
use crate::units::percent;

/// The parts of the file beside its markup.
pub(super) struct Parts {
    pub policy: String,
    pub style: String,
    pub script: String,
    pub data: String,
}

pub(super) fn page(report: &Report, parts: &Parts) -> Markup {
    let page = pages::report::page(report, None);
    let names = Names::new(&report.sources);
    let (before, after) = split(&page);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(parts.policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { "Sleepwalk · " (subject(&page)) }
                style { (PreEscaped(&parts.style)) }
            }
            body {
                a.skip href="#ranking" { "To the ranking" }
                (header(report, &page))
                main {
                    (sections(before, &names))
                    (timeline())
                    (heat_map())
                    (latency())
                    (sections(after, &names))
                }
                div #tip role="tooltip" hidden {}
                noscript { p.empty { "A script draws the timeline, the heat map and the latencies." } }
                script #data type="application/json" { (PreEscaped(&parts.data)) }
                script { (PreEscaped(&parts.script)) }
            }
        }
    }
}

/// The sections up to the ranking, which the drawings follow, and those after it.
fn split(page: &Page) -> (&[Block], &[Block]) {
    let heading = |block: &Block| matches!(block, Block::Heading(..));
    let ranking = |block: &Block| matches!(block, Block::Heading(Section::Ranking, _));
    let start = page.blocks.iter().position(heading).unwrap_or(0);
    let at = page.blocks.iter().position(ranking).unwrap_or(start);
    let next = page.blocks.iter().skip(at + 1).position(heading);
    let end = next.map_or(page.blocks.len(), |next| at + 1 + next);
    (&page.blocks[start..end], &page.blocks[end..])
}

fn subject(page: &Page) -> String {
    let title = page.blocks.iter().find_map(|block| match block {
        Block::Title(text) => Some(plain(text)),
        _ => None,
    });
    title.unwrap_or_default()
}

fn header(report: &Report, page: &Page) -> Markup {
    let figure = |what: &str, ns: u64| {
        html! { div { dt { (what) } dd { (percent(ns, report.session.duration_ns)) } } }
    };
    let lines = page.blocks.iter().take_while(|block| !matches!(block, Block::Heading(..)));
    html! {
        header {
            div.title {
                p.mark { "Sleepwalk" }
                @for block in lines {
                    @match block {
                        Block::Title(title) => h1 { (plain(title)) },
                        Block::Line(line) => p.about { (plain(line)) },
                        _ => {}
                    }
                }
            }
            dl.figures {
                (figure("asleep", report.ledger.asleep_ns))
                @if let Some(ns) = report.ledger.blocked_ns { (figure("blocked", ns)) }
            }
            button #theme.quiet type="button" { "Dark" }
        }
    }
}

/// A place for rows: a canvas that stays above them, and one for the rows in sight. A live region
/// reads out the item that the keys have reached.
fn plot(id: &str, kind: &str, label: &str) -> Markup {
    html! {
        div.plot id=(id) tabindex="0" role="application" aria-roledescription=(kind)
            aria-label=(label) aria-describedby={ (id) "-help" } {
            div.pinned { canvas {} }
            div.rows { div.sticky { canvas {} } div.room {} }
        }
        p.unseen id={ (id) "-said" } aria-live="polite" {}
    }
}

fn timeline() -> Markup {
    html! {
        section #timeline aria-labelledby="timeline-h" {
            div.bar {
                h2 #timeline-h { "Timeline" }
                output #range {}
                div.buttons role="group" aria-label="Zoom" {
                    button #zoom-in type="button" title="zoom in (+)" { "+" }
                    button #zoom-out type="button" title="zoom out (−)" { "−" }
                    button #fit type="button" title="the whole session (0)" { "all" }
                }
            }
            div #overview.overview aria-hidden="true" { canvas {} }
            (plot("lanes", "timeline", "Timeline: attempts, waits and sources"))
            ul.legend {
                li { i.o-slept {} "slept" }
                li { i.o-no-sleep {} "did not sleep" }
                li { i.o-aborted {} "aborted" }
                li { i.o-failed {} "failed" }
                li { i.o-unknown {} "unfinished" }
                li { i.l-blocked {} "wait" }
                li { i.held {} "source held" }
                li { i.asleep {} "asleep" }
            }
            p #lanes-help.help {
                "Drag to move, drag in the strip above to choose a range, Ctrl and wheel to zoom. Keys: "
                kbd { "↑" } kbd { "↓" } " row, " kbd { "←" } kbd { "→" } " item, " kbd { "Enter" }
                " zoom to it, " kbd { "+" } kbd { "−" } kbd { "0" } " zoom, " kbd { "Shift" } " with "
                kbd { "←" } kbd { "→" } " move."
            }
        }
    }
}

fn heat_map() -> Markup {
    html! {
        section #heat aria-labelledby="heat-h" {
            div.bar {
                h2 #heat-h { "Attempts by sources" }
                output #heat-range {}
                div.buttons role="group" aria-label="Contents of the heat map" {
                    button type="button" data-mode="aborts" aria-pressed="true" { "kept from sleeping" }
                    button type="button" data-mode="wakes" aria-pressed="false" { "woke" }
                    button type="button" data-mode="held" aria-pressed="false" { "held at the start" }
                }
            }
            (plot("cells", "heat map", "Heat map: attempts by sources"))
            div.legend #heat-legend {}
            p #cells-help.help {
                "The attempts of the timeline's range, from left to right. Arrow keys move, "
                kbd { "Enter" } " shows the attempts in the timeline."
            }
        }
    }
}

fn latency() -> Markup {
    html! {
        section #latency aria-labelledby="latency-h" {
            div.bar {
                h2 #latency-h { "Suspend stages" }
                output #stage {}
            }
            div #stages {}
            div #course hidden {
                div.chart tabindex="0" role="img" aria-describedby="course-said" {}
                p #course-said.note aria-live="polite" {}
            }
        }
    }
}
