//! Details that a reader of a report relies on: dates, sums, words that mean the same everywhere.

mod common;

use common::full::{report, trace};
use common::{Maker, REAL, S, night};
use sleepwalk::analyze::analyze;
use sleepwalk::compare::Trace;
use sleepwalk::compare::merge::{Reports, by_device, merge};
use sleepwalk::render::page::Page;
use sleepwalk::render::terminal::{self, Look};
use sleepwalk::render::{markdown, pages};
use sleepwalk::report::{By, Name, Outcome, Report, build, by_name};
use sleepwalk_trace::record::Reason;

fn drawn(page: &Page) -> String {
    terminal::render(page, Look { color: false, width: None })
}

fn reported(bytes: &[u8]) -> Trace {
    let analysis = analyze(bytes).expect("a trace");
    let by_name = by_name(&analysis);
    Trace { file: "t.swk".to_owned(), report: build(&analysis, By::Name, None), by_name }
}

fn page(report: &Report) -> String {
    drawn(&pages::report::page(report, Some(20)))
}

/// A session whose clock says 1970 until the network sets it.
fn late_clock(set: bool) -> Maker {
    let mut m = Maker::new();
    m.real = 12 * S as i64;
    m.snapshot(Reason::Start).commit().wait(2 * S);
    if set {
        m.real = REAL;
    }
    m.snapshot(Reason::Tick).commit().wait(2 * S);
    m
}

#[test]
fn a_clock_set_late_dates_the_session() {
    let session = reported(&late_clock(true).finish()).report.session;
    assert_eq!(session.start_realtime_ns.0, REAL);
    let clock = session.clock.expect("a date");
    assert_eq!(clock.at_ns.since(session.start_ns), 4 * S);
    assert_eq!(clock.realtime_ns.0, REAL + 4 * S as i64);
    // The last chunk may be of a clock that lost its time again.
    let mut m = late_clock(true);
    m.real = 0;
    let clock = reported(&m.finish()).report.session.clock.expect("a date");
    assert_eq!(clock.realtime_ns.0, REAL + 2 * S as i64);
}

#[test]
fn a_clock_that_was_never_set_gives_no_date() {
    let report = reported(&late_clock(false).finish()).report;
    assert_eq!(report.session.clock, None);
    let text = page(&report);
    assert!(text.contains(" from an unknown date") && !text.contains("1970"), "{text}");
}

/// A session that starts this long after its boot, with a date that is this much too early.
fn session(boot: &str, start_s: u64, booted_s: i64, early_s: i64, read: bool) -> Report {
    let mut report = report();
    let session = &mut report.session;
    let real = (1_772_000_000 + booted_s + start_s as i64 - early_s) * S as i64;
    session.boot_id = boot.to_owned();
    (session.start_ns.0, session.end_ns.0) = (start_s * S, (start_s + 3_600) * S);
    session.start_realtime_ns.0 = real;
    session.clock = session.clock.filter(|_| read);
    if let Some(clock) = &mut session.clock {
        clock.at_ns = session.end_ns;
    }
    report
}

#[test]
fn sessions_of_a_boot_are_sorted_by_boottime() {
    let years = 1_000_000_000;
    let traces = [
        ("later", session("b", 8_000, 90_000, 0, true)),
        ("last", session("", 10, 200_000, 0, true)),
        ("early", session("b", 10, 90_000, years, false)),
        ("fast", session("b", 4_000, 90_000, -years, true)),
        ("first", session("a", 50_000, 0, 0, true)),
    ];
    let traces = traces.map(|(file, report)| trace(file, report)).to_vec();
    let reports = merge(traces, None).expect("one device");
    let order = reports.devices[0].sessions.iter().map(|s| (s.trace.as_str(), s.boot));
    let wanted = [("first", 0), ("early", 1), ("fast", 1), ("later", 1), ("last", 2)];
    assert_eq!(order.collect::<Vec<_>>(), wanted);
}

#[test]
fn a_mean_is_shown_where_a_sum_would_mislead() {
    let mut m = Maker::full();
    let alarm = m.source(b"alarm", 0);
    m.snapshot(Reason::Start);
    for _ in 0..10 {
        m.wait(S).sleep(10 * S, Some(alarm)).relax(alarm);
    }
    let text = page(&reported(&m.finish()).report);
    let row = |head: &str| {
        let after = text.lines().skip_while(|line| !line.contains(head)).nth(1);
        after.unwrap_or_default().to_owned()
    };
    let wake = row("mean sleep");
    assert!(wake.contains(" 10.0 s "), "{wake}");
    // The sleep is no part of the time that the attempts took.
    let attempts = row("kept awake by");
    assert!(attempts.contains("slept") && attempts.contains(" ms"), "{attempts}");
}

const SECTIONS: [&str; 5] = [
    "Findings",
    "Where the time went",
    "Sources and interrupts by cost",
    "Interrupts and sources that",
    "Battery",
];

#[test]
fn every_form_of_a_page_has_every_section() {
    let one = reported(&night());
    let mut other = one.clone();
    other.report.session.boot_id = "another".to_owned();
    let both = merge(vec![one.clone(), other], None).expect("one device");
    for page in [pages::report::page(&one.report, Some(20)), pages::merged::page(&both, 20)] {
        for text in [markdown::render(&page), drawn(&page)] {
            for section in SECTIONS {
                assert!(text.contains(section), "no {section} in:\n{text}");
            }
            for (cell, what) in [("alone", "a column"), ("rtc-alarm", "an interrupt")] {
                assert!(text.contains(cell), "{what}: no {cell} in:\n{text}");
            }
            assert!(text.contains("suspend") && text.contains("mAh"), "{text}");
        }
    }
}

#[test]
fn a_page_has_one_word_for_an_outcome() {
    let text = page(&report());
    let head = text.lines().find(|line| line.starts_with("5 suspend attempts: "));
    let words = head.expect("a head").split_once(": ").expect("counts").1.split(", ");
    let words: Vec<_> = words.filter_map(|word| word.strip_prefix("1 ")).collect();
    assert_eq!(words.len(), Outcome::ALL.len());
    let table = text.split("kept awake by").nth(1).expect("a table");
    for word in words {
        assert!(table.contains(&format!("  {word}  ")), "no {word} in:\n{table}");
    }
}

#[test]
fn a_device_without_an_active_source_has_no_worst() {
    let mut idle = Maker::new();
    idle.source(b"never", 0);
    let idle = reported(&idle.snapshot(Reason::Start).wait(S).finish());
    let mut busy = reported(&night());
    busy.report.session.serial = "B".to_owned();
    let reports = by_device(vec![idle, busy], None).expect("two devices");
    let text = drawn(&pages::merged::page(&reports, 20));
    let rows: Vec<_> = text.lines().skip(2).take(2).collect();
    assert!(rows[0].trim_end().ends_with('–') && rows[1].ends_with("sync_job"), "{text}");
}

#[test]
fn a_serial_number_marks_one_of_several_devices() {
    let one = |serial: &str, boot: &str| {
        let mut report = report();
        report.session.serial = serial.to_owned();
        report.session.boot_id = boot.to_owned();
        trace("t.swk", report)
    };
    let text = |reports: Reports| drawn(&pages::merged::page(&reports, 20));
    let same = text(merge(vec![one("1A2B", "a"), one("1A2B", "b")], None).expect("one device"));
    assert!(!same.contains("1A2B"), "{same}");
    let two = text(by_device(vec![one("1A2B", "a"), one("9Z", "b")], None).expect("two devices"));
    assert!(two.contains("1A2B") && two.contains("9Z"), "{two}");
}

#[test]
fn a_hold_that_vanishes_is_a_lower_bound() {
    for edges in [false, true] {
        let mut m = if edges { Maker::full() } else { Maker::new() };
        let [gone, kept] = [&b"gone"[..], b"kept"].map(|name| m.source(name, 0));
        m.snapshot(Reason::Start).wait(S).activate(gone).activate(kept);
        m.wait(2 * S).snapshot(Reason::Tick).wait(3 * S).relax(gone).remove(gone);
        m.wait(S).snapshot(Reason::Tick).wait(S).relax(kept);
        let report = reported(&m.finish()).report;
        let source = |name: &[u8]| {
            let source = report.sources.iter().find(|s| s.name == Name::new(name));
            source.map(|s| (s.sum.held_ns, s.sum.held_at_least)).expect("a source")
        };
        assert_eq!(source(b"gone"), if edges { (5 * S, false) } else { (2 * S, true) });
        assert_eq!(source(b"kept"), (7 * S, false));
        assert_eq!(page(&report).contains("≥2.00 s"), !edges);
    }
}
