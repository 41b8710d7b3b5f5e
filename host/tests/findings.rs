//! Findings from sessions in which one thing is true.

mod common;

use common::worded::{Worded, findings, of_kind};
use common::{MS, Maker, S, night};
use sleepwalk::analyze::{analyze, analyze_to};
use sleepwalk::report::{By, Severity, build};
use sleepwalk_trace::record::Reason;

#[test]
fn a_wait_from_before_may_explain_a_quiet_session() {
    let mut m = Maker::full();
    let usb = m.source(b"usb", 0);
    m.activate(usb).snapshot(Reason::Start).wait(600 * S);
    let found = findings(&m.finish());
    assert!(of_kind(&found, "not_trying").is_empty());
    let found = of_kind(&found, "blocked_unknown");
    assert_eq!((found[0].severity, found[0].gain_ns), (Severity::High, None));
    assert!(found[0].text.contains("10 m 00 s (100 %)"), "{}", found[0].text);
    assert!(found[0].text.contains("usb was held the longest, for 10 m 00 s"), "{}", found[0].text);
    assert_eq!(found[0].sources, ["usb"]);
}

#[test]
fn unknown_blocked_time_names_the_longest_hold() {
    let mut m = Maker::new();
    let (usb, brief) = (m.source(b"usb", 0), m.source(b"brief", 0));
    m.snapshot(Reason::Start).activate(usb).wait(6 * S).relax(usb).activate(brief).wait(S);
    m.relax(brief).wait(3 * S);
    let found = findings(&m.finish());
    let found = of_kind(&found, "blocked_unknown");
    assert!(
        found[0].text.ends_with(" usb was held the longest, for 6.00 s (60.0 %)."),
        "{found:?}"
    );
    assert_eq!(found[0].sources, ["usb"]);
}

#[test]
fn a_blocker_never_alone_gains_nothing() {
    let mut m = Maker::full();
    let (a, b) = (m.source(b"a", 0), m.source(b"b", 0));
    m.snapshot(Reason::Start).activate(a).activate(b).wait_begin(7).wait(9 * S);
    m.relax(a).relax(b).wait_end(7);
    let found = findings(&m.finish());
    let found = of_kind(&found, "blocker");
    assert_eq!((found[0].severity, found[0].gain_ns), (Severity::High, Some(0)));
    assert!(found[0].text.contains("4.50 s (50.0 %) of 9.00 s blocked"), "{found:?}");
}

#[test]
fn regular_wakes_have_an_interval() {
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
        let found = of_kind(&found, "waker");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].text.contains(words), "{found:?}");
        assert_eq!(found[0].text.contains("about every"), steps[0] == 300, "{found:?}");
    }
}

#[test]
fn a_rare_abort_is_no_finding() {
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
    assert!(of_kind(&found, "aborter").is_empty(), "{found:?}");
    let found = of_kind(&found, "waker");
    assert!(found.len() == 1 && found[0].text.starts_with("rtc ended all 80 sleeps"), "{found:?}");
}

#[test]
fn attempts_in_quick_succession_are_a_storm() {
    for (pause, storm) in [(S, true), (5 * S, false)] {
        let mut m = Maker::full();
        let modem = m.source(b"modem", 0);
        m.snapshot(Reason::Start);
        for _ in 0..6 {
            m.aborted_in_sync(modem, 50 * MS).wait(pause);
        }
        let found = findings(&m.finish());
        let found = of_kind(&found, "storm");
        assert_eq!(found.len() == 1, storm, "{found:?}");
        for Worded { text, sources, .. } in &found {
            assert!(text.starts_with("A storm of attempts, 6 in"), "{text}");
            assert!(
                text.ends_with("none slept, and modem kept 6 of them from sleeping."),
                "{text}"
            );
            assert_eq!(*sources, ["modem"]);
        }
    }
}

#[test]
fn uncounted_losses_are_reported() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.snapshot(Reason::Start).wait(S).edge(a, false, false).wait(S);
    let found = findings(&m.finish());
    let found = of_kind(&found, "lost");
    assert!(found[0].text.contains("1 snapshot or counter contradicts"), "{found:?}");
}

#[test]
fn only_the_text_escapes_names() {
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
fn held_spans_are_kept_for_drawings() {
    let bytes = night();
    assert!(
        analyze(&bytes).expect("a trace").sources.values().all(|source| source.spans.is_empty())
    );
    let all = analyze_to(&bytes, true).expect("a trace");
    for source in build(&all, By::Name, None).sources {
        let held: u64 = source.spans.iter().map(|span| span.end_ns.since(span.start_ns)).sum();
        // A drawing joins spans that are too close to show.
        let grain = all.model.duration_ns() / 16_384 * (source.sum.activations + 1);
        let held_ns = source.sum.held_ns;
        assert!(held >= held_ns && held <= held_ns + grain, "{}", source.name.text());
        assert!(source.spans.windows(2).all(|pair| pair[0].end_ns < pair[1].start_ns));
    }
}
