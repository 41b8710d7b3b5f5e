//! The sources blamed, and their costs, where the order of the kernel's own events hides them. The
//! numbers are worked out by hand.

mod common;

use common::{MS, Maker, S};
use sleepwalk::analyze::{Analysis, analyze};
use sleepwalk::report::{By, Source, build};
use sleepwalk::report::{Evidence, Mode, Outcome, Stage};
use sleepwalk_trace::record::Reason;

fn analysis(bytes: &[u8]) -> Analysis {
    let all = analyze(bytes).expect("a trace");
    let ledger = &all.ledger;
    assert_eq!(ledger.total_ns(), all.model.duration_ns(), "{ledger:?}");
    all
}

fn by_name(all: &Analysis, name: &str) -> Source {
    let report = build(all, By::Name, None);
    report.sources.into_iter().find(|s| s.name.text() == name).expect("the source")
}

fn causes(all: &Analysis, attempt: usize) -> Vec<(u32, Evidence)> {
    all.attempts[attempt].causes.iter().map(|cause| (cause.instance, cause.evidence)).collect()
}

#[test]
fn an_eventpoll_is_not_blamed_beside_a_culprit() {
    let mut m = Maker::full();
    let timers = ["a", "b", "c", "d"].map(|name| m.source(name.as_bytes(), 0));
    let polls = [m.source(b"eventpoll", 0), m.source(b"eventpoll", 0)];
    m.snapshot(Reason::Start).wait(S);
    for timer in timers {
        m.phase("suspend_enter", 1, true).wait(MS).phase("sync_filesystems", 0, true);
        m.activate(timer).wait(MS).shared(polls[1], polls[0], true).relax(timer);
        m.wait(4_000).shared(polls[1], polls[0], false).wait(MS).returned(-16).wait(S);
    }
    // It stays suspect where no other source is known.
    m.entered_sync(1).wait(MS).shared(polls[1], polls[0], true).wait(MS);
    m.returned(-16).shared(polls[1], polls[0], false);
    let all = analysis(&m.finish());
    for (attempt, timer) in timers.into_iter().enumerate() {
        assert_eq!(causes(&all, attempt), [(timer, Evidence::Proven)]);
        assert_eq!(all.sources[&timer].sum.abort_ns, 3 * MS + 4_000);
    }
    assert_eq!(causes(&all, 4), [(polls[0], Evidence::Likely)]);
    let eventpoll = by_name(&all, "eventpoll");
    assert_eq!((eventpoll.sum.aborts, eventpoll.sum.abort_ns), (1, 2 * MS));
    let report = build(&all, By::Name, None);
    assert_eq!(report.sources[4].name.text(), "eventpoll");
}

#[test]
fn a_wakeup_pending_before_s2idle_is_blamed() {
    let mut m = Maker::full();
    let wlan = m.source(b"wlan", 0);
    // s2idle leaves its loop before the first machine_suspend: success, but nothing slept.
    m.snapshot(Reason::Start).wait(S).down(1, "").activate(wlan).wait(MS).up().returned(0);
    m.wait(S).relax(wlan);
    let all = analysis(&m.finish());
    assert_eq!((all.attempts[0].outcome, all.attempts[0].s2idle_entries), (Outcome::NoSleep, 0));
    assert_eq!(causes(&all, 0), [(wlan, Evidence::Proven)]);
    assert_eq!(all.ledger.unattributed_ns, 0);
}

#[test]
fn pm_test_blames_nobody_however_far_it_goes() {
    let mut m = Maker::full();
    let busy = m.source(b"busy", 0);
    m.snapshot(Reason::Start).wait(S);
    // "platform", and "processors" on the way to deep sleep.
    m.down(1, "").activate(busy).wait(5 * S).up().returned(0).relax(busy).wait(S);
    m.down(3, "").phase("CPU_OFF", 1, true).phase("CPU_OFF", 1, false).activate(busy);
    m.wait(5 * S).phase("CPU_ON", 1, true).phase("CPU_ON", 1, false).up().returned(0).relax(busy);
    let all = analysis(&m.finish());
    let found: Vec<_> = all.attempts.iter().map(|a| (a.outcome, a.stage, a.causes.len())).collect();
    let no_sleep = |stage| (Outcome::NoSleep, stage, 0);
    assert_eq!(found, [no_sleep(Stage::SuspendNoirq), no_sleep(Stage::Machine)]);
    let backoff_ns = all.ledger.backoff_ns.expect("waits");
    assert_eq!(all.ledger.unattributed_ns, all.ledger.aborted_ns + backoff_ns);
}

/// A trace without the records of `lost`.
fn with_a_gap(
    m: &mut Maker,
    lost: impl FnOnce(&mut Maker),
    rest: impl FnOnce(&mut Maker),
) -> Vec<u8> {
    let before = m.cut().len();
    lost(m);
    let after = m.cut().len();
    rest(m);
    let mut bytes = m.finish();
    bytes.drain(before..after);
    bytes
}

#[test]
fn an_attempt_does_not_go_on_beyond_a_gap() {
    let mut m = Maker::full();
    m.snapshot(Reason::Start).wait(S);
    m.phase("suspend_enter", 1, true).wait(MS).phase("sync_filesystems", 0, true);
    let bytes = with_a_gap(
        &mut m,
        |m| {
            m.wait(MS).returned(-16).wait(3_600 * S).down(1, "");
            m.phase("machine_suspend", 1, true).wait(9 * S);
        },
        // The end of another attempt.
        |m| {
            m.phase("machine_suspend", 1, false).wait(MS).up().wait(MS).returned(0);
            m.wait(2 * S).phase("suspend_enter", 1, true).wait(MS).returned(-22).wait(S);
        },
    );
    let all = analysis(&bytes);
    let found: Vec<_> = all.attempts.iter().map(|a| (a.outcome, a.duration_ns())).collect();
    assert_eq!(found, [(Outcome::Unfinished, MS), (Outcome::Failed, MS)]);
    assert_eq!((all.ledger.aborted_ns, all.ledger.asleep_ns), (2 * MS, 0));
    // From the last record before the gap to the first after it, and the way back up to the thaw. The
    // rest is a second before, the return and two seconds, and one at the end.
    // After it nobody is known to wait or not, up to the write before the next attempt.
    let unknown = 3_609 * S + 15 * MS + MS + 5 * MS + 2 * S + 2 * MS;
    assert_eq!((all.ledger.unknown_ns, all.ledger.not_trying_ns), (unknown, Some(S)));
}

#[test]
fn no_awake_time_follows_a_sleep_without_an_end() {
    let mut m = Maker::full();
    let alarm = m.source(b"alarm", 0);
    m.snapshot(Reason::Start).wait(S).down(1, "").phase("machine_suspend", 1, true).wait(7 * S);
    m.activate(alarm).phase("machine_suspend", 1, false);
    let bytes = with_a_gap(
        &mut m,
        |m| {
            m.up().returned(0).wait(50 * S).relax(alarm);
        },
        |m| {
            m.wait(S);
        },
    );
    let all = analysis(&bytes);
    assert_eq!((all.attempts[0].outcome, all.ledger.asleep_ns), (Outcome::Slept, 7 * S));
    assert_eq!((all.sources[&0].sum.wakes, all.sources[&0].sum.after_wake_ns), (1, 0));
}

#[test]
fn a_session_may_start_within_an_attempt() {
    let mut m = Maker::full();
    m.snapshot(Reason::Start).wait(MS).up().wait(MS).returned(0).wait(S);
    let all = analysis(&m.finish());
    assert_eq!(all.attempts, []);
    // Four steps of the devices and the thaw, 1 ms each.
    assert_eq!((all.ledger.unknown_ns, all.ledger.not_trying_ns), (5 * MS, Some(S + 2 * MS)));
    // On its way down, machine_suspend gives the mode.
    let mut m = Maker::full();
    m.snapshot(Reason::Start).wait(MS).phase("dpm_suspend", 2, true).wait(MS);
    m.phase("dpm_suspend", 2, false).phase("machine_suspend", 3, true);
    m.phase("machine_suspend", 3, false).phase("syscore_resume", 0, true).wait(60 * S);
    m.suspended += 60 * S;
    m.phase("syscore_resume", 0, false).up().returned(0).wait(S);
    let all = analysis(&m.finish());
    assert_eq!((all.attempts[0].mode, all.attempts[0].slept_ns), (Mode::Deep, 60 * S));
    assert_eq!((all.ledger.suspending_ns, all.ledger.resuming_ns), (MS, 5 * MS));
}

#[test]
fn a_source_removed_while_active_stops_blocking() {
    let mut m = Maker::full();
    let (dying, other) = (m.source(b"dying", 0), m.source(b"other", 0));
    m.snapshot(Reason::Start).wait(S).activate(dying).wait_begin(7).wait(2 * S);
    m.remove(dying);
    m.activate(other).snapshot(Reason::Tick).wait(3 * S).relax(other).wait_end(7).wait(S);
    let all = analysis(&m.finish());
    let costs = |name| {
        let source = by_name(&all, name);
        (source.sum.blocked_share_ns, source.sum.blocked_sole_ns, source.sum.held_ns)
    };
    assert_eq!(costs("dying"), (Some(2 * S), Some(2 * S), 2 * S));
    assert_eq!(costs("other"), (Some(3 * S), Some(3 * S), 3 * S));
    assert!(by_name(&all, "dying").died && !by_name(&all, "dying").active_at_end);
}

#[test]
fn an_interrupt_without_a_source_is_a_wake() {
    let mut m = Maker::full();
    m.source(b"idle", 0);
    m.snapshot(Reason::Start).wait(S).down(1, "").phase("machine_suspend", 1, true).wait(5 * S);
    m.woken_by(41, "gpio-keys").phase("machine_suspend", 1, false).up().wait(MS).returned(0);
    m.wait(3 * S);
    let all = analysis(&m.finish());
    let attempt = &all.attempts[0];
    let irq = attempt.wake.as_ref().and_then(|wake| wake.irq);
    assert_eq!((irq, attempt.waker(), attempt.after_wake_ns), (Some(41), None, 3 * S));
    assert_eq!((all.ledger.resuming_ns, all.ledger.unattributed_ns), (6 * MS, 0));
    let report = build(&all, By::Name, None);
    let wake = report.attempts[0].wake.as_ref().expect("a wake");
    assert_eq!((wake.irq_name.as_deref(), wake.evidence), (Some("gpio-keys"), Evidence::Unknown));
}

#[test]
fn a_wait_over_a_sleep_blocks_before_and_after() {
    let mut m = Maker::full();
    let (a, b) = (m.source(b"a", 0), m.source(b"b", 0));
    // One thread waits while another suspends by force; the source stays active across the sleep.
    m.snapshot(Reason::Start).activate(a).wait_begin(7).wait(2 * S).sleep(10 * S, Some(b));
    m.wait(3 * S - MS).relax(b).wait(S).relax(a).wait_end(7).wait(S);
    let all = analysis(&m.finish());
    // 3 s of both, then 1 s of a alone.
    assert_eq!(all.ledger.blocked_ns, Some(6 * S));
    let costs = |name| {
        let source = by_name(&all, name);
        (source.sum.blocked_share_ns, source.sum.blocked_sole_ns)
    };
    assert_eq!(costs("a"), (Some(4 * S + S / 2), Some(3 * S)));
    assert_eq!(costs("b"), (Some(S + S / 2), Some(0)));
    // A thread waits already, so the time after the wake is blocked time.
    assert_eq!((by_name(&all, "b").sum.wakes, by_name(&all, "b").sum.after_wake_ns), (1, 0));
    // 15 ms down and 6 ms up are held, the sleep is not.
    assert_eq!(by_name(&all, "a").sum.held_ns, 6 * S + 21 * MS);
}

#[test]
fn snapshots_alone_name_no_blockers() {
    let hooks = [("phase", "tp_btf"), ("return", "fexit"), ("wait", "fexit")];
    let mut m = Maker::hooked(&hooks);
    let (busy, brief) = (m.source(b"busy", 0), m.source(b"brief", 0));
    m.activate(busy).snapshot(Reason::Start).wait_begin(7).wait(S).relax(busy).activate(brief);
    m.wait(8 * S).relax(brief).wait_end(7).wait(S);
    let all = analysis(&m.finish());
    let found: Vec<_> =
        all.waits.iter().map(|w| (w.end_ns.since(w.start_ns), w.blockers.len())).collect();
    assert_eq!(found, [(9 * S, 0)]);
    assert_eq!((all.ledger.blocked_ns, by_name(&all, "busy").sum.blocked_share_ns), (None, None));
}
