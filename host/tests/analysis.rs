//! Attempts and sources out of event orders that the kernel is known to produce.

mod common;

use common::{MS, Maker, S};
use sleepwalk::analyze::{Analysis, analyze};
use sleepwalk::report::{Attempt, Evidence, Mode, Outcome, Source, Stage};
use sleepwalk_trace::record::{Reason, Record, SuspendReturn};

fn analysis(m: &mut Maker) -> Analysis {
    analyze(&m.finish()).expect("a trace")
}

fn attempts(m: &mut Maker) -> Vec<Attempt> {
    analysis(m).attempts
}

fn only(m: &mut Maker) -> Attempt {
    let attempts = attempts(m);
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    attempts[0].clone()
}

fn source(m: &mut Maker, instance: u32) -> Source {
    analysis(m).sources[&instance].clone()
}

fn maker() -> Maker {
    let mut m = Maker::new();
    m.wait(S);
    m
}

#[test]
fn s2idle_sleeps_within_machine_suspend() {
    let mut m = maker();
    let rtc = m.source(b"rtc0", 0);
    m.snapshot(Reason::Start).wait(S).sleep(7 * S, Some(rtc));
    m.wait(3 * S);
    let all = analysis(&mut m);
    let attempt = &all.attempts[0];
    assert_eq!((attempt.outcome, attempt.stage), (Outcome::Slept, Stage::Machine));
    assert_eq!((attempt.mode, attempt.errno, attempt.s2idle_entries), (Mode::S2idle, Some(0), 1));
    assert_eq!(attempt.slept_ns, 7 * S);
    assert_eq!(all.ledger.asleep_ns, 7 * S);
    assert_eq!(
        (attempt.waker().map(|source| source.instance), attempt.wake.as_ref().map(|w| w.evidence)),
        (Some(rtc), Some(Evidence::Likely))
    );
    assert_eq!((all.sources[&0].sum.wakes, all.sources[&0].sum.after_wake_ns), (1, 3 * S + MS));
}

#[test]
fn s2idle_reentries_sleep_in_between() {
    let mut m = maker();
    m.snapshot(Reason::Start).down(1, "");
    for _ in 0..3 {
        m.phase("machine_suspend", 1, true).wait(2 * S).phase("machine_suspend", 1, false).wait(MS);
    }
    m.up().returned(0);
    let attempt = only(&mut m);
    assert_eq!((attempt.outcome, attempt.s2idle_entries), (Outcome::Slept, 3));
    assert_eq!(attempt.slept_ns, 6 * S);
}

#[test]
fn success_with_a_wakeup_pending_is_no_sleep() {
    let mut m = maker();
    let wlan = m.source(b"wlan", 0);
    m.snapshot(Reason::Start).down(1, "").activate(wlan);
    m.phase("machine_suspend", 1, true).wait(30_000).phase("machine_suspend", 1, false);
    m.up().returned(0).snapshot(Reason::AttemptEnd);
    let attempt = only(&mut m);
    assert_eq!((attempt.outcome, attempt.slept_ns), (Outcome::NoSleep, 0));
    assert_eq!(attempt.causes.len(), 1);
    assert_eq!(attempt.causes[0].evidence, Evidence::Likely);
}

#[test]
fn a_stopped_clock_shows_deep_sleep() {
    let mut m = maker();
    m.snapshot(Reason::Start).down(3, "");
    m.phase("syscore_suspend", 0, true).phase("syscore_suspend", 0, false);
    // The kernel's clock stops from here to within syscore_resume.
    m.phase("machine_suspend", 3, true).phase("machine_suspend", 3, false);
    m.phase("syscore_resume", 0, true).wait(60 * S).phase("syscore_resume", 0, false);
    m.suspended += 60 * S;
    m.up().returned(0);
    let attempt = only(&mut m);
    assert_eq!((attempt.mode, attempt.outcome), (Mode::Deep, Outcome::Slept));
    assert_eq!(attempt.slept_ns, 60 * S);
}

#[test]
fn a_platform_that_refuses_deep_sleep_failed() {
    let mut m = maker();
    m.snapshot(Reason::Start).down(3, "");
    m.phase("machine_suspend", 3, true).phase("machine_suspend", 3, false);
    m.phase("syscore_resume", 0, true).wait(5 * MS).phase("syscore_resume", 0, false);
    m.up().returned(-22);
    assert_eq!(only(&mut m).outcome, Outcome::Failed);
}

#[test]
fn the_stage_is_that_of_the_last_phase_begun() {
    let stages = [
        ("freeze_processes", Stage::Prepare),
        ("dpm_prepare", Stage::DpmPrepare),
        ("dpm_suspend", Stage::DpmPrepare),
        ("dpm_suspend_late", Stage::Suspend),
        ("dpm_suspend_noirq", Stage::SuspendLate),
        ("", Stage::SuspendNoirq),
    ];
    for (last, stage) in stages {
        let mut m = maker();
        m.snapshot(Reason::Start).down(1, last).returned(-16);
        assert_eq!(only(&mut m).stage, stage, "before {last}");
    }
    for (phases, stage) in
        [(1, Stage::Entry), (2, Stage::Sync), (3, Stage::Prepare), (4, Stage::Freeze)]
    {
        let mut m = maker();
        let all = [
            ("suspend_enter", true),
            ("sync_filesystems", true),
            ("sync_filesystems", false),
            ("freeze_processes", true),
        ];
        for (action, begin) in &all[..phases] {
            m.phase(action, 1, *begin).wait(MS);
        }
        m.returned(-16);
        assert_eq!(only(&mut m).stage, stage, "{phases} phases");
    }
}

#[test]
fn pm_test_blames_no_source() {
    let mut m = maker();
    let busy = m.source(b"busy", 0);
    m.snapshot(Reason::Start).down(1, "dpm_suspend_late").activate(busy);
    m.wait(5 * S).up().returned(0).snapshot(Reason::AttemptEnd);
    let attempt = only(&mut m);
    assert_eq!((attempt.outcome, attempt.stage), (Outcome::NoSleep, Stage::Suspend));
    assert!(attempt.causes.is_empty());
}

#[test]
fn a_return_alone_was_rejected_at_entry() {
    let mut m = maker();
    m.snapshot(Reason::Start).wait(S).returned(-22);
    let attempt = only(&mut m);
    assert_eq!((attempt.outcome, attempt.stage), (Outcome::Failed, Stage::Entry));
    assert_eq!((attempt.mode, attempt.duration_ns()), (Mode::Unknown, 0));
}

#[test]
fn a_tail_from_before_the_trace_is_no_attempt() {
    let mut m = maker();
    m.phase("dpm_complete", 16, false).phase("thaw_processes", 0, true);
    m.phase("thaw_processes", 0, false).returned(0);
    assert_eq!(attempts(&mut m), []);
}

#[test]
fn a_lost_return_ends_at_the_last_phase() {
    let mut m = maker();
    m.snapshot(Reason::Start);
    m.phase("suspend_enter", 1, true).wait(MS).phase("sync_filesystems", 0, true);
    m.wait(9 * S).sleep(S, None);
    let all = attempts(&mut m);
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].outcome, all[0].errno), (Outcome::Unfinished, None));
    assert_eq!((all[0].stage, all[0].duration_ns()), (Stage::Sync, MS));
    assert_eq!(all[1].outcome, Outcome::Slept);
}

#[test]
fn an_attempt_at_the_end_is_unfinished() {
    let mut m = maker();
    m.snapshot(Reason::Start).down(1, "dpm_suspend_late");
    let all = analyze(&m.cut()).expect("a trace").attempts;
    assert_eq!((all[0].outcome, all[0].stage), (Outcome::Unfinished, Stage::Suspend));
    // Asleep when the battery died: that is known to have slept only up to nothing.
    let mut m = maker();
    m.snapshot(Reason::Start).down(1, "").phase("machine_suspend", 1, true);
    let all = analyze(&m.cut()).expect("a trace").attempts;
    assert_eq!((all[0].outcome, all[0].stage), (Outcome::Unfinished, Stage::Machine));
}

#[test]
fn the_only_active_source_is_a_proven_aborter() {
    let mut m = maker();
    let modem = m.source(b"modem", 0);
    let _idle = m.source(b"idle", 0);
    m.snapshot(Reason::Start).wait(S).aborted_in_sync(modem, 100 * MS);
    let attempt = only(&mut m);
    assert_eq!((attempt.outcome, attempt.stage), (Outcome::Aborted, Stage::Sync));
    assert_eq!(attempt.causes.len(), 1);
    assert_eq!(attempt.causes[0].instance, modem);
    assert_eq!(attempt.causes[0].evidence, Evidence::Proven);
}

#[test]
fn two_active_sources_are_likely_aborters() {
    let mut m = maker();
    let modem = m.source(b"modem", 0);
    let wlan = m.source(b"wlan", 0);
    m.snapshot(Reason::Start).activate(wlan).wait(S).aborted_in_sync(modem, 100 * MS + 1);
    let all = analysis(&mut m);
    let causes = &all.attempts[0].causes;
    assert!(causes.iter().all(|cause| cause.evidence == Evidence::Likely));
    let shares: Vec<_> = all.sources.values().map(|source| source.sum.abort_ns).collect();
    assert_eq!(shares, [50 * MS + MS / 2 + 1, 50 * MS + MS / 2]);
    assert_eq!(all.ledger.aborted_ns, shares.iter().sum::<u64>());
}

#[test]
fn a_source_that_only_counted_up_is_likely() {
    let mut m = maker();
    let modem = m.source(b"modem", 0);
    m.snapshot(Reason::Start).wait(S);
    m.phase("suspend_enter", 1, true).wait(MS).snapshot(Reason::AttemptBegin);
    m.phase("sync_filesystems", 0, true).wait(MS).activate(modem).returned(-16);
    m.wait(MS).relax(modem).snapshot(Reason::AttemptEnd);
    let attempt = only(&mut m);
    assert_eq!(attempt.causes.len(), 1);
    assert_eq!(attempt.causes[0].evidence, Evidence::Likely);
}

#[test]
fn without_a_suspect_nobody_is_blamed() {
    let mut m = maker();
    let _idle = m.source(b"idle", 0);
    m.snapshot(Reason::Start).down(1, "dpm_suspend").returned(-16).snapshot(Reason::AttemptEnd);
    let all = analysis(&mut m);
    assert!(all.attempts[0].causes.is_empty());
    assert_eq!(all.ledger.unattributed_ns, all.ledger.aborted_ns + all.ledger.unknown_ns);
}

#[test]
fn a_snapshot_after_the_freeze_proves_nothing() {
    let mut m = maker();
    let modem = m.source(b"modem", 0);
    m.snapshot(Reason::Start).wait(S);
    m.phase("suspend_enter", 1, true).wait(MS).phase("freeze_processes", 0, true).wait(MS);
    m.activate(modem).snapshot(Reason::AttemptBegin).wait(MS).returned(-16);
    m.relax(modem).wait(MS).snapshot(Reason::AttemptEnd);
    let all = analysis(&mut m);
    assert_eq!(all.late_snapshots, 1);
    assert_eq!(all.attempts[0].causes.len(), 1);
    assert_eq!(all.attempts[0].causes[0].evidence, Evidence::Likely);
}

#[test]
fn a_pulse_before_the_first_snapshot_is_blamed() {
    let mut m = maker();
    let pulse = m.source(b"pulse", 0);
    m.snapshot(Reason::Start).wait(S).phase("suspend_enter", 1, true);
    m.wait(MS).activate(pulse).relax(pulse).wait(MS).snapshot(Reason::AttemptBegin);
    m.phase("sync_filesystems", 0, true).wait(MS).returned(-16);
    m.wait(MS).snapshot(Reason::AttemptEnd);
    let causes = only(&mut m).causes;
    assert_eq!(causes.len(), 1, "{causes:?}");
    assert_eq!((causes[0].instance, causes[0].evidence), (pulse, Evidence::Likely));
}

#[test]
fn an_earlier_hold_does_not_abort() {
    // Whether or not there is a snapshot at the start.
    for begin in [false, true] {
        let mut m = maker();
        let (old, busy) = (m.source(b"old", 0), m.source(b"busy", 0));
        m.snapshot(Reason::Start).wait(S).activate(old).wait(S).relax(old).wait(S).activate(busy);
        m.wait(S).phase("suspend_enter", 1, true).wait(MS);
        if begin {
            m.snapshot(Reason::AttemptBegin);
        }
        m.phase("sync_filesystems", 0, true).wait(MS).returned(-16);
        m.wait(MS).snapshot(Reason::AttemptEnd);
        let causes = only(&mut m).causes;
        assert_eq!(causes.len(), 1, "{begin} {causes:?}");
        assert_eq!(causes[0].instance, busy);
        assert_eq!(causes[0].evidence == Evidence::Proven, begin);
    }
}

#[test]
fn a_rise_before_the_sleep_does_not_wake() {
    let mut m = maker();
    let (early, rtc) = (m.source(b"early", 0), m.source(b"rtc0", 0));
    m.snapshot(Reason::Start).wait(S).down(1, "").activate(early).relax(early).wait(MS);
    m.phase("machine_suspend", 1, true).wait(9 * S).phase("machine_suspend", 1, false);
    // The real time clock reports only when its device resumes.
    m.phase("dpm_resume_early", 16, true).wait(MS).activate(rtc);
    m.phase("dpm_resume_early", 16, false).wait(MS).returned(0);
    m.wait(MS).relax(rtc).snapshot(Reason::AttemptEnd);
    assert_eq!(only(&mut m).waker().map(|source| source.instance), Some(rtc));
}

#[test]
fn a_wake_is_found_after_a_late_first_snapshot() {
    let mut m = maker();
    let (old, rtc) = (m.source(b"old", 0), m.source(b"rtc0", 0));
    m.snapshot(Reason::Start).wait(S).activate(old).wait(S).relax(old).wait(S);
    m.phase("suspend_enter", 3, true).wait(MS).phase("freeze_processes", 0, true).wait(MS);
    m.phase("machine_suspend", 3, true).phase("machine_suspend", 3, false);
    m.wait(60 * S);
    m.suspended += 60 * S;
    m.phase("syscore_resume", 0, false).wait(MS).activate(rtc).wait(MS);
    m.snapshot(Reason::AttemptBegin).wait(MS).returned(0).relax(rtc).snapshot(Reason::AttemptEnd);
    let attempt = only(&mut m);
    assert_eq!(attempt.slept_ns, 60 * S);
    assert_eq!(attempt.waker().map(|source| source.instance), Some(rtc));
}

#[test]
fn snapshots_bound_the_held_time() {
    let mut m = maker();
    let busy = m.source(b"busy", 12);
    m.activate(busy).wait(50 * S).snapshot(Reason::Start);
    m.wait(4 * S).relax(busy).wait(S).activate(busy).wait(2 * S);
    m.snapshot(Reason::Tick).wait(3 * S);
    let source = source(&mut m, busy);
    // The kernel has when it was activated: before the first snapshot.
    assert_eq!(source.sum.held_ns, 54 * S + 5 * S);
    assert_eq!((source.sum.activations, source.active_at_end, source.born), (1, true, false));
}

#[test]
fn sleep_is_not_held_time() {
    let mut m = maker();
    let odd = m.source(b"odd", 0);
    m.snapshot(Reason::Start).commit().activate(odd).wait(S).snapshot(Reason::Tick).commit();
    // The stamps go on and CLOCK_MONOTONIC does not.
    m.phase("machine_suspend", 1, true).wait(100 * S).phase("machine_suspend", 1, false);
    m.suspended += 100 * S;
    m.wait(S).snapshot(Reason::Tick).commit().wait(S);
    assert_eq!(source(&mut m, odd).sum.held_ns, 3 * S);
}

#[test]
fn a_late_snapshot_adds_no_held_time() {
    let mut m = maker();
    let busy = m.source(b"busy", 0);
    m.activate(busy).snapshot(Reason::Start).wait(S).relax(busy).activate(busy);
    m.phase("suspend_enter", 3, true).commit();
    // The walk came only after the sleep, and stands before the records that piled up meanwhile.
    m.wait(100 * S);
    m.suspended += 100 * S;
    m.snapshot(Reason::AttemptBegin);
    m.now -= 100 * S;
    m.phase("machine_suspend", 3, true).phase("machine_suspend", 3, false);
    m.wait(100 * S).phase("syscore_resume", 0, false).wait(S).returned(0);
    m.snapshot(Reason::AttemptEnd);
    let all = analysis(&mut m);
    assert_eq!(all.attempts[0].slept_ns, 100 * S);
    assert_eq!(all.sources[&0].sum.held_ns, 2 * S);
}

#[test]
fn births_and_deaths_are_recorded() {
    let mut m = maker();
    let old = m.source(b"old", 2);
    m.snapshot(Reason::Start).wait(S);
    let new = m.source(b"new", 3);
    m.wait(S).snapshot(Reason::Tick).wait(S);
    m.remove(old);
    m.snapshot(Reason::Tick).wait(S);
    let all = analysis(&mut m);
    let [old, new] = [old, new].map(|i| &all.sources[&i]);
    assert_eq!((old.born, old.died, new.born, new.died), (false, true, true, false));
    // Counts from before a source was first seen are its own only if it was born in the session.
    assert_eq!((old.sum.activations, new.sum.activations, new.sum.held_ns), (0, 3, 30 * MS));
    assert_eq!(old.last_ns, new.first_ns);
}

#[test]
fn counters_reach_across_a_lost_chunk() {
    let mut m = maker();
    let busy = m.source(b"busy", 0);
    m.snapshot(Reason::Start).commit();
    let before = m.cut().len();
    m.wait(S).activate(busy).wait(S).relax(busy).snapshot(Reason::Tick).commit();
    let after = m.cut().len();
    m.wait(S);
    let mut bytes = m.finish();
    bytes.drain(before..after);
    let all = analyze(&bytes).expect("a trace");
    // The last snapshot builds on the lost one.
    assert_eq!((all.model.damage.missing_chunks, all.model.orphaned_snapshots), (1, 1));
    assert!(!all.model.complete());
}

#[test]
fn everything_that_was_lost_is_counted() {
    let mut m = maker();
    m.snapshot(Reason::Start).lost(3).lost(4);
    let all = analysis(&mut m);
    assert_eq!(all.model.lost_events, 7);
    assert!(!all.model.complete());
    assert!(analysis(maker().snapshot(Reason::Start)).model.complete());
}

#[test]
fn a_failure_without_an_errno_is_a_failure() {
    let mut m = maker();
    m.snapshot(Reason::Start).down(1, "dpm_suspend");
    m.push(Record::Return(SuspendReturn { errno: None }));
    let attempt = only(&mut m);
    assert_eq!((attempt.outcome, attempt.errno), (Outcome::Failed, None));
}
