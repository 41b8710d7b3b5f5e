//! CSV and Markdown: how they look, and that names from a device do nothing in them.

mod common;

use common::full::{HOSTILE, report, trace};
use common::inverse::csv_bytes;
use common::{everyday, file, golden, night, run, stderr, stdout};
use sleepwalk::compare::merge;
use sleepwalk::render::csv::{Table, render};
use sleepwalk::render::pages::{merged, report as pages};
use sleepwalk::render::terminal::{self, Look};
use sleepwalk::render::{json, markdown};

const TABLES: [(&str, Table); 4] = [
    ("sources", Table::Sources),
    ("attempts", Table::Attempts),
    ("waits", Table::Waits),
    ("wakelocks", Table::Wakelocks),
];

fn reported(args: &[&str]) -> String {
    let (_dir, path) = file(&everyday());
    let output = run(&[&["report", path.to_str().expect("UTF-8")], args].concat());
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    stdout(&output)
}

/// The rows of a CSV, without its head.
fn rows(text: &str) -> Vec<csv::StringRecord> {
    csv::Reader::from_reader(text.as_bytes()).records().map(|row| row.expect("a row")).collect()
}

#[test]
fn everyday_csv_matches_its_golden() {
    for (name, _) in TABLES {
        let text = reported(&["--format", "csv", "--table", name]);
        golden(&format!("everyday-{name}.csv"), &text);
    }
    let sources = reported(&["--format", "csv"]);
    assert_eq!(sources, reported(&["--format", "csv", "--table", "sources"]));
    assert_eq!(rows(&sources).len(), 10);
    assert_eq!(rows(&reported(&["--format", "csv", "--top", "2"])).len(), 2);
    assert_eq!(rows(&reported(&["--format", "csv", "--by", "name"])).len(), 9);
}

#[test]
fn night_csv_and_markdown_match_their_goldens() {
    let (_dir, path) = file(&night());
    let path = path.to_str().expect("UTF-8");
    for (name, _) in TABLES {
        let output = run(&["report", path, "--format", "csv", "--table", name]);
        golden(&format!("night-{name}.csv"), &stdout(&output));
    }
    golden("night.md", &stdout(&run(&["report", path, "--format", "markdown"])));
}

#[test]
fn full_csv_matches_its_golden() {
    for (name, table) in TABLES {
        golden(&format!("full-{name}.csv"), &render([&report()], table).expect("CSV"));
    }
}

#[test]
fn no_csv_cell_is_a_formula() {
    for (_, table) in TABLES {
        let text = render([&report()], table).expect("CSV");
        assert!(text.lines().all(|line| !line.contains(char::is_control)), "{text:?}");
        for row in rows(&text) {
            for cell in &row {
                let formula = cell.starts_with(['=', '+', '-', '@']);
                assert!(!formula || cell.parse::<f64>().is_ok(), "{cell}");
            }
        }
    }
    let sources = rows(&render([&report()], Table::Sources).expect("CSV"));
    assert_eq!(csv_bytes(&sources[0][3]).as_deref(), Some(HOSTILE));
    let attempts = rows(&render([&report()], Table::Attempts).expect("CSV"));
    let causes: Vec<_> = attempts[1][16].split("; ").map(csv_bytes).collect();
    assert_eq!(causes, [Some(HOSTILE.to_vec()), Some(b"wlan_rx".to_vec())]);
    assert_eq!(&attempts[0][19], "\'=rtc@0");
    assert_eq!(&attempts[1][9], "-16", "numbers stay numbers");
}

#[test]
fn everyday_markdown_matches_its_golden() {
    golden("everyday.md", &reported(&["--format", "markdown"]));
    let short = reported(&["--format", "markdown", "--top", "1"]);
    assert!(short.contains("4 more, see --top"), "{short}");
}

#[test]
fn full_markdown_matches_its_golden() {
    golden("full.md", &markdown::render(&pages::page(&report(), Some(20))));
}

/// Fails where GitHub would make something of text outside code spans.
fn is_inert(text: &str) {
    for line in text.lines() {
        assert!(line.matches('`').count() % 2 == 0, "{line}");
        assert!(!line.contains(sleepwalk::text::hidden), "{line}");
        for outside in line.split('`').step_by(2) {
            // No tag starts with a digit.
            let outside = outside.replace("<0.1 %", "");
            for drives in ["<", "@", "](", "http", "www.", "**", "_", "\\"] {
                assert!(!outside.contains(drives), "{drives} in {line}");
            }
        }
    }
    // Nothing broke a table: within one, every row has as many cells.
    for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
        let pipes: Vec<_> = table.lines().map(|line| line.matches('|').count()).collect();
        assert!(pipes.iter().all(|n| *n == pipes[0]), "{table}");
    }
}

#[test]
fn hostile_names_are_inert_in_markdown() {
    let mut hostile = report();
    let text = String::from_utf8_lossy(HOSTILE).into_owned();
    for field in [
        &mut hostile.session.device,
        &mut hostile.session.kernel,
        &mut hostile.session.machine,
        &mut hostile.session.fingerprint,
        &mut hostile.session.serial,
        &mut hostile.session.source,
        &mut hostile.session.agent,
    ] {
        field.clone_from(&text);
    }
    is_inert(&markdown::render(&pages::page(&hostile, Some(20))));
    let mut second = hostile.clone();
    second.session.boot_id = String::new();
    second.session.start_realtime_ns.0 += 1 << 50;
    second.session.end_reason = None;
    second.session.kernel = "@other".to_owned();
    let traces = vec![trace("<a>|`@b`\n.swk", hostile), trace("c.swk", second)];
    let reports = merge::merge(traces, None).expect("one device");
    is_inert(&markdown::render(&merged::page(&reports, 20)));
    let look = Look { color: false, width: Some(80) };
    let table = terminal::render(&merged::page(&reports, 20), look);
    assert!(table.lines().all(|line| !line.contains(sleepwalk::text::hidden)), "{table:?}");
    assert!(table.lines().all(|line| unicode_width::UnicodeWidthStr::width(line) <= 80), "{table}");
}

#[test]
fn hostile_names_are_harmless_in_json() {
    let text = json::report(&report()).expect("JSON");
    assert!(text.lines().all(|line| !line.contains(sleepwalk::text::hidden)), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["sources"][0]["name"], String::from_utf8_lossy(HOSTILE).as_ref());
    assert_eq!(json["sources"][0]["name_hex"], sleepwalk::report::hex(HOSTILE));
}

#[test]
fn a_table_is_for_csv_only() {
    let (_dir, path) = file(&everyday());
    let path = path.to_str().expect("UTF-8");
    for format in ["table", "json", "markdown"] {
        let output = run(&["report", path, "--format", format, "--table", "waits"]);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(common::complaint(&output), "sleepwalk: --table needs --format csv");
    }
}
