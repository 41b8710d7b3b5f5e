//! The report for people: a title, the findings, the ledger, the ranking, the attempts, the wakes,
//! what could not be told. It fits 80 columns, and names from the device are escaped.

mod findings;
pub(super) mod notes;
pub(super) mod power;

use std::collections::BTreeMap;

use unicode_width::UnicodeWidthStr as _;

use super::labels::{self, OUTCOMES, busy, order, returned, unknown, untold};
use super::terminal::{self, Align, WIDTH};
use crate::report::{Attempt, Report, Session, Source};
use crate::text::{escape, fit};
use crate::units::{count, many, percent, time, utc};

/// How the table looks.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Whether to colour it.
    pub color: bool,
    /// How many sources to show.
    pub top: usize,
}

/// Columns of the longest bar. It leaves room for a time of centuries, as a damaged trace may have.
const BAR: usize = 27;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BLUE: &str = "34";

/// The whole table, with a line end.
pub fn render(report: &Report, look: Look) -> String {
    let mut out = Page { text: String::new(), color: look.color };
    title(&mut out, report);
    findings::findings(&mut out, report);
    ledger(&mut out, report);
    ranking(&mut out, report, look.top);
    attempts(&mut out, report);
    power::wakes(&mut out, report);
    power::drain(&mut out, report);
    notes::notes(&mut out, report);
    out.text
}

/// Lines, coloured or not.
struct Page {
    text: String,
    color: bool,
}

impl Page {
    fn paint(&self, style: &str, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("\x1b[{style}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn styled(&mut self, style: &str, line: &str) {
        let line = self.paint(style, line);
        self.line(&line);
    }

    fn heading(&mut self, heading: &str) {
        self.text.push('\n');
        self.styled(BOLD, heading);
    }

    /// An item of a list, with a sign of this style.
    fn item(&mut self, style: &str, sign: &str, text: &str) {
        for (index, line) in terminal::wrap("    ", text).iter().enumerate() {
            match index {
                0 => self.line(&format!("  {} {}", self.paint(style, sign), line.trim_start())),
                _ => self.line(line),
            }
        }
    }

    /// A remark in as many lines as it takes.
    fn wrapped(&mut self, text: &str) {
        terminal::wrap("", text).iter().for_each(|line| self.styled(DIM, line));
    }

    fn columns(
        &mut self,
        head: &[(&str, Align)],
        rows: impl IntoIterator<Item = Vec<String>>,
        gives_way: usize,
    ) {
        for (index, line) in terminal::columns(head, rows, gives_way).iter().enumerate() {
            match index {
                0 => self.styled(DIM, line),
                _ => self.line(line),
            }
        }
    }
}

fn title(out: &mut Page, report: &Report) {
    let Session { device, kernel, machine, source, .. } = &report.session;
    let device = if device.is_empty() { "unnamed device" } else { device };
    let kernel =
        if kernel.is_empty() { "an unknown kernel".to_owned() } else { format!("Linux {kernel}") };
    let line = format!("{device} · {kernel} {machine}");
    out.styled(BOLD, &fit(escape(line.trim_end().as_bytes()).as_str(), WIDTH));
    let mut line = time(report.session.duration_ns);
    line += &format!(" from {}", utc(report.session.start_realtime_ns));
    if !source.is_empty() {
        line += &format!(" · {} by {source}", count(report.session.snapshots, "snapshot"));
    }
    out.line(&fit(&escape(line.as_bytes()), WIDTH));
    let mut outcomes = [0; OUTCOMES.len()];
    for attempt in &report.attempts {
        outcomes[order(attempt.outcome)] += 1;
    }
    let attempts = count(report.attempts.len() as u64, "attempt");
    let told = format!("{attempts} to suspend{}", labels::outcomes(outcomes));
    terminal::wrap("", &told).iter().for_each(|line| out.line(line));
}

fn ledger(out: &mut Page, report: &Report) {
    let l = &report.ledger;
    let whole = report.session.duration_ns;
    out.heading("Where the time went");
    let lines = [
        (Some(l.asleep_ns), "asleep", GREEN),
        (Some(l.suspending_ns), "going to sleep", BLUE),
        (Some(l.resuming_ns), "waking up", BLUE),
        (Some(l.aborted_ns), "attempts that did not sleep", RED),
        (l.blocked_ns, "blocked by a source", RED),
        (l.not_trying_ns, "awake, nobody asked", YELLOW),
        (l.untold_ns, untold(l), YELLOW),
    ];
    for (ns, what, style) in lines {
        let Some(ns) = ns else { continue };
        let bar = out.paint(style, &bar(ns, whole));
        let (ns, share) = (time(ns), percent(ns, whole));
        out.line(&format!("  {what:<27} {ns:>10} {share:>7}  {bar}"));
    }
    let (ns, share) = (time(l.unattributed_ns), percent(l.unattributed_ns, whole));
    out.styled(DIM, &format!("  {:<27} {ns:>10} {share:>7}", "of that, charged to nobody"));
}

/// A bar in eighths of a column; whatever took any time at all shows.
fn bar(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return String::new();
    }
    let eighths = (part as f64 / whole as f64 * (BAR * 8) as f64).round() as usize;
    let eighths = eighths.clamp(1, BAR * 8);
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(['▏', '▎', '▍', '▌', '▋', '▊', '▉'].get((eighths % 8).wrapping_sub(1)));
    bar
}

fn ranking(out: &mut Page, report: &Report, top: usize) {
    out.heading("What kept it awake");
    let busy: Vec<_> = report.sources.iter().filter(|source| busy(source)).collect();
    let idle_count = report.sources.len() - busy.len();
    if busy.is_empty() {
        let seen = count(report.sources.len() as u64, "source");
        out.line(&format!("  nothing: none of {seen} was active"));
        return;
    }
    let blocked = report.ledger.blocked_ns.is_some();
    if blocked {
        by_cost(out, &busy[..busy.len().min(top)]);
    } else {
        by_held(out, &busy[..busy.len().min(top)], report.session.duration_ns);
    }
    let mut rest = Vec::new();
    if busy.len() > top {
        rest.push(format!("{} more, see --top", busy.len() - top));
    }
    if idle_count > 0 {
        rest.push(format!("{} never active", count(idle_count as u64, "source")));
    }
    if report.sources_left_out > 0 {
        rest.push(format!("{} left out", report.sources_left_out));
    }
    if !rest.is_empty() {
        out.styled(DIM, &format!("  … {}", rest.join(", ")));
    }
    let notes = if blocked {
        [
            "blocked: its split of the time in which user space waited to suspend; alone:",
            "the part with no other source active, which is what mending it alone gains;",
            "wasted: its share of attempts it aborted, and the time awake after its wakes",
        ]
    } else {
        [
            "% of the session; wasted: its share of the attempts that it aborted, and the",
            "time awake after its wakes until the next attempt; holds: its activations",
            "",
        ]
    };
    for note in notes.into_iter().filter(|note| !note.is_empty()) {
        out.styled(DIM, &format!("  {note}"));
    }
}

/// Where blocked time is known.
fn by_cost(out: &mut Page, sources: &[&Source]) {
    let head = [
        ("#", Align::Right),
        ("source", Align::Left),
        ("blocked", Align::Right),
        ("alone", Align::Right),
        ("aborts", Align::Right),
        ("wakes", Align::Right),
        ("wasted", Align::Right),
        ("held", Align::Right),
    ];
    let rows = sources.iter().enumerate().map(|(index, s)| {
        vec![
            (index + 1).to_string(),
            labels::source(s),
            tally_time(s.blocked_share_ns.unwrap_or(0)),
            tally_time(s.blocked_sole_ns.unwrap_or(0)),
            tally(s.aborts),
            tally(s.wakes),
            tally_time(s.abort_ns.saturating_add(s.after_wake_ns)),
            tally_time(s.held_ns),
        ]
    });
    out.columns(&head, rows, 1);
}

/// Where it is not.
fn by_held(out: &mut Page, sources: &[&Source], whole_ns: u64) {
    let head = [
        ("#", Align::Right),
        ("source", Align::Left),
        ("held", Align::Right),
        ("%", Align::Right),
        ("aborts", Align::Right),
        ("wakes", Align::Right),
        ("wasted", Align::Right),
        ("events", Align::Right),
        ("holds", Align::Right),
    ];
    let rows = sources.iter().enumerate().map(|(index, s)| {
        let share = percent(s.held_ns, whole_ns);
        vec![
            (index + 1).to_string(),
            labels::source(s),
            time(s.held_ns),
            share.trim_end_matches(" %").to_owned(),
            tally(s.aborts),
            tally(s.wakes),
            tally_time(s.cost_ns),
            many(s.events),
            many(s.activations),
        ]
    });
    out.columns(&head, rows, 1);
}

/// A zero is no news.
fn tally(n: u64) -> String {
    if n == 0 { "·".to_owned() } else { many(n) }
}

fn tally_time(ns: u64) -> String {
    if ns == 0 { "·".to_owned() } else { time(ns) }
}

/// Attempts that came out alike.
#[derive(Default)]
struct Alike<'a> {
    count: u64,
    total_ns: u64,
    /// By name: how often, and how often proven.
    names: BTreeMap<&'a [u8], (u64, u64)>,
}

fn attempts(out: &mut Page, report: &Report) {
    if report.attempts.is_empty() {
        return;
    }
    let mut alike = BTreeMap::<_, Alike<'_>>::new();
    for attempt in &report.attempts {
        let Attempt { outcome, stage, errno, mode, .. } = attempt;
        let group = alike.entry((order(outcome), *stage, *errno, *mode)).or_default();
        group.count += 1;
        group.total_ns =
            group.total_ns.saturating_add(attempt.end_ns.saturating_sub(attempt.start_ns));
        let causes = attempt.causes.iter().map(|cause| (&cause.name, cause.evidence));
        for (name, evidence) in causes {
            let (times, proven) = group.names.entry(&name.bytes).or_default();
            *times += 1;
            *proven += u64::from(evidence == "proven");
        }
    }
    out.heading("Attempts to suspend");
    let head = [
        ("count", Align::Right),
        ("outcome", Align::Left),
        ("at", Align::Left),
        ("mode", Align::Left),
        ("returned", Align::Left),
        ("took", Align::Right),
        ("kept up by", Align::Left),
    ];
    let mut unsure = false;
    let rows = alike.iter().map(|((outcome, stage, errno, mode), group)| {
        let mut names: Vec<_> = group.names.iter().collect();
        names.sort_by_key(|(name, (times, _))| (std::cmp::Reverse(*times), *name));
        let told = names.iter().map(|(name, (times, proven))| {
            unsure |= *proven == 0;
            let sure = if *proven == 0 { "?" } else { "" };
            let name = if name.is_empty() { "(no name)".to_owned() } else { escape(name) };
            if *times == group.count {
                format!("{name}{sure}")
            } else {
                format!("{name}{sure} ×{times}")
            }
        });
        let told = told.collect::<Vec<_>>();
        vec![
            group.count.to_string(),
            OUTCOMES[*outcome].0.replace('_', " "),
            (*stage).to_owned(),
            (*mode).to_owned(),
            returned(*errno),
            time(group.total_ns),
            if told.is_empty() { unknown() } else { as_many_as_fit(&told, NAMES) },
        ]
    });
    out.columns(&head, rows, 6);
    if unsure {
        out.styled(DIM, "  ? likely: it was active or counted up, but so may others have been");
    }
}

/// Columns for the names of those who kept attempts up.
const NAMES: usize = 22;

/// The first of `parts`, and how many more there are.
fn as_many_as_fit(parts: &[String], width: usize) -> String {
    let mut line = String::new();
    for (index, part) in parts.iter().enumerate() {
        let left = parts.len() - index;
        let rest = if left > 1 { format!(", +{}", left - 1).width() } else { 0 };
        if index > 0 && line.width() + 2 + part.width() + rest > width {
            return format!("{line}, +{left}");
        }
        if index > 0 {
            line.push_str(", ");
        }
        line.push_str(part);
    }
    line
}
