//! The page itself: what is text stands here, and the places for what the script draws.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::ranking::{ranking, thousands};
use crate::render::labels::{busy, untold};
use crate::render::table::notes::warnings;
use crate::render::table::power;
use crate::report::{Finding, Ledger, Report, Session, Source};
use crate::text::{escape, one_line};
use crate::units::{count, percent, size, time, utc};

/// What the page holds beside its markup.
pub(super) struct Parts {
    pub policy: String,
    pub style: String,
    pub script: String,
    pub data: String,
}

pub(super) fn page(report: &Report, parts: &Parts) -> Markup {
    let device = device(&report.session);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(parts.policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { "Sleepwalk · " (device) }
                style { (PreEscaped(&parts.style)) }
            }
            body {
                a.skip href="#ranking" { "To the ranking" }
                (header(report, &device))
                main {
                    (findings(report))
                    (ledger(report))
                    (ranking(report))
                    (timeline())
                    (heat_map())
                    (latency())
                    (capture(report))
                }
                div #tip role="tooltip" hidden {}
                noscript { p.empty { "The timeline, the heat map and the latencies are drawn by a script." } }
                script #data type="application/json" { (PreEscaped(&parts.data)) }
                script { (PreEscaped(&parts.script)) }
            }
        }
    }
}

fn device(session: &Session) -> String {
    let device = if session.device.is_empty() { "unnamed device" } else { &session.device };
    escape(device.as_bytes())
}

fn header(report: &Report, device: &str) -> Markup {
    let s = &report.session;
    let slept = report.attempts.iter().filter(|a| a.outcome == "slept").count();
    let attempts = report.attempts.len() as u64;
    let active = report.sources.iter().filter(|source| busy(source)).count();
    html! {
        header {
            div.title {
                p.mark { "Sleepwalk" }
                h1 { (device) }
                p.about {
                    @if !s.kernel.is_empty() {
                        "Linux " (escape(s.kernel.as_bytes())) " " (escape(s.machine.as_bytes())) " · "
                    }
                    (utc(s.start_realtime_ns)) " · " @if s.duration_ns == 0 { "no time passed" } @else { (time(s.duration_ns)) }
                }
            }
            dl.figures {
                div { dt { "asleep" } dd { (percent(report.ledger.asleep_ns, s.duration_ns)) } }
                div { dt { "attempts" } dd { (thousands(attempts)) } }
                div { dt { "of them slept" } dd { (percent(slept as u64, attempts)) } }
                div { dt { "active sources" } dd { (active) small { " of " (report.sources.len()) } } }
            }
            button #theme.quiet type="button" { "Dark" }
        }
    }
}

/// Findings that are shown at once: they stand in the order of their weight.
const FINDINGS: usize = 8;

fn findings(report: &Report) -> Markup {
    let warnings = warnings(&report.session);
    let (first, rest) = report.findings.split_at(report.findings.len().min(FINDINGS));
    html! {
        section #findings aria-labelledby="findings-h" {
            h2 #findings-h { "Findings" }
            @if first.is_empty() && warnings.is_empty() {
                p.empty { "Nothing stands out in this trace." }
            }
            ul.findings {
                @for finding in first { (one_finding(finding, &report.sources)) }
                @for warning in &warnings {
                    li.doubt { span.severity { "in doubt" } p { (warning) } }
                }
            }
            @if !rest.is_empty() {
                details {
                    summary { (rest.len()) " more of less weight" }
                    ul.findings { @for finding in rest { (one_finding(finding, &report.sources)) } }
                }
            }
        }
    }
}

fn one_finding(finding: &Finding, sources: &[Source]) -> Markup {
    html! {
        li class=(finding.severity) {
            span.severity { (finding.severity) }
            p {
                (one_line(&finding.text))
                @for name in &finding.sources {
                    " "
                    @match sources.iter().find(|source| source.name.name == *name) {
                        Some(source) => {
                            @let name = escape(&source.name.bytes);
                            button.chip type="button" data-find=(name) title="show in the ranking" { (name) }
                        }
                        None => span.chip { (escape(name.as_bytes())) }
                    }
                }
            }
            @if let Some(gain) = finding.gain_ns {
                span.gain { small { "gains " } (time(gain)) }
            }
        }
    }
}

/// A line of the ledger: its words, what it holds, its class.
type Line = (&'static str, &'static str, &'static str);

/// The lines that can be told, with their times.
fn lines(l: &Ledger) -> impl Iterator<Item = (u64, Line)> {
    let all = [
        (Some(l.asleep_ns), ("asleep", "in machine_suspend", "asleep")),
        (
            Some(l.suspending_ns),
            ("going to sleep", "attempts that slept, up to machine_suspend", "suspending"),
        ),
        (Some(l.resuming_ns), ("waking up", "attempts that slept, after it", "resuming")),
        (
            Some(l.aborted_ns),
            (
                "attempts that did not sleep",
                "the whole of them, charged to the sources that ended them",
                "aborted",
            ),
        ),
        (
            l.blocked_ns,
            (
                "blocked by a source",
                "user space waited to suspend, charged to the sources active meanwhile",
                "blocked",
            ),
        ),
        (l.not_trying_ns, ("awake, nobody asked to suspend", "outside attempts and waits", "idle")),
        (
            l.untold_ns,
            (
                untold(l),
                match l.blocked_ns {
                    Some(_) => "records are missing there, or an attempt's return is",
                    None => "blocked, or nobody asked to suspend: the trace can't tell",
                },
                "untold",
            ),
        ),
    ];
    all.into_iter().filter_map(|(ns, line)| Some((ns?, line)))
}

fn ledger(report: &Report) -> Markup {
    let whole = report.session.duration_ns;
    let mut at = 0.0;
    let parts: Vec<_> = lines(&report.ledger)
        .map(|(ns, line)| {
            let width = share(ns, whole) * 1_000.0;
            at += width;
            (ns, line, at - width, width)
        })
        .collect();
    html! {
        section #ledger aria-labelledby="ledger-h" {
            h2 #ledger-h { "Where the time went" }
            svg.whole viewBox="0 0 1000 28" preserveAspectRatio="none" aria-hidden="true" {
                @for (ns, (what, _, class), x, width) in &parts {
                    rect class={ "l-" (class) } x=(format!("{x:.3}")) y="0"
                        width=(format!("{width:.3}")) height="28" {
                        title { (what) ": " (time(*ns)) ", " (percent(*ns, whole)) }
                    }
                }
            }
            table.lines {
                tbody {
                    @for (ns, (what, meaning, class), ..) in &parts {
                        tr {
                            th scope="row" {
                                svg.key viewBox="0 0 10 10" aria-hidden="true" {
                                    rect class={ "l-" (class) } width="10" height="10" rx="2" {}
                                }
                                (what)
                            }
                            td { (time(*ns)) }
                            td { (percent(*ns, whole)) }
                            td.meaning { (meaning) }
                        }
                    }
                    tr.sum {
                        th scope="row" { "the session" }
                        td { (time(whole)) }
                        td { (percent(whole, whole)) }
                        td.meaning { "the lines sum to it exactly" }
                    }
                    tr.aside {
                        th scope="row" { "of that, charged to nobody" }
                        td { (time(report.ledger.unattributed_ns)) }
                        td { (percent(report.ledger.unattributed_ns, whole)) }
                        td.meaning {}
                    }
                }
            }
        }
    }
}

pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A place for rows: what stays above them, and as much of them as is in sight. What the keys have
/// reached is told in words.
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
                div.buttons role="group" aria-label="What the heat map shows" {
                    button type="button" data-mode="aborts" aria-pressed="true" { "kept from sleeping" }
                    button type="button" data-mode="wakes" aria-pressed="false" { "woke" }
                    button type="button" data-mode="held" aria-pressed="false" { "held at the begin" }
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

fn capture(report: &Report) -> Markup {
    let s = &report.session;
    let pairs = [
        ("build", s.fingerprint.as_str()),
        ("serial", &s.serial),
        ("boot", &s.boot_id),
        ("agent", &s.agent),
        ("snapshots from", &s.source),
        ("ended", s.end_reason.as_deref().unwrap_or("not in order")),
    ];
    html! {
        section #capture aria-labelledby="capture-h" {
            h2 #capture-h { "The capture" }
            dl.pairs {
                @for (what, value) in pairs {
                    @if !value.is_empty() { div { dt { (what) } dd { (escape(value.as_bytes())) } } }
                }
                div { dt { "read" } dd { (count(s.records, "record")) ", " (count(s.snapshots, "snapshot")) } }
                div { dt { "lost" } dd { (count(s.lost_events, "event")) ", " (size(s.damaged_bytes)) } }
                @if let Some(drain) = &report.power.drain {
                    (drained("battery asleep", drain.asleep_ns, drain.asleep_uah))
                    (drained("battery awake", drain.awake_ns, drain.awake_uah))
                }
                @if let Some(cost) = &report.overhead {
                    div { dt { "cost" } dd {
                        (time(cost.agent_cpu_ns)) " of CPU, " (time(cost.agent_start_cpu_ns)) " of it to begin; "
                        (size(cost.bytes_written)) " written"
                    } }
                }
            }
            @if !s.hooks.is_empty() {
                table.hooks {
                    thead { tr { th scope="col" { "seen" } th scope="col" { "how" } th scope="col" { "why not better" } } }
                    tbody {
                        @for hook in &s.hooks {
                            tr {
                                th scope="row" { (escape(hook.what.as_bytes())) }
                                td { @if hook.how.is_empty() { "not seen" } @else { (escape(hook.how.as_bytes())) } }
                                td { (one_line(&hook.why)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn drained(what: &str, ns: u64, uah: i64) -> Markup {
    let (mah, ma) = power::drained(ns, uah);
    html! {
        @if ns > 0 {
            div { dt { (what) } dd { (format!("{mah:.1} mAh in {}, {ma:.1} mA on average", time(ns))) } }
        }
    }
}
