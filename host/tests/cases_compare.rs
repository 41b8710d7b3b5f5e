//! Cases from the field that `diff` and `check` got wrong.

mod common;

use std::path::PathBuf;

use common::{run, stderr, stdout};
use serde_json::Value;

fn case(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    path.to_str().expect("UTF-8").to_owned()
}

/// The same modem, and a stuck source that keeps the device awake for half of one hour.
#[test]
fn an_unchanged_source_does_not_change() {
    let (before, after) = (case("fix_before.swk"), case("fix_after.swk"));
    for sides in [[&before, &after], [&after, &before]] {
        let args = ["diff", sides[0], sides[1], "--fail-on", "regression"];
        let output = run(&args);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
        let table = stdout(&output);
        assert!(table.contains("1 source did not change") && !table.contains("modem"), "{table}");
        let output = run(&[&args[..], &["--format", "json"]].concat());
        let json: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        let sources = json["sources"].as_array().expect("sources");
        let names: Vec<_> = sources.iter().map(|source| &source["name"]).collect();
        assert_eq!(names, ["stuck", "modem"], "the change comes first");
        assert_eq!(sources[0]["verdict"], "unknown");
        assert_eq!(sources[1]["verdict"], "within_noise");
        for key in ["cost_ns", "blocked_share_ns", "held_ns", "aborts", "wakes"] {
            assert_eq!(sources[1][key]["change"], 0.0, "{key}");
            assert_eq!(sources[1][key]["verdict"], "within_noise", "{key}");
        }
        let attempts = json["attempts"].as_array().expect("attempts");
        assert!(attempts.iter().all(|outcome| outcome["rate"]["change"] == 0.0));
    }
    // Per hour awake the fix itself changes every rate: on request only.
    let awake = stdout(&run(&["diff", &before, &after, "--per", "awake"]));
    assert!(awake.contains("per hour awake") && awake.contains("modem"), "{awake}");
    let chance = stdout(&run(&["diff", &before, &after, "--per", "sleep-opportunity"]));
    assert!(chance.contains("per hour of sleep opportunity"), "{chance}");
}

/// A source is held for all of the session, and a thread may have waited for it since before.
#[test]
fn a_gate_fails_where_a_thread_may_have_waited() {
    let dir = tempfile::tempdir().expect("a folder");
    let policy = dir.path().join("p.toml");
    let capture = "[capture]\nmin_duration = \"1m\"\nmin_attempts = 0\n";
    for (table, limit) in [("[session]", 1), ("[session]", 50), ("[each_source]", 1)] {
        let text = format!("{capture}{table}\nmax_blocked_percent = {limit}\n");
        std::fs::write(&policy, text).expect("a policy");
        let trace = case("s03_stuck_before_capture.swk");
        let args = ["check", &trace, "--policy", policy.to_str().expect("UTF-8"), "--json"];
        let output = run(&args);
        let json: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        assert_eq!(output.status.code(), Some(3), "{table} {limit}: {json}");
        let judged = &json["traces"][0];
        assert_eq!(judged["broken"].as_array().map(Vec::len), Some(0), "{json}");
        let unknown = judged["unknown"].as_array().expect("limits");
        let why = unknown[0]["why"].as_str().unwrap_or_default();
        assert!(unknown.len() == 1 && why.contains("the reason is unknown for 100"), "{json}");
    }
}
