//! The JSON Schemas in `docs/` against the JSON that is written, both ways.

mod common;

use std::path::Path;

use common::full::{report, trace};
use common::schema::{FILES, hold, read, validator};
use common::{everyday, file, night, run, stdout};
use serde_json::{Map, Value};
use sleepwalk::compare::policy::Policy;
use sleepwalk::compare::{check, diff, merge};
use sleepwalk::import;
use sleepwalk::render::json::{self, pretty};
use sleepwalk::report::Report;

/// Each schema with a document that has every key.
fn documents() -> [(&'static str, String); 5] {
    let mut other = report();
    other.session.boot_id = "another".to_owned();
    let policy = Policy::parse(
        "[capture]\nmin_duration = \"2h\"\nmin_attempts = 1\n[each_source]\n\
         max_blocked_percent = 1\nmax_aborts_per_hour = 0\n[session]\nmax_no_sleep = 0\n",
    );
    let mut blind = report();
    blind.session.hooks.clear();
    let merged = merge::merge(vec![trace("a", report()), trace("b", other)], None);
    let verdict = check::check(
        "p.toml",
        &policy.expect("a policy"),
        &[trace("a", report()), trace("b", blind)],
    );
    let mut worse = report();
    worse.sources[2].sum.aborts = 40;
    let diff = diff::diff(&[trace("a", report())], &[trace("b", worse)], diff::Per::Session);
    assert!(!diff.regressions.is_empty(), "{diff:?}");
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name);
        import::read(&path).expect("a bug report")
    };
    let import = read("bugreport-before.txt");
    let text = |value: Result<String, serde_json::Error>| value.expect("JSON");
    [
        (FILES[0], text(json::report(&report()))),
        (FILES[1], text(json::reports(&merged.expect("one device")))),
        (FILES[2], text(pretty(&diff))),
        (FILES[3], text(pretty(&verdict))),
        (FILES[4], text(pretty(&import))),
    ]
}

/// Every schema of an object within `schema`.
fn objects<'a>(schema: &'a Value, found: &mut Vec<&'a Map<String, Value>>) {
    match schema {
        Value::Object(map) => {
            if map.contains_key("properties") {
                found.push(map);
            }
            map.values().for_each(|value| objects(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| objects(value, found)),
        _ => {}
    }
}

#[test]
fn schemas_are_closed_and_describe_every_key() {
    for name in FILES {
        let schema = read(name);
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        let mut found = Vec::new();
        objects(&schema, &mut found);
        for object in found {
            assert_eq!(object["additionalProperties"], false, "{name}: {object:?}");
            let properties = object["properties"].as_object().expect("properties");
            let required = object["required"].as_array().expect("keys");
            for (key, property) in properties {
                let said = property["description"].as_str().unwrap_or_default();
                assert!(said.ends_with('.'), "{name}: {key} has no description");
                let unit = key.strip_suffix("_ns").is_none() || said.contains("anosecond");
                assert!(unit, "{name}: {key} does not name its unit");
                let optional = key == "name_hex";
                assert_eq!(required.iter().any(|r| r == key), !optional, "{name}: {key}");
            }
            assert!(required.iter().all(|key| properties.contains_key(key.as_str().expect("key"))));
        }
        let whole = schema.to_string();
        for part in schema["$defs"].as_object().expect("parts").keys() {
            assert!(whole.contains(&format!("\"#/$defs/{part}\"")), "{name}: nothing uses {part}");
        }
    }
}

#[test]
fn written_json_fits_its_schema() {
    for (name, json) in documents() {
        hold(&validator(name), &json);
    }
    for trace in [everyday(), night()] {
        hold_all(&trace);
    }
}

fn hold_all(trace: &[u8]) {
    let (_dir, path) = file(trace);
    let path = path.to_str().expect("UTF-8");
    for by in ["name", "instance"] {
        let args = ["report", path, "--format", "json", "--by", by];
        hold(&validator(FILES[0]), &stdout(&run(&args)));
    }
    for args in [&["--by", "device"][..], &["--by", "device", "--top", "1"]] {
        let args = [&["report", path, "--format", "json"], args].concat();
        hold(&validator(FILES[1]), &stdout(&run(&args)));
    }
    hold(&validator(FILES[2]), &stdout(&run(&["diff", path, path, "--format", "json"])));
}

/// Calls `visit` with the document and the pointer of each object in it.
fn each_object(value: &Value, at: &str, visit: &mut impl FnMut(&str, &Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            visit(at, map);
            for (key, value) in map {
                each_object(value, &format!("{at}/{key}"), visit);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                each_object(value, &format!("{at}/{index}"), visit);
            }
        }
        _ => {}
    }
}

#[test]
fn keys_are_neither_missing_nor_extra() {
    for (name, json) in documents() {
        let validator = validator(name);
        let json: Value = serde_json::from_str(&json).expect("JSON");
        let mut changes = Vec::new();
        each_object(&json, "", &mut |at, object| {
            changes.push((at.to_owned(), None));
            let keys = object.keys().filter(|key| *key != "name_hex");
            changes.extend(keys.map(|key| (at.to_owned(), Some(key.clone()))));
        });
        for (at, less) in changes {
            let mut changed = json.clone();
            let object = changed.pointer_mut(&at).and_then(Value::as_object_mut).expect("there");
            match &less {
                Some(key) => object.remove(key),
                None => object.insert("one_more".to_owned(), Value::Null),
            };
            assert!(!validator.is_valid(&changed), "{name}: {at} {less:?}");
        }
    }
}

#[test]
fn every_key_of_the_schemas_is_written() {
    for (name, json) in documents() {
        let json: Value = serde_json::from_str(&json).expect("JSON");
        let mut written = std::collections::BTreeSet::new();
        each_object(&json, "", &mut |_, object| written.extend(object.keys().cloned()));
        let schema = read(name);
        let mut found = Vec::new();
        objects(&schema, &mut found);
        for object in found {
            for key in object["properties"].as_object().expect("properties").keys() {
                assert!(written.contains(key), "{name}: {key} is never written");
            }
        }
    }
}

#[test]
fn unknown_values_are_null() {
    let mut report: Report = report();
    report.ledger.blocked_ns = None;
    report.ledger.not_trying_ns = None;
    report.overhead = None;
    report.power.charger_ns = None;
    report.power.drain = None;
    report.power.readings[0].capacity = None;
    report.power.readings[0].online = None;
    report.session.end_reason = None;
    report.attempts[0].wake = None;
    report.sources[0].sum.blocked_share_ns = None;
    report.sources[0].sum.blocked_sole_ns = None;
    report.sources[0].instance = None;
    report.sources[0].address_id = None;
    report.findings[0].gain_ns = None;
    hold(&validator(FILES[0]), &json::report(&report).expect("JSON"));
}

#[test]
fn every_kind_of_finding_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reports.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let schema = read(FILES[0]);
    let kinds = schema["$defs"]["finding"]["properties"]["kind"]["enum"].as_array();
    for kind in kinds.expect("kinds") {
        let kind = format!("`{}`", kind.as_str().expect("a kind"));
        let head = |row: &&&str| row.split(" | ").next().is_some_and(|head| head.contains(&kind));
        assert_eq!(rows.iter().filter(head).count(), 1, "{kind}");
    }
}
