//! Small traces of histories that the end-to-end scenario showed to be wrong.

mod common;

use common::{MS, Maker, S};
use sleepwalk::analyze::{Analysis, analyze};
use sleepwalk::report::Outcome;
use sleepwalk_trace::record::Reason;

/// A source is active while an attempt goes so far and returns −EBUSY.
fn busy(armed: bool, attempt: impl Fn(&mut Maker)) -> Analysis {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.arms = false;
    m.snapshot(Reason::Start).wait_begin(900).wait_end(900).wait(S).save(armed);
    m.activate(a).wait(MS);
    attempt(&mut m);
    m.wait(MS).returned(-16).wait(S);
    analyze(&m.finish()).expect("a trace")
}

#[test]
fn a_busy_notifier_is_no_wakeup() {
    let entered = |m: &mut Maker| {
        m.phase("suspend_enter", 3, true);
    };
    let synced = |m: &mut Maker| {
        m.phase("suspend_enter", 3, true).phase("sync_filesystems", 0, true).wait(MS);
        m.phase("sync_filesystems", 0, false);
    };
    let syncs = |m: &mut Maker| {
        m.phase("suspend_enter", 3, true).phase("sync_filesystems", 0, true);
    };
    for armed in [false, true] {
        for all in [busy(armed, entered), busy(armed, synced)] {
            let attempt = &all.attempts[0];
            assert_eq!((attempt.outcome, attempt.causes.len()), (Outcome::Failed, 0), "{armed}");
        }
        let all = busy(armed, syncs);
        assert_eq!(all.attempts[0].outcome, Outcome::Aborted, "the sync looks at wakeups");
        assert_eq!(all.attempts[0].causes.len(), usize::from(armed));
    }
}

/// The record of an attempt has no thread: it may be that of the loop, or someone in a shell.
#[test]
fn an_attempt_in_a_back_off_does_not_end_it() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.arms = false;
    m.snapshot(Reason::Start).wait_begin(412).wait_end(412).save_by(412, true).activate(a);
    m.down(1, "dpm_prepare").returned(-16).relax(a).wait(3 * S);
    m.down(1, "dpm_prepare").returned(-110);
    m.wait(2 * S).wait_begin(412).wait_end(412).wait(S);
    let all = analyze(&m.finish()).expect("a trace");
    assert_eq!(all.ledger.backoff_ns, Some(5 * S));
    assert_eq!(all.attempts[0].after_abort_ns, 3 * S);
    assert_eq!(all.attempts[1].after_abort_ns, 2 * S);
    assert_eq!(all.ledger.not_trying_ns, Some(0));
}

/// Two threads suspend: the time after a wake is not also back-off after the other's abort.
#[test]
fn awake_time_after_a_wake_is_charged_once() {
    let mut m = Maker::full();
    let rtc = m.source(b"rtc", 0);
    m.arms = false;
    m.snapshot(Reason::Start).wait_begin(412).wait_end(412).save_by(412, true);
    m.aborted_in_sync(rtc, MS).relax(rtc).wait(S);
    m.arms = true;
    m.sleep(S, Some(rtc)).relax(rtc).wait(2 * S).wait_begin(412).wait_end(412).wait(S);
    let all = analyze(&m.finish()).expect("a trace");
    let after_abort_ns = all.attempts[0].after_abort_ns;
    assert!((S..S + 100 * MS).contains(&after_abort_ns), "{after_abort_ns}");
    assert!(all.attempts[1].after_wake_ns >= 2 * S, "{:?}", all.attempts[1]);
    let charged_ns = after_abort_ns + all.attempts[1].after_wake_ns;
    assert_eq!(all.ledger.backoff_ns, Some(charged_ns));
}

#[test]
fn unknown_time_is_not_charged_to_a_wake() {
    let mut m = Maker::full();
    let rtc = m.source(b"rtc", 0);
    m.snapshot(Reason::Start).wait_begin(412).wait_end(412).sleep(S, Some(rtc));
    m.relax(rtc).wait(2 * S).lost(1).wait(S);
    let all = analyze(&m.finish()).expect("a trace");
    assert!(all.ledger.unknown_ns >= 3 * S, "{:?}", all.ledger);
    assert_eq!(all.attempts[0].after_wake_ns, 0);
}
