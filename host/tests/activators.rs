//! Activators and devices of sources, from a trace to each form of the report.

mod common;

use common::activated::activated;
use common::{MS, Maker};
use serde_json::Value;
use sleepwalk_trace::record::Reason;

fn json(bytes: &[u8]) -> Value {
    let (_folder, path) = common::file(bytes);
    let path = path.display().to_string();
    let output = common::run(&["report", &path, "--format", "json"]);
    serde_json::from_str(&common::stdout(&output)).expect("JSON")
}

fn source<'a>(report: &'a Value, name: &str) -> &'a Value {
    let all = report["sources"].as_array().expect("sources");
    all.iter().find(|source| source["name"] == name).expect("the source")
}

#[test]
fn each_activator_has_its_holds_to_the_nanosecond() {
    let report = json(&activated());
    let wlan = source(&report, "wlan_rx");
    let all = wlan["activators"].as_array().expect("activators");
    let rows: Vec<_> = all
        .iter()
        .map(|a| (a["function"].as_str(), a["activations"].as_u64(), a["held_ns"].as_u64()))
        .collect();
    assert_eq!(
        rows,
        [
            (Some("cnss_wake"), Some(2), Some(60 * MS)),
            (Some("wlan_isr"), Some(1), Some(5 * MS)),
            (None, Some(1), Some(2 * MS)),
        ]
    );
    let sum: u64 = all.iter().filter_map(|a| a["held_ns"].as_u64()).sum();
    assert_eq!(wlan["held_ns"].as_u64(), Some(sum));
    assert_eq!(
        (&all[0]["process"], &all[0]["thread"], &all[0]["uid"]),
        (&812.into(), &813.into(), &1000.into())
    );
    assert_eq!(
        (&all[0]["module"], &all[0]["comm"]["name"]),
        (&"wlan".into(), &"cnss|daemon".into())
    );
    assert_eq!(all[0]["stacks"][0][1], "cnss_wake+0x10 [wlan]");
    assert_eq!((&all[1]["level"], &all[1]["comm"]), (&"hardirq".into(), &Value::Null));
    let quiet = source(&report, "quiet")["activators"].as_array().expect("a list");
    assert_eq!((quiet.len(), &quiet[0]["function"]), (1, &Value::Null));
    assert_eq!(wlan["device"]["path"], "platform/soc/wlan");
    assert_eq!(wlan["device"]["driver"], "cnss2");
    assert_eq!(source(&report, "quiet")["device"], Value::Null);
}

#[test]
fn a_trace_without_activators_says_so() {
    let mut maker = Maker::full();
    let source_id = maker.source(b"wlan_rx", 0);
    maker.snapshot(Reason::Start).activate(source_id).wait(MS).relax(source_id);
    let report = json(&maker.snapshot(Reason::End).finish());
    assert_eq!(source(&report, "wlan_rx")["activators"], Value::Null);
}

#[test]
fn every_form_names_the_activator() {
    let (_folder, path) = common::file(&activated());
    let path = path.display().to_string();
    let shown = |args: &[&str]| common::stdout(&common::run(&[&["report", &path], args].concat()));
    for (args, process, interrupt) in [
        (
            &[][..],
            "cnss_wake [wlan]  cnss|daemon, thread 813 of pid 812",
            "wlan_isr          interrupt",
        ),
        (
            &["--format", "markdown"],
            "`cnss_wake` [`wlan`] | `cnss\\x7cdaemon`, thread 813 of pid 812",
            "`wlan_isr` | interrupt",
        ),
        (&["--format", "html"], "cnss_wake+0x10 [wlan]", "wlan_isr"),
        (&["--format", "csv"], "cnss_wake,wlan,thread,cnss|daemon,812,2,60000000", ""),
    ] {
        let text = shown(args);
        assert!(text.contains(process) && text.contains(interrupt), "{args:?}: {text}");
    }
    let output = common::run(&["export", &path, "--to", "jsonl", "-o", "-"]);
    let lines: Vec<Value> = common::stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    assert_eq!(of("activator").len(), 2);
    assert_eq!(of("activator")[0]["function"], "cnss_wake");
    let by: Vec<_> = of("edge").iter().map(|edge| edge["activator"].as_u64()).collect();
    assert_eq!(by[..6], [Some(1), None, Some(2), None, Some(1), None]);
    assert!(by[6..].iter().all(Option::is_none), "{by:?}");
}
