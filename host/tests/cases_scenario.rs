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
