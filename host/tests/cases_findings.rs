//! Findings on cases from the field, and on others of their kinds.

mod common;

use std::path::Path;

use common::worded::{Worded, findings, none, only};
use common::{MS, Maker, S};
use sleepwalk::report::Severity;
use sleepwalk_trace::record::Reason;

fn case(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    std::fs::read(path.with_extension("swk")).expect("a case")
}

/// `n` attempts in Android's loop that `name` aborts, with the back-off that follows each.
fn backed_off(m: &mut Maker, source: u32, backoffs: impl IntoIterator<Item = u64>) {
    for backoff in backoffs {
        m.wait_begin(412).wait(MS).wait_end(412).wait(MS).save_by(412, true).wait(MS);
        m.aborted_in_sync(source, 50 * MS).wait(backoff);
    }
    m.wait_begin(412).wait(MS).wait_end(412);
}

/// Android's back-off: doubled after each attempt that did not sleep, up to a minute.
fn doubled(n: u32) -> impl Iterator<Item = u64> {
    (0..n).map(|nth| ((100 * MS) << nth).min(60 * S))
}

#[test]
fn back_off_does_not_end_a_storm() {
    let bytes = case("s13_storm_backoff");
    let storm = only(&bytes, "storm");
    assert!(storm.text.starts_with("A storm of attempts, 12 in "), "{storm:?}");
    assert!(storm.text.ends_with("wlan kept 12 of them from sleeping."), "{storm:?}");
    let backoff = only(&bytes, "backoff");
    assert_eq!(
        (backoff.severity, &backoff.sources[..]),
        (Severity::High, &["wlan".to_owned()][..])
    );
    let aborter = only(&bytes, "aborter");
    assert!(aborter.text.contains("12 of 12 attempts") && aborter.text.contains("of back-off"));
    // The time is the aborter's, and counts once.
    let gains = [&aborter, &backoff, &storm].map(|finding| finding.gain_ns.unwrap_or(0) / S);
    assert!(gains[0] >= 222 && gains[1..] == [0, 0], "{gains:?}");
    none(&bytes, "not_trying");
}

#[test]
fn a_pause_or_a_sleep_ends_a_storm() {
    for (pause, attempts) in [(100 * MS, Some("10 in")), (90 * S, None)] {
        let mut m = Maker::full();
        let modem = m.source(b"modem", 0);
        m.snapshot(Reason::Start);
        backed_off(&mut m, modem, doubled(4));
        m.wait(pause);
        backed_off(&mut m, modem, doubled(4).chain([100 * MS; 2]));
        let bytes = m.finish();
        match attempts {
            Some(words) => assert!(only(&bytes, "storm").text.contains(words)),
            // The first four are too few.
            None => assert!(only(&bytes, "storm").text.contains(", 6 in")),
        }
    }
    let mut m = Maker::full();
    let modem = m.source(b"modem", 0);
    m.snapshot(Reason::Start);
    backed_off(&mut m, modem, doubled(4));
    m.sleep(S, None);
    backed_off(&mut m, modem, doubled(4));
    none(&m.finish(), "storm");
}

#[test]
fn a_user_space_wakelock_is_named_as_such() {
    let bytes = case("s19_user_wakelock_after_wait");
    let found = only(&bytes, "user_space");
    assert_eq!((found.severity, found.gain_ns), (Severity::High, Some(300 * S)));
    assert!(found.text.starts_with("For 5 m 00 s (") && found.text.contains("dumpsys power"));
    none(&bytes, "not_trying");
}

#[test]
fn a_session_without_an_attempt_points_at_no_source() {
    let bytes = case("06_app_wakelock_quiet");
    let found = only(&bytes, "not_trying");
    assert_eq!(found.sources, [""; 0]);
    assert!(found.text.contains("1 h 00 m (100 %)") && found.text.contains("user-space wakelock"));
    let all = findings(&bytes);
    assert!(all.iter().all(|f| !f.text.contains("may have been waiting")), "{all:#?}");
}

#[test]
fn time_that_nobody_is_charged_with_is_a_finding() {
    let found = only(&case("m04_wait_nobody"), "unattributed");
    assert_eq!((found.severity, found.gain_ns), (Severity::High, None));
    assert!(found.text.starts_with("40.0 s (66.7 %) is charged to no source: 40.0 s blocked"));
    // Aborts without a suspect are another part of it; a little of either is none.
    let mut m = Maker::full();
    let odd = m.source(b"odd", 0);
    m.snapshot(Reason::Start);
    for _ in 0..3 {
        m.wait(S).entered_sync(1).wait(2 * S).returned(-16).wait(S).commit();
    }
    let found = only(&m.cut(), "unattributed");
    assert!(found.text.contains("6.00 s for 3 attempts without a known cause"), "{found:?}");
    m.activate(odd).wait(2_000 * S).relax(odd);
    none(&m.finish(), "unattributed");
}

#[test]
fn devices_and_freezes_are_findings() {
    for (name, kind, words) in [
        ("s22_driver_fails", "device_failed", "1d84000.ufshc failed 5 of 5 attempts"),
        ("04_driver_etimedout", "device_failed", "with -110 ETIMEDOUT"),
        ("02b_freeze_failure", "freeze_timeout", "Tasks did not freeze in 3 of 3 attempts"),
    ] {
        let bytes = case(name);
        assert!(only(&bytes, kind).text.contains(words), "{name}");
        for other in ["aborter", "failed", "unslept"] {
            none(&bytes, other);
        }
    }
}

/// A trace that ends this deep in an attempt.
fn dies_in(last: &str, asleep_ns: Option<u64>) -> Maker {
    let mut m = Maker::full();
    m.snapshot(Reason::Start).wait(60 * S).down(3, last);
    if let Some(ns) = asleep_ns {
        m.phase("machine_suspend", 3, true).wait(ns);
    } else {
        m.phase(last, 2, true);
    }
    m
}

#[test]
fn a_trace_that_ends_in_an_attempt_names_the_stage() {
    for (last, stage) in [
        ("sync_filesystems", "at the stage sync (sync_filesystems) or later"),
        ("freeze_processes", "at the stage freeze (freeze_processes) or later"),
        ("dpm_suspend", "at the stage suspend (dpm_suspend) or later"),
        ("dpm_suspend_noirq", "at the stage suspend noirq (dpm_suspend_noirq) or later"),
    ] {
        let found = only(&dies_in(last, None).cut(), "died_suspending");
        assert_eq!(found.severity, Severity::High);
        assert!(found.text.contains(stage), "{last}: {found:?}");
        assert!(found.text.contains("1 m 00 s into the session"), "{found:?}");
    }
    for asleep_ns in [0, 300 * S] {
        let found = only(&dies_in("", Some(asleep_ns)).cut(), "died_suspending");
        assert!(found.text.contains("died asleep or on its way back"), "{found:?}");
    }
    none(&dies_in("dpm_suspend", None).finish(), "died_suspending");
    let mut m = dies_in("dpm_suspend", None);
    none(&m.returned(-16).cut(), "died_suspending");
    none(&m.wait(S).wait_begin(412).cut(), "died_suspending");
}

#[test]
fn refused_writes_are_counted() {
    let mut m = Maker::full();
    let [often, once] = [&b"often"[..], b"once"].map(|name| m.source(name, 0));
    m.snapshot(Reason::Start);
    for round in 0..500 {
        let source = if round == 7 { once } else { often };
        m.wait_begin(412).wait(MS).wait_end(412).activate(source).wait(MS);
        m.save_by(412, false).relax(source).wait(97 * MS);
    }
    let bytes = m.finish();
    let found = only(&bytes, "count_refused");
    assert!(found.text.contains("refused 500 writes of wakeup_count"), "{found:?}");
    assert!(found.text.contains("often was active for 499 of them"), "{found:?}");
    assert_eq!((found.severity, &found.sources[..]), (Severity::High, &["often".to_owned()][..]));
    none(&bytes, "not_trying");
}

#[test]
fn many_aborters_are_a_finding_together() {
    let mut m = Maker::full();
    let sources: Vec<u32> = (0..60).map(|n| m.source(format!("s{n:02}").as_bytes(), 0)).collect();
    let rtc = m.source(b"rtc", 0);
    m.snapshot(Reason::Start);
    for round in 0..100 {
        m.wait(10 * S).sleep(S, Some(rtc)).relax(rtc);
        if round % 2 == 0 {
            m.wait(10 * S).aborted_in_sync(sources[round / 2 % 40], 50 * MS);
        }
    }
    let bytes = m.finish();
    none(&bytes, "aborter");
    let found = only(&bytes, "unslept");
    let Worded { text, sources, .. } = &found;
    assert!(text.starts_with("50 of 150 attempts did not sleep"), "{text}");
    assert!(text.contains("(50 aborted): 40 sources"), "{text}");
    assert_eq!(sources[..], ["s00", "s01", "s02"]);
    // Gains of the time are not counted twice by a source that is found on its own.
    let mut m = Maker::full();
    let modem = m.source(b"modem", 0);
    m.snapshot(Reason::Start);
    for _ in 0..30 {
        m.wait(10 * S).aborted_in_sync(modem, 50 * MS);
    }
    none(&m.finish(), "unslept");
}

#[test]
fn an_interrupt_that_aborts_is_named() {
    let mut m = Maker::full();
    m.arms = false;
    m.snapshot(Reason::Start);
    for _ in 0..6 {
        m.wait(10 * S).down(1, "dpm_suspend_noirq").woken_by(23, "gpio-keys").wait(MS);
        m.up().returned(-16).wait(MS).snapshot(Reason::AttemptEnd).commit();
    }
    let bytes = m.finish();
    let found = only(&bytes, "aborter");
    assert!(found.text.starts_with("gpio-keys kept 6 of 6 attempts from sleeping (6 proven)"));
    assert_eq!(found.severity, Severity::High);
    none(&bytes, "unslept");
    none(&bytes, "unattributed");
}

#[test]
fn attempts_without_a_return_are_no_secret() {
    let mut m = Maker::hooked(&[("phase", "tp_btf"), ("edge", "tp_btf"), ("wait", "fexit")]);
    m.snapshot(Reason::Start);
    for _ in 0..5 {
        m.wait(10 * S).phase("suspend_enter", 1, true).wait(S);
        m.phase("sync_filesystems", 0, true).wait(S);
    }
    m.wait(S);
    let found = only(&m.finish(), "unslept");
    assert!(found.text.contains("for 5 no cause is known"), "{found:?}");
}

/// Ten sleeps of a minute, each with 24 s awake after it; in Android's loop or without one.
fn ten_sleeps(in_loop: bool) -> Maker {
    let mut m = Maker::full();
    m.arms = false;
    let alarm = m.source(b"alarm", 0);
    m.snapshot(Reason::Start);
    for _ in 0..10 {
        if in_loop {
            m.wait_begin(412).wait(MS).wait_end(412).wait(MS).save_by(412, true).wait(MS);
        }
        m.sleep(60 * S, Some(alarm)).relax(alarm).wait(24 * S);
    }
    m
}

#[test]
fn time_after_wakes_is_gained_once() {
    for (in_loop, kind) in [(false, "not_trying"), (true, "backoff")] {
        let bytes = ten_sleeps(in_loop).finish();
        let waker = only(&bytes, "waker");
        assert!(waker.text.contains("it was held for 70.0 ms in all"), "{waker:?}");
        let rest = only(&bytes, kind);
        assert!(in_loop || rest.text.contains(", 4 m 00 s of that after wakes"), "{rest:?}");
        let gains = [&waker, &rest].map(|finding| finding.gain_ns.unwrap_or(0) / S);
        assert!(gains[0] == 240 && gains[1] <= 1, "{rest:?}");
    }
}

#[test]
fn a_hook_that_never_fired_is_a_finding() {
    let mut m = ten_sleeps(false);
    let alarm = m.source(b"modem", 0);
    for _ in 0..3 {
        m.save_by(412, true).wait(MS).sleep(S, Some(alarm)).relax(alarm);
    }
    let found = only(&m.finish(), "dead_hook");
    assert!(found.text.contains("1 hook of 6 never fired") && found.text.contains(": wait."));
    none(&ten_sleeps(true).finish(), "dead_hook");
}

/// Ten hours from 10:00:11 UTC on, asleep except for a minute each hour; in the fourth full hour a source
/// blocks for half of it.
fn nightly() -> Vec<u8> {
    let mut m = Maker::full();
    let [alarm, modem] = [&b"alarm"[..], b"modem"].map(|name| m.source(name, 0));
    m.snapshot(Reason::Start);
    for hour in 0..10 {
        m.sleep(3_540 * S - m.now % S, Some(alarm)).relax(alarm).wait(S);
        if hour == 3 {
            m.wait_begin(412).activate(modem).wait(1_800 * S).relax(modem).wait_end(412);
        }
        m.wait(59 * S);
    }
    m.finish()
}

#[test]
fn the_worst_hour_has_a_date_and_a_culprit() {
    let bytes = nightly();
    let found = only(&bytes, "worst_hour");
    assert!(found.text.contains("2026-03-01 14:00:00 UTC, 4 h 00 m into"), "{found:?}");
    assert!(
        found.text.contains("mostly by modem (") && found.text.contains(" blocked"),
        "{found:?}"
    );
    assert_eq!(found.sources, ["modem"]);
    let hold = only(&bytes, "longest_hold");
    assert!(
        hold.text.contains("modem was held the longest without a break: 30 m 00 s"),
        "{hold:?}"
    );
    assert!(hold.text.contains(" UTC, "), "{hold:?}");
    // Hours that are alike have no worst, and two have none either.
    let mut m = Maker::full();
    m.snapshot(Reason::Start).wait(10 * 3_600 * S);
    none(&m.finish(), "worst_hour");
}
