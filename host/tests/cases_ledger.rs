//! Traces made by hand after what people reported, and others of the same kinds: where the time went.

mod common;

use common::{MS, Maker, S, SUSPENDER};
use sleepwalk::analyze::{Analysis, analyze};
use sleepwalk::compare::check;
use sleepwalk::compare::policy::Policy;
use sleepwalk::report::{By, Evidence, Outcome, Source, build};
use sleepwalk_trace::record::{Reason, Record, Waiters};

fn checked(bytes: &[u8]) -> Analysis {
    let all = analyze(bytes).expect("a trace");
    assert_eq!(all.ledger.total_ns(), all.model.duration_ns(), "{:?}", all.ledger);
    all
}

fn case(name: &str) -> Analysis {
    let path = format!("{}/tests/cases/{name}.swk", env!("CARGO_MANIFEST_DIR"));
    checked(&std::fs::read(path).expect("the case"))
}

fn named(all: &Analysis, name: &str) -> Source {
    let report = build(all, By::Name, None);
    report.sources.into_iter().find(|s| s.name.text() == name).expect("the source")
}

/// The verdict of a policy by which nothing may block.
fn verdict(all: &Analysis) -> check::Verdict {
    let policy = Policy::parse(
        "[capture]\nmin_duration = \"1s\"\nmin_attempts = 0\n[session]\nmax_blocked_percent = 0\n",
    )
    .expect("a policy");
    let trace = common::full::trace("t.swk", build(all, By::Name, None));
    check::check("p.toml", &policy, &[trace])
}

fn waiters(m: &mut Maker, threads: &[u32]) {
    let threads = threads.to_vec();
    let how = "wchan".to_owned();
    m.push(Record::Waiters(Waiters { how, threads, seen: 100, ..Waiters::default() }));
}

#[test]
fn a_stuck_source_may_have_blocked_all_along() {
    let all = case("s03_stuck_before_capture");
    assert_eq!((all.ledger.unknown_ns, all.ledger.not_trying_ns), (600 * S, Some(0)));
    let verdict = verdict(&all);
    assert!(!verdict.passed && !verdict.traces[0].unknown.is_empty(), "{verdict:?}");
}

#[test]
fn a_waiter_found_at_the_start_was_blocked() {
    for (threads, blocked_s, not_trying_s) in [(&[412][..], 600, 1), (&[], 0, 601)] {
        let mut m = Maker::full();
        let stuck = m.source(b"stuck_ws", 0);
        m.activate(stuck).snapshot(Reason::Start);
        waiters(&mut m, threads);
        m.wait(600 * S).relax(stuck).wait(S);
        let all = checked(&m.finish());
        assert_eq!(all.ledger.blocked_ns, Some(blocked_s * S));
        assert_eq!(all.ledger.not_trying_ns, Some(not_trying_s * S));
        assert_eq!(all.ledger.unknown_ns, 0);
        assert_eq!(named(&all, "stuck_ws").sum.blocked_sole_ns, Some(blocked_s * S));
    }
}

#[test]
fn a_found_waiter_goes_on_after_a_moment() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.activate(a).snapshot(Reason::Start);
    waiters(&mut m, &[412]);
    // The thread does not run before the source is active again.
    m.wait(S).relax(a).wait(MS).activate(a).wait(S).relax(a).wait(MS).save_by(412, true).wait(S);
    let all = checked(&m.finish());
    assert_eq!(all.ledger.blocked_ns, Some(2 * S + MS));
    assert_eq!(all.waits[0].end_ns.since(all.waits[0].start_ns), 2 * S + MS);
    assert_eq!(all.ledger.unattributed_ns, MS);
}

#[test]
fn a_thread_in_the_freezer_does_not_wait() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.arms = false;
    m.activate(a).snapshot(Reason::Start);
    waiters(&mut m, &[412]);
    m.wait(3 * S).down(1, "dpm_prepare").up().returned(-16).wait(S);
    let all = checked(&m.finish());
    assert_eq!(all.ledger.blocked_ns, Some(3 * S));
    assert_eq!(all.ledger.not_trying_ns, Some(S));
}

#[test]
fn a_source_at_rest_proves_that_nobody_waits() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.activate(a).snapshot(Reason::Start).wait(7 * S).relax(a).wait(S).activate(a).wait(4 * S);
    let all = checked(&m.finish());
    assert_eq!((all.ledger.unknown_ns, all.ledger.not_trying_ns), (7 * S, Some(5 * S)));
}

#[test]
fn the_suspender_did_not_wait_before_it_came() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.activate(a).snapshot(Reason::Start).wait(5 * S).wait_begin(412).wait(2 * S).relax(a);
    m.wait_end(412).save_by(412, true).down(1, "dpm_prepare").up().returned(-16);
    let all = checked(&m.finish());
    assert_eq!((all.ledger.unknown_ns, all.ledger.blocked_ns), (5 * S, Some(2 * S)));
}

#[test]
fn another_reader_hides_no_waiter() {
    let mut m = Maker::full();
    let stuck = m.source(b"stuck", 0);
    m.activate(stuck).snapshot(Reason::Start).wait(300 * S).wait_begin(9).wait(S);
    m.push(Record::WaitEnd(sleepwalk_trace::record::WaitEnd { thread: 9, idle: false }));
    m.wait(299 * S);
    let all = checked(&m.finish());
    assert_eq!((all.ledger.unknown_ns, all.ledger.blocked_ns), (599 * S, Some(S)));
}

#[test]
fn a_quiet_hour_with_a_short_hold_is_user_space() {
    let all = case("06_app_wakelock_quiet");
    assert_eq!((all.ledger.unknown_ns, all.ledger.not_trying_ns), (0, Some(3_600 * S)));
}

#[test]
fn back_off_is_charged_to_what_aborted() {
    let all = case("s13_storm_backoff");
    let backoff_ns = all.ledger.backoff_ns.expect("waits");
    assert!((222 * S..224 * S).contains(&backoff_ns), "{backoff_ns}");
    assert_eq!(named(&all, "wlan").sum.after_abort_ns, backoff_ns);
    assert_eq!(all.ledger.unattributed_ns, 12 * MS, "waits without a source");
}

#[test]
fn a_refused_write_backs_off_too() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.snapshot(Reason::Start).wait(S);
    for _ in 0..500 {
        m.wait_begin(412).wait_end(412).wait(MS).activate(a).wait(MS).relax(a).save_by(412, false);
        m.wait(97 * MS);
    }
    m.wait_begin(412).wait_end(412).save_by(412, true).down(1, "dpm_prepare").up().returned(-16);
    let all = checked(&m.finish());
    assert_eq!((all.refusals.len(), all.attempts[0].save_refused), (500, 500));
    assert_eq!(all.ledger.backoff_ns, Some(500 * 97 * MS));
    assert_eq!(all.ledger.user_space_ns, Some(500 * 2 * MS));
    assert_eq!(named(&all, "a").sum.after_abort_ns, 500 * 97 * MS);
    assert_eq!(all.ledger.not_trying_ns, Some(S));
}

#[test]
fn user_space_was_not_ready() {
    let all = case("s19_user_wakelock_after_wait");
    assert_eq!(all.ledger.user_space_ns, Some(300 * S));
}

#[test]
fn a_reader_that_never_suspends_is_not_user_space() {
    let mut m = Maker::full();
    m.snapshot(Reason::Start).wait_begin(9).wait_end(9).wait(60 * S).wait_begin(9).wait_end(9);
    m.wait(S);
    let all = checked(&m.finish());
    assert_eq!((all.ledger.user_space_ns, all.ledger.not_trying_ns), (Some(0), Some(61 * S)));
}

#[test]
fn steps_across_a_loss_are_unknown() {
    let mut m = Maker::full();
    m.snapshot(Reason::Start).wait_begin(412).wait_end(412).wait(2 * S).lost(1).wait(S);
    m.snapshot(Reason::Lost).wait(3 * S).save_by(412, true).wait(S);
    let all = checked(&m.finish());
    assert_eq!(all.ledger.user_space_ns, Some(0));
    // Before the loss: ready. After it, up to the snapshot: perhaps waiting.
    assert_eq!((all.ledger.unknown_ns, all.ledger.not_trying_ns), (3 * S, Some(4 * S)));
}

#[test]
fn a_loss_resumes_a_wait() {
    let all = case("x_lost_then_end");
    assert_eq!((all.ledger.blocked_ns, all.ledger.unknown_ns), (Some(499 * S), S));
    assert_eq!(named(&all, "modem").sum.blocked_sole_ns, Some(499 * S));
}

#[test]
fn what_a_ring_dropped_is_asleep_or_unknown() {
    let all = case("x_ring_old");
    assert!(all.ledger.not_trying_ns < Some(2 * S), "{:?}", all.ledger);
    assert!(all.ledger.asleep_ns >= 17_980 * S && !all.model.complete());
}

#[test]
fn a_gap_ends_a_wait() {
    // That the exports agree is tested in `holds.rs`.
    let all = case("s25_gap_mid_wait");
    assert_eq!(named(&all, "A").sum.held_ns, 8 * S);
    let start = all.model.start;
    let waits = all.waits.iter().map(|w| (w.start_ns.since(start), w.end_ns.since(start)));
    assert_eq!(waits.collect::<Vec<_>>(), [(S, S), (9 * S, 9 * S), (10 * S, 11 * S)]);
}

#[test]
fn an_rtc_that_adds_the_sleep_late_is_believed() {
    let all = case("01_rtc_injected_sleep");
    assert!(all.attempts.iter().all(|a| a.outcome == Outcome::Slept && a.causes.is_empty()));
    assert_eq!((all.attempts.len(), all.ledger.asleep_ns), (5, 300 * S));
    assert_eq!((all.ledger.aborted_ns, all.clock_conflict_ns), (0, 0));
}

#[test]
fn clocks_show_sleep_without_hooks() {
    let mut m = Maker::hooked(&[]);
    m.source(b"a", 0);
    m.snapshot(Reason::Start);
    for _ in 0..60 {
        m.wait(60 * S);
        m.suspended += 50 * S;
        m.snapshot(Reason::Tick);
    }
    let all = checked(&m.finish());
    assert_eq!((all.ledger.asleep_ns, all.ledger.unknown_ns), (3_000 * S, 600 * S));
    assert_eq!(all.clock_conflict_ns, 0);
}

#[test]
fn sleep_that_no_phase_shows_is_a_conflict() {
    let mut m = Maker::full();
    m.source(b"a", 0);
    m.snapshot(Reason::Start).wait(100 * S);
    m.suspended += 60 * S;
    m.snapshot(Reason::Tick);
    let all = checked(&m.finish());
    assert_eq!((all.ledger.asleep_ns, all.ledger.not_trying_ns), (60 * S, Some(40 * S)));
    assert_eq!(all.clock_conflict_ns, 60 * S);
}

#[test]
fn a_wake_costs_both_ways() {
    let all = case("n02_resume_cost");
    let report = build(&all, By::Name, None);
    assert_eq!(report.sources[0].name.text(), "alarm");
    assert!(report.sources[0].sum.cost_ns >= 60 * S);
    // The first way down was not made necessary by a wake.
    assert_eq!(report.sources[0].sum.resume_ns, 99 * S + S / 2);
}

#[test]
fn an_attempt_without_a_write_blames_no_source() {
    let all = case("02_driver_ebusy");
    assert_eq!(named(&all, "axp20x-usb").sum.aborts, 0);
    assert!(all.attempts.iter().all(|a| a.armed == Some(false) && a.causes.is_empty()));
}

#[test]
fn a_write_arms_one_attempt() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.arms = false;
    m.snapshot(Reason::Start).wait(2 * S).save_by(SUSPENDER, true).down(1, "dpm_suspend_late");
    m.activate(a)
        .wait(MS)
        .up()
        .returned(-16)
        .wait(S)
        .down(1, "dpm_suspend_late")
        .up()
        .returned(-16);
    let all = checked(&m.finish());
    let found: Vec<_> = all.attempts.iter().map(|a| (a.armed, a.causes.len())).collect();
    assert_eq!(found, [(Some(true), 1), (Some(false), 0)]);
    assert_eq!(all.attempts[0].causes[0].evidence, Evidence::Proven);
}

#[test]
fn a_failed_freeze_leaves_the_count_armed() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.arms = false;
    m.snapshot(Reason::Start).wait(2 * S).save_by(SUSPENDER, true);
    m.phase("suspend_enter", 1, true).phase("sync_filesystems", 0, true).wait(MS).returned(-5);
    m.wait(S).down(1, "dpm_suspend_late").activate(a).wait(MS).up().returned(-16);
    let all = checked(&m.finish());
    let found: Vec<_> = all.attempts.iter().map(|a| (a.armed, a.causes.len())).collect();
    assert_eq!(found, [(Some(true), 0), (Some(true), 1)]);
}

#[test]
fn a_hold_from_before_counts_from_the_start() {
    // The first snapshot comes a moment after the first record, with or without an edge in between.
    for (edge, activated_s) in [(false, 0), (true, 0), (false, 5), (true, 5)] {
        let mut m = Maker::full();
        let [a, b] = ["a", "b"].map(|name| m.source(name.as_bytes(), 0));
        m.edges = false;
        m.now -= activated_s * S;
        m.activate(a);
        m.edges = true;
        m.now += activated_s * S;
        m.wait(10 * MS);
        if edge {
            m.activate(b).wait(5 * MS).relax(b);
        } else {
            m.wait(5 * MS);
        }
        m.wait(25 * MS).snapshot(Reason::Start).wait(S).relax(a).wait(S);
        let all = checked(&m.finish());
        assert_eq!(named(&all, "a").sum.held_ns, S + 40 * MS, "{edge} {activated_s}");
        assert_eq!(named(&all, "b").sum.held_ns, u64::from(edge) * 5 * MS);
    }
}

#[test]
fn forty_seconds_are_charged_to_nobody() {
    let all = case("m04_wait_nobody");
    assert_eq!((all.ledger.blocked_ns, all.ledger.unattributed_ns), (Some(40 * S), 40 * S));
}
