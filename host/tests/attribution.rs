//! The example in docs/attribution.md, from its events to its numbers. `SLEEPWALK_BLESS=1` writes
//! the numbers again.

mod common;

use std::fmt::Write as _;
use std::path::Path;

use common::{MS, Maker, T0};
use sleepwalk::analyze::analyze;
use sleepwalk::report::{By, Evidence, Line, Report, build};
use sleepwalk_trace::record::{End, Reason, Record};

fn document() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/attribution.md")
}

/// The text within the fence of this kind.
fn fenced<'a>(text: &'a str, kind: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("```{kind}\n")).expect("the fence begins");
    rest.split_once("```").expect("the fence ends").0
}

/// The trace of these events.
fn trace(events: &str) -> Vec<u8> {
    let mut m = Maker::full();
    let mut sources = Vec::new();
    for line in events.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (at, what) = (words[0].parse::<u64>().expect("a time"), words[1]);
        let object = words.get(2).copied().unwrap_or_default();
        m.now = T0 + at * MS;
        let instance = sources.iter().position(|name| name == object).unwrap_or(0) as u32;
        match what {
            "source" => {
                m.source(object.as_bytes(), 0);
                sources.push(object.to_owned());
            }
            "snapshot" => drop(m.snapshot(Reason::Start)),
            "activate" => drop(m.activate(instance)),
            "relax" => drop(m.relax(instance)),
            "wait" => drop(m.wait_begin(object.parse().expect("a thread"))),
            "waited" => drop(m.wait_end(object.parse().expect("a thread"))),
            "saved" => drop(m.save_by(object.parse().expect("a thread"), true)),
            "begin" | "end" if !object.is_empty() => drop(m.phase(object, 1, what == "begin")),
            "return" => drop(m.returned(object.parse().expect("an errno"))),
            "wake" => drop(m.woken_by(object.parse().expect("a number"), "rtc")),
            "end" => m.push(Record::End(End { reason: "duration".to_owned() })),
            other => panic!("{other}?"),
        }
    }
    m.cut()
}

fn result(report: &Report) -> String {
    let ms = |ns: u64| format!("{}.{}", ns / MS, ns % MS / (MS / 10));
    let ledger = &report.ledger;
    let mut text = String::new();
    for line in Line::ALL {
        let ns = ledger.line(line).unwrap_or(0);
        writeln!(text, "{:<12} {:>8} ms", line.to_string(), ms(ns)).expect("a String");
    }
    text += "\nsource   blocked    alone  aborts  abort time  back-off  wakes  resume  after wake    cost\n";
    for source in &report.sources {
        let s = &source.sum;
        let [share, sole, abort, backoff, resume, after, cost] = [
            s.blocked_share_ns.expect("waits"),
            s.blocked_sole_ns.expect("waits"),
            s.abort_ns,
            s.after_abort_ns,
            s.resume_ns,
            s.after_wake_ns,
            s.cost_ns,
        ]
        .map(ms);
        let (name, aborts, wakes) = (source.name.text(), s.aborts, s.wakes);
        writeln!(
            text,
            "{name:<7} {share:>8} {sole:>8} {aborts:>7} {abort:>11} {backoff:>9} {wakes:>6} \
             {resume:>7} {after:>11} {cost:>7}"
        )
        .expect("a String");
    }
    text
}

#[test]
fn the_worked_example_has_the_stated_result() {
    let text = std::fs::read_to_string(document()).expect("the document");
    let analysis = analyze(&trace(fenced(&text, "events"))).expect("a trace");
    assert_eq!(analysis.ledger.total_ns(), analysis.model.duration_ns());
    let causes = &analysis.attempts[0].causes;
    assert_eq!((causes.len(), causes[0].evidence), (1, Evidence::Proven));
    let now = result(&build(&analysis, By::Name, None));
    let then = fenced(&text, "result");
    if std::env::var_os("SLEEPWALK_BLESS").is_some() {
        std::fs::write(document(), text.replace(then, &now)).expect("the document is written");
        return;
    }
    assert_eq!(then, now, "SLEEPWALK_BLESS=1 writes it again");
}
