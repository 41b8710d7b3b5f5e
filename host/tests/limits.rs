//! Reports made here, checked against a policy.

mod common;

use common::S;
use common::full::{drawn, report, shows, trace, with};
use common::golden;
use sleepwalk::compare::check::{Check, Verdict, check};
use sleepwalk::compare::policy::Policy;
use sleepwalk::render::{self, json};
use sleepwalk::report::Report;

fn judged(policy: &str, report: Report) -> Verdict {
    let head = "[capture]\nmin_duration = \"1h\"\nmin_attempts = 5\n";
    let policy = Policy::parse(&policy.replacen("[capture]\n", head, 1)).expect("a policy");
    check("p.toml", &policy, &[trace("t.swk", report)])
}

/// The full report without time of unknown reason.
fn known() -> Report {
    with(|r| r.ledger.unknown_ns = 0)
}

fn limits(checks: &[Check]) -> Vec<(&str, Option<f64>)> {
    checks.iter().map(|check| (check.limit.as_str(), check.value)).collect()
}

#[test]
fn a_limit_breaks_only_beyond_its_value() {
    for (limit, at, below) in [
        ("[session]\nmax_awake_percent = ", 50.0, 49.9),
        ("[session]\nmax_blocked_percent = ", 10.0, 9.9),
        ("[session]\nmax_not_trying_percent = ", 25.0, 24.99),
        ("[session]\nmax_unattributed_percent = ", 1.0, 0.9),
        ("[session]\nmax_aborts_per_hour = ", 1.0, 0.9),
        ("[session]\nmax_wakes_per_hour = ", 1.0, 0.0),
        ("[each_source]\nmax_blocked_percent = ", 8.34, 8.33),
        ("[each_source]\nmax_held_percent = ", 16.67, 16.66),
        ("[each_source]\nmax_aborts_per_hour = ", 1.0, 0.5),
        ("[each_source]\nmax_wakes_per_hour = ", 1.0, 0.5),
        ("max_charger_percent = ", 0.0, -1.0),
    ] {
        let judged =
            |bound: f64| judged(&format!("confidence = 0\n[capture]\n{limit}{bound}"), known());
        let verdict = judged(at);
        assert!(verdict.passed, "{limit}{at}: {verdict:?}");
        if below >= 0.0 {
            let verdict = judged(below);
            assert!(!verdict.passed && !verdict.traces[0].broken.is_empty(), "{limit}{below}");
        }
    }
    for key in ["max_no_sleep", "max_failed"] {
        assert!(judged(&format!("[capture]\n[session]\n{key} = 1"), report()).passed);
        let verdict = judged(&format!("[capture]\n[session]\n{key} = 0"), report());
        let limit = format!("session.{key}");
        assert_eq!(limits(&verdict.traces[0].broken), [(limit.as_str(), Some(1.0))]);
    }
}

#[test]
fn a_rate_breaks_its_limit_beyond_noise_only() {
    // One abort in ten minutes is six an hour, and may be chance.
    let short = |aborts: usize| {
        with(|r| {
            r.session.duration_ns = 600 * S;
            let aborted = r.attempts[1].clone();
            r.attempts = vec![aborted; aborts];
        })
    };
    let policy = |confidence: &str| {
        let text = "[capture]\nmin_duration = \"1m\"\nmin_attempts = 1\n\
                    [session]\nmax_aborts_per_hour = 5\n";
        Policy::parse(&format!("{confidence}\n{text}")).expect("a policy")
    };
    let judged = |confidence: &str, aborts| {
        check("p.toml", &policy(confidence), &[trace("t.swk", short(aborts))])
    };
    let noise = judged("", 1);
    assert!(noise.passed && noise.traces[0].broken.is_empty());
    let [over] = &noise.traces[0].within_noise[..] else { panic!("{noise:?}") };
    assert_eq!((&over.limit[..], over.value), ("session.max_aborts_per_hour", Some(6.0)));
    assert!(over.at_least.is_some_and(|rate| (0.151..0.153).contains(&rate)), "{over:?}");
    let page = drawn(&render::pages::check::page(&noise));
    let said = "session.max_aborts_per_hour: 6 per hour, allowed at most 5 per hour; with 95 % \
                confidence at least 0.2 per hour";
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.contains("Over the limit, within noise:") && page.contains(said), "{page}");
    // Four are at least 1.09 in ten minutes, which is 6.5 an hour.
    for (confidence, aborts, passed) in [
        ("", 3, true),
        ("", 4, false),
        ("confidence = 0.99", 4, true),
        ("confidence = 0", 1, false),
        ("confidence = 0.0", 1, false),
    ] {
        let verdict = judged(confidence, aborts);
        assert_eq!(verdict.passed, passed, "{confidence} {aborts}: {verdict:?}");
        assert_eq!(verdict.traces[0].broken.is_empty(), passed);
    }
    // Where none is allowed, one is proof.
    let none = "[capture]\nmin_duration = \"1m\"\nmin_attempts = 1\n[session]\n\
                max_aborts_per_hour = 0\n";
    let none = Policy::parse(none).expect("a policy");
    assert!(!check("p.toml", &none, &[trace("t.swk", short(1))]).passed);
}

#[test]
fn unknown_time_may_break_a_limit() {
    // A tenth is blocked, and the reason is unknown for 2.8 % more.
    for (key, known) in [
        ("[session]\nmax_blocked_percent = ", 10.0),
        ("[session]\nmax_not_trying_percent = ", 900.0 / 36.0),
        ("[each_source]\nmax_blocked_percent = ", 300.0 / 36.0),
    ] {
        let judged = |bound: f64| judged(&format!("[capture]\n{key}{bound}"), report());
        let broken = judged(known - 0.1);
        assert!(!broken.passed && broken.traces[0].broken.len() == 1, "{key}: {broken:?}");
        let unsure = judged(known + 0.1);
        assert!(!unsure.passed && unsure.traces[0].broken.is_empty(), "{key}: {unsure:?}");
        let [check] = &unsure.traces[0].unknown[..] else { panic!("{key}: {unsure:?}") };
        let why = "the reason is unknown for 2.8 % of the session";
        assert_eq!(check.why.as_deref(), Some(why), "{key}");
        assert_eq!(check.source, None);
        assert!(judged(known + 2.8).passed, "{key}");
    }
    let verdict = judged("[capture]\n[session]\nmax_blocked_percent = 11\n", report());
    let page = drawn(&render::pages::check::page(&verdict));
    let said = "session.max_blocked_percent: 10 %, allowed at most 11 %, but the reason is unknown \
                for 2.8 % of the session";
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.contains(said), "{page}");
    let lenient = "unknown = \"pass\"\n[capture]\n[session]\nmax_blocked_percent = 11\n";
    assert!(judged(lenient, report()).passed);
}

#[test]
fn an_insufficient_capture_does_not_pass() {
    let broken = |report: Report| judged("[capture]\n", report).traces.remove(0).broken;
    assert_eq!(broken(report()), []);
    let short = with(|r| r.session.duration_ns -= 1);
    assert_eq!(broken(short)[0].limit, "capture.min_duration");
    let few = with(|r| drop(r.attempts.pop()));
    assert_eq!(limits(&broken(few)), [("capture.min_attempts", Some(4.0))]);
    let lossy = with(|r| r.session.lost_events = 3);
    assert_eq!(limits(&broken(lossy.clone())), [("capture.max_lost_events", Some(3.0))]);
    assert!(judged("[capture]\nmax_lost_events = 3", lossy).passed);
    let torn = with(|r| {
        r.session.end_reason = None;
        r.session.missing_chunks = 2;
    });
    let checks = broken(torn.clone());
    assert_eq!(limits(&checks), [("capture.whole", Some(2.0))]);
    let why = checks[0].why.as_deref();
    assert_eq!(why, Some("it did not end cleanly, 2 chunks missing"));
    assert!(judged("[capture]\nwhole = false", torn).passed);
    let policy = Policy::parse("[capture]\nmin_duration = \"1s\"\nmin_attempts = 0\n");
    assert!(!check("p", &policy.expect("a policy"), &[]).passed, "no trace is no pass");
}

#[test]
fn unknown_limits_fail_unless_the_policy_passes() {
    let blind = || {
        with(|r| {
            (r.ledger.blocked_ns, r.ledger.not_trying_ns) = (None, None);
            r.session.hooks.clear();
            r.power.charger_ns = None;
            for source in &mut r.sources {
                source.sum.blocked_share_ns = None;
            }
        })
    };
    let policy = "[capture]\nmax_charger_percent = 5\n[session]\nmax_awake_percent = 90\n\
                  max_blocked_percent = 90\nmax_aborts_per_hour = 90\nmax_failed = 90\n\
                  [each_source]\nmax_blocked_percent = 90\nmax_held_percent = 90\n\
                  max_wakes_per_hour = 90\n";
    assert!(judged(policy, report()).passed);
    let verdict = judged(policy, blind());
    assert!(!verdict.passed);
    let unknown = limits(&verdict.traces[0].unknown);
    // Each once, for any number of sources.
    let wanted = [
        "capture.min_attempts",
        "capture.max_charger_percent",
        "session.max_awake_percent",
        "session.max_blocked_percent",
        "session.max_aborts_per_hour",
        "session.max_failed",
        "each_source.max_blocked_percent",
        "each_source.max_wakes_per_hour",
    ];
    assert_eq!(unknown, wanted.map(|limit| (limit, None)));
    assert_eq!(verdict.traces[0].broken, []);
    let lenient = judged(&format!("unknown = \"pass\"\n{policy}"), blind());
    assert!(lenient.passed && lenient.traces[0].unknown.len() == wanted.len());
}

#[test]
fn a_source_has_its_own_limits_or_the_default() {
    let verdict = judged(
        "benign = [\"=cmd*\", \"rtc?\", \"never*\"]\n[capture]\n[each_source]\n\
         max_blocked_percent = 0\nmax_wakes_per_hour = 0\n",
        report(),
    );
    let [wlan] = &verdict.traces[0].broken[..] else { panic!("{verdict:?}") };
    assert_eq!(wlan.source.as_ref().map(|name| &name.bytes[..]), Some(&b"wlan_rx"[..]));
    assert_eq!(verdict.unused, ["never*"]);
    // The first table that matches replaces [each_source], for a benign source too.
    let verdict = judged(
        "benign = [\"wlan*\"]\n[capture]\n[each_source]\nmax_blocked_percent = 90\n\
         [[source]]\nname = \"wlan_[rt]x\"\nmax_aborts_per_hour = 0\n\
         [[source]]\nname = \"*\"\nmax_held_percent = 20\n",
        report(),
    );
    let broken = &verdict.traces[0].broken;
    assert_eq!(limits(broken), [("source[wlan_[rt]x].max_aborts_per_hour", Some(1.0))]);
}

#[test]
fn every_trace_is_judged_on_its_own() {
    let text = "[capture]\nmin_duration = \"1h\"\nmin_attempts = 1\n[session]\n\
                max_awake_percent = 40\nmax_no_sleep = 0\n[each_source]\nmax_blocked_percent = 5\n\
                [[source]]\nname = \"nobody\"\nmax_held_percent = 1\n";
    let policy = Policy::parse(text).expect("a policy");
    let good = with(|r| {
        r.ledger.asleep_ns = 3_000 * S;
        r.attempts.truncate(2);
        r.sources.truncate(0);
    });
    let mut blind = good.clone();
    blind.session.hooks.clear();
    let traces = [trace("good.swk", good), trace("bad.swk", report()), trace("blind.swk", blind)];
    let verdict = check("limits.toml", &policy, &traces);
    assert!(!verdict.passed && verdict.traces[0].broken.is_empty());
    assert!(check("limits.toml", &policy, &traces[..1]).passed);
    shows("check", &render::pages::check::page(&verdict));
    golden("check.json", &json::pretty(&verdict).expect("JSON"));
}
