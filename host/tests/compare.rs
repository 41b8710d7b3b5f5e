//! Several reports as one or compared with each other, on reports made here.

mod common;

use common::S;
use common::full::{HOSTILE, drawn, report, shows, source, trace, with};
use common::golden;
use sleepwalk::compare::diff::{self, Diff, Group, Part, Per, Presence};
use sleepwalk::compare::merge::{MergeError, by_device, merge};
use sleepwalk::compare::{Trace, merge::Reports};
use sleepwalk::render::{self, json};
use sleepwalk::report::{Line, Outcome, Report};

/// The same device after a reboot, a day later.
fn next_day() -> Report {
    with(|r| {
        r.session.boot_id = "another".to_owned();
        r.session.start_realtime_ns.0 += 86_400 * S as i64;
        r.sources[2] = source(b"modem", 2, 30, 4, 0);
    })
}

// --- merge

fn merged(traces: Vec<Trace>) -> Reports {
    merge(traces, None).expect("one device, no overlap")
}

#[test]
fn sessions_of_one_device_are_summed_by_name() {
    let reports = merged(vec![trace("b.swk", next_day()), trace("a.swk", report())]);
    let [device] = &reports.devices[..] else { panic!("one device") };
    let totals = &device.totals;
    assert_eq!((totals.sessions, totals.boots, totals.duration_ns), (2, 2, 7_200 * S));
    let l = &totals.ledger;
    let lines = [l.blocked_ns, l.user_space_ns, l.backoff_ns, l.not_trying_ns];
    let lines = lines.map(Option::unwrap_or_default);
    let sum = l.asleep_ns + l.suspending_ns + l.resuming_ns + l.aborted_ns + l.unknown_ns;
    assert_eq!(sum + lines.iter().sum::<u64>(), totals.duration_ns);
    let attempts = &totals.attempts;
    assert_eq!((attempts[&Outcome::Slept], attempts.values().sum::<u64>()), (2, 10));
    let files: Vec<_> = device.sessions.iter().map(|s| (s.trace.as_str(), s.boot)).collect();
    assert_eq!(files, [("a.swk", 0), ("b.swk", 1)]);
    let sums: Vec<_> = totals
        .sources
        .iter()
        .map(|s| {
            (&s.name.bytes[..], s.sessions, s.sum.blocked_share_ns.map(|ns| ns / S), s.sum.aborts)
        })
        .collect();
    assert_eq!(
        sums,
        [
            (HOSTILE, 2, Some(600), 2),
            (&b"modem"[..], 1, Some(30), 4),
            (&b"wlan_rx"[..], 1, Some(60), 1),
            (&b"rtc0"[..], 2, Some(0), 0),
        ]
    );
    shows("merged", &render::pages::merged::page(&reports, 20));
}

#[test]
fn unknown_time_is_not_zero() {
    let blind = with(|r| {
        r.session.boot_id = "another".to_owned();
        r.ledger.unknown_ns = 1_600 * S;
        (r.ledger.blocked_ns, r.ledger.not_trying_ns) = (None, None);
        (r.ledger.user_space_ns, r.ledger.backoff_ns) = (None, None);
        for source in &mut r.sources {
            source.sum.blocked_share_ns = None;
        }
    });
    let both = merged(vec![trace("a", report()), trace("b", blind.clone())]);
    let totals = &both.devices[0].totals;
    assert_eq!(totals.ledger.blocked_ns, Some(360 * S));
    assert_eq!(totals.ledger.unknown_ns, 1_700 * S);
    let warnings = both.devices[0].warnings.join("\n");
    assert!(warnings.contains("blocked time is known for only 1 of 2 sessions"), "{warnings}");
    let alone = merged(vec![trace("b", blind)]);
    assert_eq!(alone.devices[0].totals.ledger.blocked_ns, None);
    assert_eq!(alone.devices[0].totals.sources[0].sum.blocked_share_ns, None);
}

#[test]
fn overlapping_traces_are_refused() {
    let twice = merge(vec![trace("a", report()), trace("b", report())], None);
    let wanted = MergeError::Overlap("a".to_owned(), "b".to_owned(), "1 h 00 m".to_owned());
    assert_eq!(twice.expect_err("the same trace"), wanted);
    let later = |by: u64| {
        with(|r| {
            r.session.start_ns.0 += by;
            r.session.end_ns.0 += by;
            r.session.start_realtime_ns.0 += by as i64;
        })
    };
    let overlap = merge(vec![trace("b", later(3_599 * S)), trace("a", report())], None);
    let wanted = MergeError::Overlap("a".to_owned(), "b".to_owned(), "1.00 s".to_owned());
    assert_eq!(overlap.expect_err("a second of both"), wanted);
    // One ends where the other starts: two sessions of one boot.
    let reports = merged(vec![trace("a", report()), trace("b", later(3_600 * S))]);
    assert_eq!((reports.devices[0].totals.sessions, reports.devices[0].totals.boots), (2, 1));
    // The same stamps, after a reboot.
    assert_eq!(merged(vec![trace("a", report()), trace("b", next_day())]).devices.len(), 1);
    // Where a boot is unknown, the date decides.
    let unknown = |by: u64| {
        trace(
            "c",
            Report {
                ..with(|r| {
                    r.session.boot_id.clear();
                    r.session.start_realtime_ns.0 += by as i64;
                })
            },
        )
    };
    assert!(merge(vec![trace("a", report()), unknown(3_599 * S)], None).is_err());
    let reports = merged(vec![trace("a", report()), unknown(3_600 * S)]);
    assert_eq!(reports.devices[0].totals.boots, 2);
    assert!(reports.devices[0].warnings.join("\n").contains("c: its boot is unknown"));
}

#[test]
fn devices_are_compared_and_never_summed() {
    let other = || with(|r| r.session.serial = "9Z".to_owned());
    let traces = || vec![trace("a", report()), trace("b", other()), trace("c", next_day())];
    let error = merge(traces(), None).expect_err("two devices").to_string();
    assert!(error.contains("traces of 2 devices (Pixel 6 @everyone 1A2B3C, "), "{error}");
    assert!(error.contains("--by device"), "{error}");
    let reports = by_device(traces(), None).expect("two devices");
    let found = reports.devices.iter().map(|d| (d.serial.as_str(), d.totals.sessions));
    assert_eq!(found.collect::<Vec<_>>(), [("1A2B3C", 2), ("9Z", 1)]);
    shows("devices", &render::pages::merged::page(&reports, 3));
    // Without serial numbers model and build identify a device; with one the build may change.
    let nameless = |build: &str| {
        with(|r| {
            r.session.serial.clear();
            r.session.fingerprint = build.to_owned();
            r.session.boot_id = build.to_owned();
        })
    };
    let count = |traces| by_device(traces, None).expect("devices").devices.len();
    assert_eq!(count(vec![trace("a", nameless("x")), trace("b", nameless("y"))]), 2);
    let mut updated = next_day();
    updated.session.fingerprint = "newer".to_owned();
    assert_eq!(count(vec![trace("a", report()), trace("b", updated)]), 1);
}

#[test]
fn top_leaves_out_and_says_so() {
    let reports = merge(vec![trace("a", report())], Some(1)).expect("one device");
    let totals = &reports.devices[0].totals;
    assert_eq!((totals.sources.len(), totals.sources_left_out), (1, 2));
}

// --- diff

fn diff(before: &[Trace], after: &[Trace]) -> Diff {
    diff::diff(before, after, Per::Session)
}

/// After the change one source is gone, another is new, and it sleeps for three quarters.
fn better() -> Report {
    with(|r| {
        r.session.boot_id = "another".to_owned();
        r.ledger.asleep_ns = 2_700 * S;
        r.ledger.blocked_ns = Some(60 * S);
        r.ledger.not_trying_ns = Some(540 * S);
        r.sources = vec![source(b"wlan_rx", 0, 60, 1, 0), source(b"nfc", 1, 0, 0, 2)];
    })
}

fn side(n: usize, report: fn() -> Report) -> Vec<Trace> {
    (0..n).map(|i| trace(&format!("{i}.swk"), report())).collect()
}

#[test]
fn a_diff_looks_like_this() {
    let diff = diff(&[trace("before.swk", report())], &[trace("after.swk", better())]);
    shows("diff", &render::pages::diff::page(&diff, 20));
    golden("diff.json", &json::pretty(&diff).expect("JSON"));
}

#[test]
fn rates_go_by_the_divisor_that_is_chosen() {
    // Half an hour awake before, a quarter after; 2,360 s and 2,960 s in which sleep was wanted.
    for (per, before, after) in [
        (Per::Session, 60e9, 60e9),
        (Per::Awake, 120e9, 240e9),
        (Per::SleepOpportunity, 60e9 * 3_600.0 / 2_360.0, 60e9 * 3_600.0 / 2_960.0),
        (Per::Attempt, 12e9, 12e9),
    ] {
        let diff = diff::diff(&[trace("a", report())], &[trace("b", better())], per);
        let blocked = find(&diff, b"wlan_rx").blocked_share_ns;
        assert_eq!(blocked.before.map(|s| s.median), Some(before), "{per:?}");
        assert_eq!(blocked.after.map(|s| s.median), Some(after), "{per:?}");
        assert_eq!(blocked.change, Some(after - before), "{per:?}");
        assert_eq!(diff.after.sleep_opportunity_ns, Some(2_960 * S));
    }
}

#[test]
fn a_source_may_be_on_one_side_only() {
    let diff = diff(&[trace("a", report())], &[trace("b", better())]);
    assert_eq!(find(&diff, b"wlan_rx").presence, Presence::Both);
    let gone = find(&diff, HOSTILE);
    assert_eq!(gone.presence, Presence::Vanished);
    assert_eq!(gone.cost_ns.after.map(|s| s.median), Some(0.0));
    assert_eq!(gone.cost_ns.change_percent, Some(-100.0));
    let new = find(&diff, b"nfc");
    assert_eq!((new.presence, new.wakes.change), (Presence::New, Some(2.0)));
    assert_eq!(new.cost_ns.change_percent, None, "nothing cannot be a hundred per cent");
    assert_eq!(diff.ledger[0].line, Part::Awake);
    assert_eq!(diff.ledger[0].percent.change, Some(-25.0));
}

fn find<'a>(diff: &'a Diff, name: &[u8]) -> &'a diff::SourceChange {
    diff.sources.iter().find(|s| *s.name.bytes == *name).expect("the source")
}

#[test]
fn a_side_of_traces_is_its_median_and_range() {
    let asleep = |s: u64| with(|r| r.ledger.asleep_ns = s * S);
    let before: Vec<_> = [0, 3_600, 1_800].map(|s| trace("b", asleep(s))).into();
    let after: Vec<_> = [1_800, 900].map(|s| trace("a", asleep(s))).into();
    let diff = diff(&before, &after);
    let line =
        diff.ledger.iter().find(|line| line.line == Part::Line(Line::Asleep)).expect("the line");
    let measured = |s: Option<diff::Spread>| s.map(|s| (s.min, s.median, s.max, s.traces));
    assert_eq!(measured(line.percent.before), Some((0.0, 50.0, 100.0, 3)));
    assert_eq!(measured(line.percent.after), Some((25.0, 37.5, 50.0, 2)));
    assert_eq!(line.percent.change, Some(-12.5));
    // A trace that was never awake has no rate per hour awake.
    let awake = diff::diff(&before, &after, Per::Awake);
    let all = awake.attempts.iter().find(|o| o.outcome == Group::All).expect("all");
    assert_eq!(all.rate.before.map(|s| s.traces), Some(2));
    shows("diff-several", &render::pages::diff::page(&awake, 20));
}

#[test]
fn differences_that_bar_comparison_are_listed() {
    let blind = || {
        with(|r| {
            (r.ledger.blocked_ns, r.ledger.not_trying_ns) = (None, None);
            r.session.kernel = "6.6.1".to_owned();
            r.session.device = "Tablet".to_owned();
            r.session.source = "debugfs".to_owned();
            r.session.end_reason = None;
            r.power.charger_ns = Some(60 * S);
            for source in &mut r.sources {
                source.sum.blocked_share_ns = None;
            }
        })
    };
    let both = diff(&side(1, report), &[trace("blind", blind())]);
    let warnings = both.warnings.join("\n");
    for warning in [
        "the devices differ: Pixel 6 @everyone 1A2B3C before, Tablet 1A2B3C after",
        "the kernels differ: 6.12.23-android16-5 before, 6.6.1 after",
        "the sources of snapshots differ: kfunc before, debugfs after",
        "blocked time is unknown in some traces",
        "after: blind: it did not end cleanly, 1 m 00 s of it on a charger",
    ] {
        assert!(warnings.contains(warning), "{warning} in {warnings}");
    }
    // Costs of different kinds are not compared, held times are; and null is not zero.
    let wlan = find(&both, b"wlan_rx");
    assert_eq!(wlan.cost_ns.change, None);
    assert_eq!(wlan.blocked_share_ns.after, None);
    assert!(wlan.blocked_share_ns.before.is_some());
    assert_eq!(wlan.held_ns.change, Some(0.0));
    let page = drawn(&render::pages::diff::page(&both, 20));
    assert!(page.contains("Sources by time held, in seconds per hour of session"), "{page}");
    let same = diff(&side(1, report), &side(1, report));
    let few = "1 trace before and 1 after are too few to separate a change in times from noise: take at \
               least 4 traces a side";
    assert_eq!(same.warnings, [few, "0.swk is on both sides"]);
    assert!(drawn(&render::pages::diff::page(&same, 20)).contains("3 sources did not change"));
}

#[test]
fn unwatched_attempts_are_not_zero() {
    let unwatched = with(|r| {
        r.session.hooks.clear();
        r.attempts.clear();
        r.ledger.asleep_ns = 0;
    });
    let diff = diff(&side(1, report), &[trace("unwatched", unwatched)]);
    assert!(diff.warnings.join("\n").contains("unwatched: suspend attempts were not recorded"));
    assert_eq!((diff.before.awake_ns, diff.after.awake_ns), (Some(1_800 * S), None));
    assert!(diff.ledger.iter().all(|line| line.percent.after.is_none()));
    assert!(diff.attempts.iter().all(|o| o.rate.after.is_none()));
    let unknown = |s: &diff::SourceChange| s.cost_ns.change.or(s.aborts.change).is_none();
    assert!(diff.sources.iter().all(unknown));
    assert!(diff.sources.iter().all(|s| s.held_ns.change == Some(0.0)));
    let page = drawn(&render::pages::diff::page(&diff, 20));
    assert!(page.contains("–"), "{page}");
}

#[test]
fn empty_sessions_can_be_compared() {
    let empty = || {
        with(|r| {
            r.session.duration_ns = 0;
            r.attempts.clear();
            r.sources.clear();
        })
    };
    let diff = diff(&[trace("a", empty())], &[trace("b", empty())]);
    assert!(diff.ledger.iter().all(|line| line.percent.change.is_none()));
    assert!(diff.warnings.iter().any(|w| w.contains("a has no length")), "{:?}", diff.warnings);
    let page = drawn(&render::pages::diff::page(&diff, 20));
    assert!(page.contains("No trace recorded them.") && page.contains("None changed."), "{page}");
}
