//! `diff`, `check` and `report` of several traces, as a script calls them.

mod common;

use std::path::Path;
use std::process::Output;

use common::{Maker, S, T0, complaint, everyday, sleepwalk, stderr, stdout};
use sleepwalk_trace::record::Reason;

/// A folder with two traces of one boot, one after the other, and an empty one.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(dir.path().join(name), bytes).expect("a file");
    };
    write("day.swk", &everyday());
    write("later.swk", &later());
    write("edges.swk", &common::night());
    let mut empty = Maker::new();
    write("empty.swk", &empty.snapshot(Reason::Start).finish());
    dir
}

/// Later in the same boot: more sleep, no modem.
fn later() -> Vec<u8> {
    let mut m = Maker::at(T0 + 3_600 * S, &[("phase", "tp_btf"), ("return", "fexit")]);
    let alarm = m.source(b"alarmtimer.0.auto", 7);
    let nfc = m.source(b"nfc", 0);
    m.snapshot(Reason::Start).commit();
    for _ in 0..3 {
        m.wait(2 * S).sleep(600 * S, Some(alarm));
        m.wait(100_000_000).relax(alarm);
    }
    m.wait(S).aborted_in_sync(nfc, 5_000_000);
    m.wait(S).finish()
}

fn run_in(dir: &Path, args: &[&str]) -> Output {
    sleepwalk().args(args).current_dir(dir).output().expect("it starts")
}

fn good(dir: &Path, args: &[&str]) -> String {
    let output = run_in(dir, args);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{args:?}");
    stdout(&output)
}

/// The exit code and the output of `check`.
fn checked(policy: &str, traces: &[&str], json: bool) -> (Option<i32>, String) {
    let dir = folder();
    std::fs::write(dir.path().join("limits.toml"), policy).expect("a policy");
    let mut args = [&["check", "--policy", "limits.toml"], traces].concat();
    args.extend(json.then_some("--json"));
    let output = run_in(dir.path(), &args);
    assert_eq!(stderr(&output), "");
    (output.status.code(), stdout(&output))
}

const CAPTURE: &str = "[capture]\nmin_duration = \"5m\"\nmin_attempts = 3\n";

#[test]
fn a_policy_that_is_kept_is_exit_code_0() {
    let policy = format!("{CAPTURE}[session]\nmax_awake_percent = 20\n");
    let (code, text) = checked(&policy, &["day.swk", "later.swk"], false);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("passed: 2 traces checked against limits.toml\n"), "{text}");
}

#[test]
fn a_broken_limit_exits_3_with_value_and_limit() {
    let policy = format!("{CAPTURE}[session]\nmax_awake_percent = 10\nmax_no_sleep = 0\n");
    let (code, text) = checked(&policy, &["later.swk", "day.swk"], false);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.starts_with("FAILED: "), "{text}");
    assert!(text.contains("session.max_awake_percent: 16.3 %, allowed at most 10 %"), "{text}");
    assert!(text.contains("session.max_no_sleep: 1, allowed at most 0"), "{text}");
    let (code, text) = checked(&policy, &["later.swk", "day.swk"], true);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &json["passed"]), (Some(3), &false.into()));
    assert_eq!(json["traces"][1]["broken"].as_array().map(Vec::len), Some(2), "{text}");
    assert_eq!(json["traces"][0]["broken"].as_array().map(Vec::len), Some(0), "{text}");
}

#[test]
fn an_empty_trace_does_not_pass() {
    let (code, text) = checked(CAPTURE, &["empty.swk"], false);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("capture.min_duration") && text.contains("capture.min_attempts"));
}

#[test]
fn a_limit_without_activations_fails() {
    let policy = format!("{CAPTURE}[each_source]\nmax_blocked_percent = 100\n");
    let (code, text) = checked(&policy, &["day.swk"], false);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("Unknown:\n  ! each_source.max_blocked_percent: "), "{text}");
    let (code, _) = checked(&format!("unknown = \"pass\"\n{policy}"), &["day.swk"], false);
    assert_eq!(code, Some(0));
}

#[test]
fn activations_and_waits_give_blocked_time() {
    let policy = format!(
        "{CAPTURE}max_lost_events = 17\n[session]\nmax_blocked_percent = 100\nmax_not_trying_percent = 100\n"
    );
    let (code, text) = checked(&policy, &["edges.swk"], false);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = checked(
        &policy.replace("blocked_percent = 100", "blocked_percent = 0"),
        &["edges.swk"],
        false,
    );
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("session.max_blocked_percent: "), "{text}");
}

#[test]
fn the_example_policy_has_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.example.toml");
    let text = std::fs::read_to_string(path).expect("the example");
    let (code, said) = checked(&text, &["day.swk"], false);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("source[modem_rx].max_aborts_per_hour, modem_rx: "), "{said}");
    // Serde lists the known keys where it meets an unknown one; the example has each.
    for (table, of) in [
        ("", "unknown"),
        ("[capture]", "capture"),
        ("[session]", "session"),
        ("[each_source]", "each_source"),
        ("[[source]]", "source"),
    ] {
        let probe = match table {
            "" => format!("nonsense = 1\n{text}"),
            table => {
                text.replacen(&format!("\n{table}\n"), &format!("\n{table}\nnonsense = 1\n"), 1)
            }
        };
        let error = sleepwalk::compare::policy::Policy::parse(&probe).expect_err(of);
        let known: Vec<_> = error.why.split('`').skip(3).step_by(2).collect();
        assert!(known.len() >= 4, "{error}");
        for key in known {
            let there = [format!("\n{key} = "), format!("\n[{key}]\n"), format!("\n[[{key}]]\n")];
            assert!(there.iter().any(|line| text.contains(line.as_str())), "{of}: {key}");
        }
    }
}

#[test]
fn a_policy_error_names_line_and_key() {
    let dir = folder();
    let policy = dir.path().join("p.toml");
    std::fs::write(&policy, format!("{CAPTURE}[session]\nmax_awake = 1\n")).expect("a policy");
    let output = run_in(dir.path(), &["check", "--policy", "p.toml", "day.swk"]);
    assert_eq!(output.status.code(), Some(1));
    let said = complaint(&output);
    assert!(said.contains("p.toml: line 5, `max_awake = 1`: unknown field `max_awake`"), "{said}");
    let output = run_in(dir.path(), &["check", "--policy", "none.toml", "day.swk"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).starts_with("sleepwalk: none.toml: "));
    std::fs::write(&policy, CAPTURE).expect("a policy");
    let output = run_in(dir.path(), &["check", "--policy", "p.toml", "p.toml"]);
    assert_eq!(output.status.code(), Some(5), "a policy is no trace");
}

#[test]
fn a_diff_takes_two_traces_or_several_a_side() {
    let dir = folder();
    let two = good(dir.path(), &["diff", "day.swk", "later.swk"]);
    assert!(two.contains("modem_rx (vanished)") && two.contains("nfc (new)"), "{two}");
    let same = ["diff", "--before", "day.swk", "--after", "later.swk"];
    assert_eq!(two, good(dir.path(), &same));
    let several = ["diff", "--before", "day.swk", "empty.swk", "--after", "later.swk"];
    let text = good(dir.path(), &[&several[..], &["--format", "json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["before"]["traces"].as_array().map(Vec::len), Some(2));
    assert!(good(dir.path(), &[&same[..], &["--format", "markdown"]].concat()).starts_with("## "));
    let top = good(dir.path(), &[&same[..], &["--format", "json", "--top", "1"]].concat());
    let json: serde_json::Value = serde_json::from_str(&top).expect("JSON");
    assert_eq!(json["sources"].as_array().map(Vec::len), Some(1));
    assert_eq!(run_in(dir.path(), &["diff", "day.swk", "p"]).status.code(), Some(5));
}

/// An hour in which a source aborts this many attempts, evenly spread.
fn aborts(n: u64, start_ns: u64) -> Vec<u8> {
    let mut m = Maker::at(start_ns, &[("phase", "tp_btf"), ("return", "fexit")]);
    let nfc = m.source(b"nfc", 0);
    m.snapshot(Reason::Start).commit();
    for _ in 0..40 {
        m.wait(S).sleep(60 * S, None);
    }
    for _ in 0..n {
        m.wait(1_200 * S / n).aborted_in_sync(nfc, 5_000_000);
    }
    m.wait(S).finish()
}

#[test]
fn a_regression_exits_3_on_request() {
    let dir = folder();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(dir.path().join(name), bytes).expect("a file");
    };
    write("few.swk", &aborts(4, T0));
    write("as_few.swk", &aborts(6, T0 + 7_200 * S));
    write("many.swk", &aborts(40, T0 + 14_400 * S));
    let code = |args: &[&str]| {
        let output = run_in(dir.path(), &[&["diff"], args].concat());
        assert_eq!(stderr(&output), "", "{args:?}");
        (output.status.code(), stdout(&output))
    };
    let (without, table) = code(&["few.swk", "many.swk"]);
    assert_eq!(without, Some(0), "{table}");
    let (with, same) = code(&["few.swk", "many.swk", "--fail-on", "REGRESSION"]);
    assert_eq!((with, &same), (Some(3), &table));
    assert!(table.contains("Significantly worse"), "{table}");
    assert!(table.contains("nfc, aborts: "), "{table}");
    assert!(table.contains("significant: aborts"), "{table}");
    for args in [["many.swk", "few.swk"], ["few.swk", "as_few.swk"]] {
        let (code, table) = code(&[&args[..], &["--fail-on", "regression"]].concat());
        assert_eq!(code, Some(0), "{table}");
        assert!(!table.contains("Significantly worse"), "{table}");
    }
    let output = run_in(dir.path(), &["diff", "few.swk", "many.swk", "--fail-on", "rain"]);
    assert_eq!(output.status.code(), Some(2));
    // The format does not matter.
    let args = ["few.swk", "many.swk", "--fail-on", "regression", "--format", "json"];
    let (with, json) = code(&args);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let worse = json["regressions"].as_array().expect("regressions");
    assert_eq!(with, Some(3));
    assert!(worse.iter().any(|r| r["source"]["name"] == "nfc" && r["measure"] == "aborts"));
}

#[test]
fn several_traces_are_one_report() {
    let dir = folder();
    let table = good(dir.path(), &["report", "later.swk", "day.swk"]);
    assert!(table.contains("2 sessions, 1 boot, "), "{table}");
    let text = good(dir.path(), &["report", "later.swk", "day.swk", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let sessions = json["devices"][0]["sessions"].as_array().expect("sessions");
    let files: Vec<_> = sessions.iter().map(|session| &session["trace"]).collect();
    assert_eq!(files, ["day.swk", "later.swk"], "in order of time");
    // Each session's report equals that of its trace alone.
    let alone = good(dir.path(), &["report", "day.swk", "--format", "json"]);
    let alone: serde_json::Value = serde_json::from_str(&alone).expect("JSON");
    assert_eq!(sessions[0]["report"], alone);
    let text = good(dir.path(), &["report", "later.swk", "day.swk", "--format", "csv"]);
    let rows = csv::Reader::from_reader(text.as_bytes()).into_records();
    let sessions: Vec<_> = rows.map(|row| row.expect("a row")[2].to_owned()).collect();
    assert_eq!(sessions.iter().filter(|s| *s == "0").count(), 10);
    assert_eq!(sessions.iter().filter(|s| *s == "1").count(), 2);
    let text = good(dir.path(), &["report", "later.swk", "day.swk", "--format", "markdown"]);
    assert!(text.starts_with("## `Pixel 6`\n"), "{text}");
    let output = run_in(dir.path(), &["report", "day.swk", "day.swk"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("day.swk and day.swk overlap"));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let dir = folder();
    for args in [
        &["diff"][..],
        &["diff", "day.swk"],
        &["diff", "day.swk", "later.swk", "empty.swk"],
        &["diff", "--before", "day.swk"],
        &["diff", "day.swk", "later.swk", "--before", "day.swk", "--after", "later.swk"],
        &["check", "day.swk"],
        &["check", "--policy", "p.toml"],
        &["report", "day.swk", "--format", "json", "--table", "waits"],
    ] {
        assert_eq!(run_in(dir.path(), args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn an_output_never_replaces_an_input() {
    let dir = folder();
    let path = |name| dir.path().join(name);
    for args in [
        &["report", "day.swk", "-o", "./day.swk"][..],
        &["report", "later.swk", "day.swk", "--format", "csv", "-o", "day.swk"],
        &["diff", "later.swk", "day.swk", "-o", "day.swk"],
    ] {
        let output = run_in(dir.path(), args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = complaint(&output);
        assert!(
            said.contains("day.swk is one of the files that this command reads\nfix: name another"),
            "{said}"
        );
        assert_eq!(std::fs::read(path("day.swk")).expect("a file"), everyday());
    }
    let output = run_in(dir.path(), &["report", "day.swk", "-o", "-"]);
    assert!(stdout(&output).contains("Sources and interrupts by cost"));
    assert!(!path("-").exists());
}

#[test]
fn a_page_is_of_one_trace() {
    let dir = folder();
    // The same twice is an error too, of another kind.
    for more in [&["day.swk"][..], &["later.swk"], &["--by", "device"]] {
        let output =
            run_in(dir.path(), &[&["report", "day.swk", "--format", "html"], more].concat());
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(complaint(&output).contains("takes one trace"), "{}", complaint(&output));
    }
}
