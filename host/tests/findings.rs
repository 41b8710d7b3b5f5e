//! What is concluded from sessions of which one thing is true, and what is not.

mod common;

use common::{MS, Maker, S, night};
use sleepwalk::analyze::{analyze, analyze_to};
use sleepwalk::report::{By, Finding, build};
use sleepwalk_trace::record::Reason;

fn findings(bytes: &[u8]) -> Vec<Finding> {
    build(&analyze(bytes).expect("a trace"), By::Name, None).findings
}

/// The findings that say `words`.
fn that_say(findings: &[Finding], words: &str) -> Vec<Finding> {
    findings.iter().filter(|finding| finding.text.contains(words)).cloned().collect()
}

#[test]
fn a_session_in_which_nobody_tried_says_what_it_can_not_see() {
    let mut m = Maker::full();
    let usb = m.source(b"usb", 0);
    m.activate(usb).snapshot(Reason::Start).wait(600 * S);
    let found = findings(&m.finish());
    let found = that_say(&found, "Nobody asked");
    assert_eq!((found[0].severity, found[0].gain_ns), ("high", Some(600 * S)));
    assert!(found[0].text.contains("10 m 00 s (100 %)"), "{}", found[0].text);
    assert!(found[0].text.contains("usb was held for 10 m 00 s"), "{}", found[0].text);
    assert_eq!(found[0].sources, ["usb"]);
}

#[test]
fn without_edges_the_source_that_was_held_longest_is_named() {
    let mut m = Maker::new();
    let (usb, brief) = (m.source(b"usb", 0), m.source(b"brief", 0));
    m.snapshot(Reason::Start).activate(usb).wait(6 * S).relax(usb).activate(brief).wait(S);
    m.relax(brief).wait(3 * S);
    let found = findings(&m.finish());
    let found = that_say(&found, "can't be told apart");
    assert!(
        found[0].text.ends_with(" usb was held the longest, for 6.00 s (60.0 %)."),
        "{found:?}"
    );
    assert_eq!(found[0].sources, ["usb"]);
}

#[test]
fn a_blocker_that_was_never_alone_gains_nothing_alone() {
    let mut m = Maker::full();
    let (a, b) = (m.source(b"a", 0), m.source(b"b", 0));
    m.snapshot(Reason::Start).activate(a).activate(b).wait_begin(7).wait(9 * S);
    m.relax(a).relax(b).wait_end(7);
    let found = findings(&m.finish());
    let found = that_say(&found, "blocked suspend the longest");
    assert_eq!((found[0].severity, found[0].gain_ns), ("high", Some(0)));
    assert!(found[0].text.contains("4.50 s (50.0 %) of the 9.00 s blocked"), "{found:?}");
}

#[test]
fn wakes_in_step_are_a_pattern_and_others_are_not() {
    for (steps, words) in
        [([300; 5], "about every 5 m 00 s"), ([20, 300, 61, 150, 7], "ended all 5 sleeps (5 prov")]
    {
        let mut m = Maker::full();
        let alarm = m.source(b"alarm", 0);
        m.snapshot(Reason::Start);
        for step in steps {
            m.sleep(step * S, Some(alarm)).relax(alarm);
        }
        let found = findings(&m.finish());
        assert_eq!(that_say(&found, words).len(), 1, "{found:?}");
        assert_eq!(that_say(&found, "about every").is_empty(), steps[0] != 300, "{found:?}");
    }
}

#[test]
fn what_is_rare_is_no_habit() {
    let mut m = Maker::full();
    let (rare, rtc) = (m.source(b"rare", 0), m.source(b"rtc", 0));
    m.snapshot(Reason::Start);
    for round in 0..80 {
        m.sleep(S, Some(rtc)).relax(rtc).wait(3 * S);
        if round % 27 == 0 {
            m.aborted_in_sync(rare, MS);
        }
    }
    let found = findings(&m.finish());
    assert!(that_say(&found, "rare").is_empty(), "{found:?}");
    assert_eq!(that_say(&found, "rtc ended all 80 sleeps").len(), 1, "{found:?}");
}

#[test]
fn a_storm_is_attempts_that_follow_each_other_and_do_not_sleep() {
    for (pause, storm) in [(S, true), (5 * S, false)] {
        let mut m = Maker::full();
        let modem = m.source(b"modem", 0);
        m.snapshot(Reason::Start);
        for _ in 0..6 {
            m.aborted_in_sync(modem, 50 * MS).wait(pause);
        }
        let found = findings(&m.finish());
        let found = that_say(&found, "A storm of attempts, 6 in");
        assert_eq!(found.len() == 1, storm, "{found:?}");
        let whom = |f: &Finding| f.text.ends_with("none slept, and modem kept 6 of them up.");
        assert!(found.iter().all(|f| whom(f) && f.sources == ["modem"]), "{found:?}");
    }
}

#[test]
fn edges_that_nobody_counted_as_lost_are_told() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.snapshot(Reason::Start).wait(S).edge(a, false, false).wait(S);
    let found = findings(&m.finish());
    assert_eq!(that_say(&found, "1 state or count does not fit").len(), 1, "{found:?}");
}

#[test]
fn names_within_are_escaped_and_the_list_has_them_as_they_are() {
    let found = findings(&night());
    assert!(found.iter().all(|f| !f.text.contains(char::is_control)));
    let mut m = Maker::full();
    let evil = m.source(b"evil\x1b[31m\n", 0);
    m.snapshot(Reason::Start).activate(evil).wait_begin(7).wait(S).relax(evil).wait_end(7);
    let found = findings(&m.finish());
    assert!(found[0].text.starts_with("evil\\x1b[31m\\n blocked"), "{}", found[0].text);
    assert_eq!(found[0].sources, ["evil\x1b[31m\n"]);
}

#[test]
fn held_spans_are_kept_where_they_are_to_be_drawn() {
    let bytes = night();
    assert!(analyze(&bytes).expect("a trace").spans.iter().all(Vec::is_empty));
    let all = analyze_to(&bytes, true).expect("a trace");
    for source in build(&all, By::Name, None).sources {
        let held: u64 = source.spans.iter().map(|span| span.end_ns - span.start_ns).sum();
        // A drawing joins what it can't show apart.
        let grain = all.model.duration_ns() / 16_384 * (source.activations + 1);
        assert!(held >= source.held_ns && held <= source.held_ns + grain, "{}", source.name.name);
        assert!(source.spans.windows(2).all(|pair| pair[0].end_ns < pair[1].start_ns));
    }
}
