//! Small traces of histories that the end-to-end scenario showed to be wrong.

mod common;

use common::{MS, Maker, S};
use sleepwalk::analyze::analyze;
use sleepwalk_trace::record::Reason;

/// The record of an attempt has no thread: it may be that of the loop, or someone in a shell.
#[test]
fn an_attempt_in_a_back_off_does_not_end_it() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.arms = false;
    m.snapshot(Reason::Start).wait_begin(412).wait_end(412).save_by(412, true);
    m.aborted_in_sync(a, 50 * MS).wait(3 * S - 2 * MS);
    m.down(1, "dpm_prepare").up().returned(-110);
    m.wait(2 * S).wait_begin(412).wait_end(412).wait(S);
    let all = analyze(&m.finish()).expect("a trace");
    assert_eq!(all.ledger.backoff_ns, Some(5 * S));
    assert_eq!(all.attempts[0].after_abort_ns, 3 * S);
    assert_eq!(all.attempts[1].after_abort_ns, 2 * S);
    assert_eq!(all.ledger.not_trying_ns, Some(S));
}
