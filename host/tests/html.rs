//! The HTML report without a browser: what the file holds. `tests/browser` has the tests of what it
//! does.

mod common;

use common::{Maker, S, everyday, file, run, stderr, stdout};
use serde_json::Value;
use sleepwalk_trace::record::Reason;

fn html(bytes: &[u8]) -> String {
    let (_dir, path) = file(bytes);
    let output = run(&["report", path.to_str().expect("UTF-8"), "--format", "html"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output)
}

/// The data of the page's script.
fn data(html: &str) -> Value {
    let (_, rest) =
        html.split_once("<script id=\"data\" type=\"application/json\">").expect("data");
    let (json, _) = rest.split_once("</script>").expect("an end");
    serde_json::from_str(json).expect("JSON")
}

/// The page without styles and scripts.
fn markup(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some(at) = rest.find("<script").into_iter().chain(rest.find("<style")).min() {
        out.push_str(&rest[..at]);
        let end = if rest[at..].starts_with("<script") { "</script>" } else { "</style>" };
        rest = rest[at..].split_once(end).expect("an end").1;
    }
    out + rest
}

#[test]
fn it_is_one_page_that_names_no_other() {
    let html = html(&everyday());
    assert!(html.starts_with("<!DOCTYPE html>"), "{}", &html[..99]);
    assert!(html.contains("content=\"default-src 'none'; script-src 'sha256-"));
    let markup = markup(&html);
    for request in [" src=", "<link", "<img", "<iframe", "http:", "https:", " style=", " on"] {
        let tag = |text: &str| text.split('>').next().is_some_and(|tag| tag.contains(request));
        assert!(!markup.split('<').any(tag), "{request}");
    }
    let links: Vec<_> = markup.match_indices("href=\"").map(|(at, _)| &markup[at + 6..]).collect();
    assert!(links.iter().all(|link| link.starts_with('#')), "{links:?}");
}

#[test]
fn the_page_has_the_data_of_the_json() {
    let html = html(&everyday());
    let (_dir, path) = file(&everyday());
    let args = ["report", path.to_str().expect("UTF-8"), "--format", "json", "--by", "name"];
    let json: Value = serde_json::from_str(&stdout(&run(&args))).expect("JSON");
    let data = data(&html);
    let attempts = json["attempts"].as_array().expect("attempts");
    let at = |column: &str| data["attempts"][column].as_array().expect("a column").clone();
    let mut start = json["session"]["start_ns"].as_u64().expect("a start") / 1_000;
    assert!(!attempts.is_empty());
    for (index, attempt) in attempts.iter().enumerate() {
        start += at("gap")[index].as_u64().expect("µs");
        let ns = |key: &str| attempt[key].as_u64().expect("ns");
        assert_eq!(start, ns("start_ns") / 1_000);
        assert_eq!(at("took")[index].as_u64(), Some(ns("end_ns") / 1_000 - start));
        assert_eq!(at("slept")[index].as_u64(), Some(ns("slept_ns") / 1_000));
        assert_eq!(at("causes")[index].as_array().map(Vec::len), {
            attempt["causes"].as_array().map(|causes| 2 * causes.len())
        });
    }
    let sources = json["sources"].as_array().expect("sources");
    for (row, source) in sources.iter().enumerate().filter(|(_, s)| s["name_hex"].is_null()) {
        let name = sleepwalk::text::escape(source["name"].as_str().expect("a name").as_bytes());
        let label = data["labels"][row].as_str().expect("a label");
        assert!(label.starts_with(&name), "{label} {name}");
        assert!(markup(&html).contains(&name), "{name}");
    }
}

#[test]
fn hostile_names_end_neither_tag_nor_script() {
    let names =
        ["</script><script>x()</script>", "<!--<script>", "\"><svg onload=x()>", "\u{2028}&amp;"];
    let mut m = Maker::new();
    let sources = names.map(|name| m.source(name.as_bytes(), 0));
    m.snapshot(Reason::Start).wait(S);
    for source in sources {
        m.activate(source).wait(S);
    }
    let html = html(&m.finish());
    let shown: Vec<_> = names.iter().map(|name| sleepwalk::text::escape(name.as_bytes())).collect();
    let data = data(&html);
    let labels = data["labels"].as_array().expect("labels");
    for name in &shown {
        assert!(labels.iter().any(|label| label == name), "{name}");
    }
    assert_eq!(html.matches("<script").count(), 2);
    assert_eq!(html.matches("</script").count(), 2);
    assert!(!html.contains("<!--") && !html.contains("<svg onload") && !html.contains('\u{2028}'));
    assert!(markup(&html).contains("&lt;/script&gt;&lt;script&gt;x()&lt;/script&gt;"));
}
