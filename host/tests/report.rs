//! The reports of traces made here.

mod common;

use common::{Maker, S, everyday, file, golden, night, run, stderr, stdout};
use sleepwalk::analyze::analyze;
use sleepwalk::render::terminal::Look;
use sleepwalk::render::{pages, terminal};
use sleepwalk::report::{By, build};
use sleepwalk_trace::chunk::file_header;
use sleepwalk_trace::record::{End, Lost, Reason, Record, Session};
use sleepwalk_trace::time::{BootNanos, Clocks};
use sleepwalk_trace::write::ChunkWriter;
use unicode_width::UnicodeWidthStr as _;

fn report(args: &[&str]) -> String {
    report_on(&everyday(), args)
}

fn report_on(bytes: &[u8], args: &[&str]) -> String {
    let (_dir, path) = file(bytes);
    let mut all = vec!["report", path.to_str().expect("UTF-8")];
    all.extend(args);
    let output = run(&all);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    stdout(&output)
}

/// The page as a terminal of `width` columns shows it.
fn drawn(bytes: &[u8], by: By, top: usize, width: usize) -> String {
    let report = build(&analyze(bytes).expect("a trace"), by, None);
    let look = Look { color: false, width: Some(width) };
    let text = terminal::render(&pages::report::page(&report, Some(top)), look);
    for line in text.lines() {
        assert!(line.width() <= width, "{line}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    text
}

#[test]
fn pages_look_like_the_golden_files() {
    golden("everyday.txt", &report(&[]));
    golden("night.txt", &report_on(&night(), &[]));
    golden("night-80.txt", &drawn(&night(), By::Name, 20, 80));
    golden("night-120.txt", &drawn(&night(), By::Instance, 20, 120));
    golden("everyday.json", &report(&["--format", "json"]));
    golden("night.json", &report_on(&night(), &["--format", "json"]));
}

#[test]
fn no_page_is_wider_than_its_terminal() {
    for bytes in [everyday(), night()] {
        for (by, top) in [(By::Name, 20), (By::Instance, 20), (By::Name, 1), (By::Name, 0)] {
            for width in [80, 100, 120] {
                drawn(&bytes, by, top, width);
            }
        }
    }
}

#[test]
fn names_are_whole_where_nothing_limits_them() {
    let name = format!("{}.WakeLocks", "PowerManagerService".repeat(9));
    let mut m = Maker::full();
    let source = m.source(name.as_bytes(), 0);
    m.snapshot(Reason::Start).wait(S).activate(source).wait(S).relax(source).wait(S);
    let bytes = m.finish();
    assert!(report_on(&bytes, &[]).contains(&name));
    assert!(!drawn(&bytes, By::Name, 20, 80).contains(&name));
}

#[test]
fn a_session_of_any_length_fits_80_columns() {
    for length in [9_999 * S, 1_001 * 86_400 * S, u64::MAX - 6_000 * S] {
        let mut m = Maker::full();
        m.snapshot(Reason::Start).wait(length);
        let text = drawn(&m.finish(), By::Name, 20, 80);
        assert!(text.contains("100 %  █"), "{text}");
    }
}

#[test]
fn attempts_of_every_kind_fit_80_columns() {
    let mut m = Maker::full();
    let long = m.source(&[b'n'; 60], 0);
    m.snapshot(Reason::Start);
    for errno in [-16, -110, -95, 0, -110] {
        m.down(2, "").activate(long).wait(9 * S).up().returned(errno).relax(long).wait(S);
    }
    m.sleep(S, Some(long)).down(1, "");
    let text = drawn(&m.cut(), By::Name, 20, 80);
    assert!(text.contains("-110 ETIMEDOUT") && text.contains("suspend noirq"), "{text}");
}

#[test]
fn every_warning_fits_80_columns() {
    let mut m = Maker::new();
    m.snapshot(Reason::Start).commit();
    let lost = m.cut().len();
    m.lost(u64::from(u32::MAX)).commit();
    let mut bytes = m.cut();
    bytes.drain(lost..);
    let mut again = Maker::new();
    again.lost(1_234_567).commit();
    bytes.extend_from_slice(&[7; 1_000]);
    bytes.extend_from_slice(&again.cut()[sleepwalk_trace::chunk::FILE_HEADER..]);
    let text = drawn(&bytes, By::Name, 20, 80);
    for warning in ["did not end cleanly", "copied too early: 1000 bytes", "1234567 events"] {
        assert!(text.contains(warning), "{text}");
    }
}

#[test]
fn colour_is_used_on_request() {
    let (_dir, path) = file(&everyday());
    let path = path.to_str().expect("UTF-8");
    let colored = |args: &[&str], env: &[(&str, &str)]| {
        let mut command = common::sleepwalk();
        command.args([&["report", path], args].concat());
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").envs(env.iter().copied());
        stdout(&command.output().expect("the program runs")).contains("\x1b[")
    };
    let (force, no) = (("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1"));
    assert!(!colored(&[], &[]), "a pipe is no terminal");
    assert!(colored(&[], &[force]));
    assert!(!colored(&[], &[force, no]), "NO_COLOR is stronger");
    assert!(colored(&["--color", "always"], &[no]), "the flag is the strongest");
    assert!(!colored(&["--color", "never"], &[force]));
}

/// A trace that was kept small ends with `reason`; the chunks before the first of it were dropped.
fn bounded(reason: &str) -> Vec<u8> {
    let mut writer = ChunkWriter::default();
    let mut chunk = |at, record| {
        writer.push(BootNanos(at), &record);
        writer.seal(Clocks::default()).expect("a chunk")
    };
    for at in 0..3 {
        chunk(at, Record::Lost(Lost { events: 1 }));
    }
    let mut bytes = file_header(4096).to_vec();
    bytes.extend(chunk(4, Record::Session(Session::default())));
    bytes.extend(chunk(5, Record::End(End { reason: reason.to_owned() })));
    bytes
}

#[test]
fn an_early_end_has_a_warning_of_its_own() {
    let disk = format!("error: /data/{}\u{1b}[31m: no room for 9 bytes: ENOSPC", "x".repeat(90));
    for (reason, said) in [
        ("signal", "3 older chunks dropped to keep the trace small"),
        ("full", "the trace reached --max-size"),
        (&disk, "the capture ended early: /data/xxx"),
        (&disk, "ENOSPC"),
    ] {
        let text = drawn(&bounded(reason), By::Name, 20, 80);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(said), "{text}");
        assert!(!text.contains("damaged"), "{text}");
    }
}

#[test]
fn by_name_two_sources_of_one_name_are_one() {
    let text = report(&["--format", "json", "--by", "name"]);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let sources = json["sources"].as_array().expect("sources");
    let polls: Vec<_> = sources.iter().filter(|s| s["name"] == "eventpoll").collect();
    assert_eq!(polls.len(), 1);
    assert_eq!(polls[0]["instances"], 2);
    assert!(polls[0]["instance"].is_null());
}

#[test]
fn the_json_ledger_sums_to_the_session() {
    let json: serde_json::Value =
        serde_json::from_str(&report(&["--format", "json"])).expect("JSON");
    let ledger = json["ledger"].as_object().expect("ledger");
    let lines = ledger.iter().filter(|(key, _)| *key != "unattributed_ns");
    let sum: u64 = lines.filter_map(|(_, ns)| ns.as_u64()).sum();
    assert_eq!(json["session"]["duration_ns"].as_u64(), Some(sum));
}

#[test]
fn held_time_after_a_wake_ranks_once() {
    let mut m = Maker::new();
    let (alarm, usb) = (m.source(b"alarm", 0), m.source(b"usb", 0));
    m.snapshot(Reason::Start).wait(S).sleep(20 * S, Some(alarm));
    // All the time after its wake is held as well: 10 s, and not 20.
    m.wait(10 * S).relax(alarm).down(1, "dpm_suspend").returned(-22).activate(usb);
    m.wait(15 * S).relax(usb);
    let (_dir, path) = file(&m.finish());
    let text = stdout(&run(&["report", path.to_str().expect("UTF-8"), "--format", "json"]));
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let names: Vec<_> = json["sources"].as_array().expect("sources").iter().collect();
    assert_eq!((&names[0]["name"], &names[1]["name"]), (&"usb".into(), &"alarm".into()), "{text}");
}

#[test]
fn hostile_names_stay_escaped_in_every_format() {
    let name = "evil\u{9b}31m\u{7f}\u{202e}\u{2066}\u{1b}";
    let mut m = Maker::new();
    let evil = m.source(name.as_bytes(), 0);
    m.snapshot(Reason::Start).wait(S).activate(evil).wait(S);
    let (_dir, path) = file(&m.finish());
    let path = path.to_str().expect("UTF-8");
    for args in [&["report", path][..], &["report", path, "--format", "json"], &["dump", path]] {
        let text = stdout(&run(args));
        let driving = |c: char| c != '\n' && c.is_control() || "\u{202e}\u{2066}".contains(c);
        assert!(text.contains("evil") && !text.contains(driving), "{text:?}");
        let mut names = text.lines().filter_map(|l| serde_json::from_str(l).ok());
        let json: Option<serde_json::Value> = names.find(|l: &serde_json::Value| l["name"] == name);
        assert_eq!(json.is_some(), args[0] == "dump", "{text}");
    }
}

#[test]
fn a_trace_that_ends_in_nothing_reads_the_same() {
    // As the agent leaves it when it is killed: what it had allocated and not written is zero.
    let small = everyday();
    let mut large = small.clone();
    large.resize(9 << 20, 0);
    assert_eq!(report_on(&large, &["--format", "json"]), report_on(&small, &["--format", "json"]));
}

#[test]
fn the_dump_has_every_record_on_a_line() {
    let (_dir, path) = file(&everyday());
    let text = stdout(&run(&["dump", path.to_str().expect("UTF-8")]));
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
    assert_eq!(of("session"), 1);
    assert_eq!(of("end"), 1);
    assert_eq!(of("return"), 12);
    assert_eq!(of("source"), 10);
    assert_eq!(of("gap"), 0);
    let odd = lines.iter().find(|line| line["name_hex"].is_string()).expect("the odd name");
    assert_eq!(odd["name_hex"], "6576696c1b5b33316dff0a");
    let begin = lines.iter().find(|line| line["action"] == "suspend_enter").expect("a phase");
    assert_eq!((begin["value"].as_i64(), begin["begin"].as_bool()), (Some(1), Some(true)));
    // A source's counters are absolute, though the file has differences.
    let snapshot = lines.iter().rfind(|line| line["kind"] == "snapshot").expect("a snapshot");
    assert_eq!(snapshot["changed"][0]["active_count"], 1);
    let asleep = 300 * S;
    assert_eq!(snapshot["mono_ns"].as_u64(), snapshot["at_ns"].as_u64().map(|at| at - asleep));
}

/// Activations that the ring dropped after the repeated snapshot are not lost.
#[test]
fn activations_that_a_ring_dropped_are_not_lost() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../trace/tests/golden/v1-ring.swk");
    let text = stdout(&run(&["report", path]));
    assert!(text.contains("dropped to keep the trace small"), "{text}");
    assert!(!text.contains("Edges are missing"), "{text}");
}
