//! Blocked time, causes and wakes out of edges.

mod common;

use common::{MS, Maker, S, T0};
use sleepwalk::analyze::{Analysis, analyze};
use sleepwalk::report::{By, Evidence, FindingKind, Losses, Source, build};
use sleepwalk_trace::chunk::FILE_HEADER;
use sleepwalk_trace::record::Reason;

fn analysis(m: &mut Maker) -> Analysis {
    let all = analyze(&m.finish()).expect("a trace");
    assert_eq!(all.ledger.total_ns(), all.model.duration_ns());
    all
}

/// A source's split of blocked time, and what it blocked alone.
fn blocked(all: &Analysis, instance: u32) -> (u64, u64) {
    let sum = &all.sources[&instance].sum;
    (sum.blocked_share_ns.unwrap_or_default(), sum.blocked_sole_ns.unwrap_or_default())
}

fn by_name(all: &Analysis, name: &str) -> Source {
    let report = build(all, By::Name, None);
    report.sources.into_iter().find(|s| s.name.text() == name).expect("the source")
}

#[test]
fn active_sources_share_blocked_time() {
    let mut m = Maker::full();
    let (a, b) = (m.source(b"a", 0), m.source(b"b", 0));
    m.snapshot(Reason::Start).wait(S);
    m.activate(a).wait(S).wait_begin(7).wait(2 * S).activate(b).wait(S + 1).relax(a);
    m.wait(3 * S).relax(b).wait_end(7).wait(S);
    let all = analysis(&mut m);
    let (shares, soles) = ([a, b].map(|i| blocked(&all, i).0), [a, b].map(|i| blocked(&all, i).1));
    // The odd nanosecond goes to the first of them.
    assert_eq!(shares, [2 * S + S / 2 + 1, 3 * S + S / 2]);
    assert_eq!(soles, [2 * S, 3 * S]);
    assert_eq!(all.ledger.blocked_ns, Some(6 * S + 1));
    assert_eq!(all.ledger.not_trying_ns, Some(3 * S));
    assert_eq!((all.ledger.unknown_ns, all.ledger.unattributed_ns), (0, 0));
    let wait = &all.waits[0];
    assert_eq!(
        (wait.thread, wait.idle, wait.end_ns.since(wait.start_ns)),
        (7, Some(true), 6 * S + 1)
    );
    let blockers: Vec<_> = wait.blockers.iter().map(|b| (b.instance, b.share_ns)).collect();
    assert_eq!(blockers, [(b, 3 * S + S / 2), (a, 2 * S + S / 2)]);
}

#[test]
fn a_wait_without_sources_is_unattributed() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.snapshot(Reason::Start).wait_begin(7).wait(S).activate(a).wait(2 * S).relax(a).wait(S);
    m.wait_end(7);
    let all = analysis(&mut m);
    assert_eq!((all.ledger.blocked_ns, all.ledger.unattributed_ns), (Some(4 * S), 2 * S));
    assert_eq!(blocked(&all, a), (2 * S, 2 * S));
}

#[test]
fn waits_of_several_threads_count_once() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.snapshot(Reason::Start).activate(a).wait_begin(7).wait(S).wait_begin(8).wait(2 * S);
    m.wait_end(7).wait(4 * S).wait_end(8).wait(8 * S);
    let all = analysis(&mut m);
    assert_eq!(all.ledger.blocked_ns, Some(7 * S));
    assert_eq!(blocked(&all, a), (7 * S, 7 * S));
    let found: Vec<_> = all.waits.iter().map(|w| (w.thread, w.blockers[0].share_ns)).collect();
    assert_eq!(found, [(7, 3 * S), (8, 6 * S)]);
}

#[test]
fn an_earlier_wait_counts_from_the_start() {
    let mut m = Maker::full();
    let (a, b) = (m.source(b"a", 0), m.source(b"b", 0));
    m.activate(a).snapshot(Reason::Start).wait(S).wait_begin(8).wait(S).wait_end(8);
    m.activate(b).wait(2 * S).relax(b).wait_end(7).wait(S).wait_end(7).wait_end(8).wait(S);
    let all = analysis(&mut m);
    assert_eq!(all.ledger.blocked_ns, Some(4 * S));
    assert_eq!((blocked(&all, a), blocked(&all, b)), ((3 * S, 2 * S), (S, 0)));
    assert_eq!((all.waits[0].start_ns.0, all.waits[0].thread), (T0, 7));
    // A kretprobe sees ends that are none.
    let hooks = [("phase", "tp_btf"), ("edge", "tp_btf"), ("wait", "kretprobe")];
    let mut m = Maker::hooked(&hooks);
    m.snapshot(Reason::Start).wait(S).wait_end(7).wait(S);
    let all = analysis(&mut m);
    assert_eq!((all.ledger.blocked_ns, all.waits.len()), (Some(0), 0));
}

#[test]
fn a_wait_under_way_at_the_end_counts_to_the_end() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.snapshot(Reason::Start).wait(S).activate(a).wait_begin(7).wait(9 * S);
    let all = analysis(&mut m);
    assert_eq!(all.ledger.blocked_ns, Some(9 * S));
    assert_eq!((all.waits[0].idle, all.sources[&0].active_at_end), (None, true));
    assert_eq!(all.sources[&0].sum.held_ns, 9 * S);
}

#[test]
fn attempts_within_a_wait_are_not_blocked_time() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.snapshot(Reason::Start).wait(S).activate(a).wait_begin(7).wait(S);
    m.phase("suspend_enter", 1, true).wait(S).phase("sync_filesystems", 0, true).wait(S);
    m.returned(-16).wait(S).wait_end(7);
    let all = analysis(&mut m);
    assert_eq!((all.ledger.blocked_ns, all.ledger.aborted_ns), (Some(2 * S), 2 * S));
}

#[test]
fn blocked_time_is_unknown_without_a_wait_hook() {
    let mut m = Maker::hooked(&[("phase", "tp_btf"), ("return", "fexit"), ("edge", "tp_btf")]);
    let a = m.source(b"a", 0);
    m.snapshot(Reason::Start).wait(S).activate(a).wait(S).relax(a).wait(S);
    let all = analysis(&mut m);
    assert_eq!((all.ledger.blocked_ns, all.ledger.not_trying_ns), (None, None));
    assert_eq!(all.ledger.unknown_ns, 3 * S);
    assert_eq!(all.sources[&0].sum.held_ns, S);
    assert_eq!(by_name(&all, "a").sum.blocked_share_ns, None);
}

#[test]
fn an_activation_in_an_attempt_is_proof() {
    let mut m = Maker::full();
    let (old, new) = (m.source(b"old", 0), m.source(b"new", 0));
    m.snapshot(Reason::Start).wait(S).activate(old).wait(S).down(1, "dpm_suspend_late");
    m.activate(new).wait(MS).phase("dpm_resume", 16, true).wait(MS).returned(-16);
    let all = analysis(&mut m);
    let found: Vec<_> = all.attempts[0].causes.iter().map(|c| (c.instance, c.evidence)).collect();
    assert_eq!(found, [(old, Evidence::Likely), (new, Evidence::Proven)]);
}

#[test]
fn an_activation_on_the_way_back_is_no_cause() {
    let mut m = Maker::full();
    let (culprit, late) = (m.source(b"culprit", 0), m.source(b"late", 0));
    m.snapshot(Reason::Start).wait(S).down(1, "dpm_suspend_late").activate(culprit).wait(MS);
    m.phase("dpm_resume", 16, true).activate(late).wait(MS).returned(-16);
    let causes = &analysis(&mut m).attempts[0].causes;
    assert_eq!(causes.len(), 1);
    assert_eq!((causes[0].instance, causes[0].evidence), (culprit, Evidence::Proven));
}

#[test]
fn a_pulse_after_the_count_write_aborts() {
    for armed in [true, false] {
        let mut m = Maker::full();
        let pulse = m.source(b"pulse", 0);
        m.snapshot(Reason::Start).wait(S);
        m.arms = armed;
        if armed {
            m.save(true);
        }
        m.wait(MS).activate(pulse).wait(MS).relax(pulse).wait(3 * S);
        m.entered_sync(1).wait(MS).returned(-16);
        let causes = analysis(&mut m).attempts[0].causes.clone();
        let found: Vec<_> = causes.iter().map(|c| (c.instance, c.evidence)).collect();
        let wanted = [(pulse, Evidence::Proven)];
        assert_eq!(found, if armed { &wanted[..] } else { &[] });
    }
}

#[test]
fn the_only_source_is_proven_without_edges() {
    let mut m = Maker::full();
    let (busy, _idle) = (m.source(b"busy", 0), m.source(b"idle", 0));
    m.activate(busy).wait(S).snapshot(Reason::Start).wait(S);
    m.phase("suspend_enter", 1, true).wait(MS).phase("sync_filesystems", 0, true).wait(MS);
    m.returned(-16).wait(S).relax(busy);
    let causes = &analysis(&mut m).attempts[0].causes;
    assert_eq!(causes.len(), 1);
    assert_eq!((causes[0].instance, causes[0].evidence), (busy, Evidence::Proven));
}

#[test]
fn a_shared_pointer_proves_nothing() {
    let mut m = Maker::full();
    let polls = [m.source(b"eventpoll", 0), m.source(b"eventpoll", 0), m.source(b"eventpoll", 0)];
    let modem = m.source(b"modem", 0);
    m.snapshot(Reason::Start).wait_begin(7);
    m.edge(polls[0], true, true).wait(S).edge(polls[0], true, true).wait(S);
    // Two of them and the modem, to which they yield.
    m.activate(modem).wait(3 * S).relax(modem).edge(polls[0], false, true).wait(S);
    m.entered_sync(1).wait(MS).returned(-16);
    m.edge(polls[0], false, true).wait_end(7);
    let all = analysis(&mut m);
    let source = by_name(&all, "eventpoll");
    assert_eq!(
        (source.sum.blocked_share_ns, source.sum.blocked_sole_ns),
        (Some(3 * S), Some(3 * S))
    );
    assert_eq!(blocked(&all, modem), (3 * S, 3 * S));
    assert_eq!(all.ledger.unattributed_ns, 0);
    assert_eq!(all.attempts[0].causes[0].evidence, Evidence::Likely);
    assert_eq!(all.contradictions, 0);
}

#[test]
fn a_shared_end_fits_any_sharer() {
    let mut m = Maker::full();
    let polls = [m.source(b"eventpoll", 0), m.source(b"eventpoll", 0)];
    m.snapshot(Reason::Start).wait_begin(7).wait(S);
    m.edges = false;
    m.activate(polls[1]);
    m.edges = true;
    m.edge(polls[0], true, true).wait(2 * S).snapshot(Reason::Tick).wait(2 * S);
    m.edge(polls[0], false, true).wait(S).wait_end(7);
    let all = analysis(&mut m);
    assert_eq!([0, 1].map(|i| blocked(&all, polls[i]).0), [2 * S, 2 * S]);
    assert_eq!((all.ledger.unattributed_ns, all.contradictions), (2 * S, 0));
}

#[test]
fn interrupt_and_first_activation_show_a_wake() {
    let mut m = Maker::full();
    let (rtc, other) = (m.source(b"rtc0", 0), m.source(b"other", 0));
    m.snapshot(Reason::Start).wait(S).down(1, "").phase("machine_suspend", 1, true).wait(5 * S);
    m.woken_by(41, "first").phase("machine_suspend", 1, false).wait(2 * MS);
    m.phase("machine_suspend", 1, true).wait(9 * S).woken_by(17, "rtc-pl031").woken_by(18, "x");
    m.phase("machine_suspend", 1, false).phase("dpm_resume_early", 16, true).wait(MS);
    m.activate(rtc).wait(MS).activate(other).wait(MS).returned(0);
    m.wait(2 * S).wait_begin(7).wait(S).relax(rtc).relax(other).wait_end(7).wait(4 * S);
    let all = analysis(&mut m);
    let attempt = &all.attempts[0];
    let wake = attempt.wake.as_ref().expect("a wake");
    assert_eq!((wake.irq, attempt.s2idle_entries), (Some(17), 2));
    let waker = attempt.waker().map(|source| source.instance);
    assert_eq!((waker, wake.evidence), (Some(rtc), Evidence::Proven));
    // Up to the wait, not to the session's end.
    assert_eq!((attempt.after_wake_ns, all.sources[&0].sum.after_wake_ns), (2 * S, 2 * S));
    assert_eq!((all.ledger.asleep_ns, all.ledger.resuming_ns), (14 * S, 5 * MS));
    let report = build(&all, By::Name, None);
    let wake = report.attempts[0].wake.as_ref().expect("a wake");
    assert_eq!(wake.irq_name.as_deref(), Some("rtc-pl031"));
    assert_eq!(report.attempts[0].steps.iter().filter(|s| s.step == "machine_suspend").count(), 2);
}

#[test]
fn a_lost_edge_shows_in_the_next_snapshot() {
    let mut m = Maker::full();
    let (a, b) = (m.source(b"a", 0), m.source(b"b", 0));
    m.snapshot(Reason::Start).wait(S).activate(b).wait(S).activate(a).wait(S);
    m.edges = false;
    m.relax(a).wait(S);
    m.edges = true;
    m.snapshot(Reason::Tick).wait(S).relax(b).wait(S);
    let all = analysis(&mut m);
    assert_eq!(all.contradictions, 1);
    // Counters know better.
    assert_eq!((all.sources[&0].sum.held_ns, all.sources[&1].sum.held_ns), (S, 4 * S));
}

#[test]
fn an_end_before_any_snapshot_is_consistent() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.edges = false;
    m.activate(a).wait(S);
    m.edges = true;
    m.relax(a).wait(S).snapshot(Reason::Start).wait(S);
    assert_eq!(analysis(&mut m).contradictions, 0);
}

#[test]
fn counters_show_missing_pairs_of_edges() {
    let mut m = Maker::full();
    let (a, b) = (m.source(b"a", 0), m.source(b"b", 0));
    m.snapshot(Reason::Start).wait(S).activate(a).wait(S).relax(a);
    m.edges = false;
    m.activate(a).wait(S).relax(a).activate(b).wait(S).relax(b);
    m.edges = true;
    m.wait(S).snapshot(Reason::Tick);
    // An edge between the last look into the ring and the last snapshot is missing to nobody.
    m.edges = false;
    m.activate(b);
    let all = analysis(&mut m);
    assert_eq!(all.contradictions, 2);
    assert_eq!([0, 1].map(|i| all.sources[&i].sum.held_ns), [2 * S, S]);
}

#[test]
fn a_loss_is_in_doubt_between_snapshots() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.snapshot(Reason::Start).wait(2 * S).activate(a).wait(S);
    m.edges = false;
    m.relax(a).wait(S);
    m.edges = true;
    m.lost(3).wait(MS).snapshot(Reason::Lost).wait(S);
    let all = analysis(&mut m);
    assert_eq!((all.doubtful_ns, all.contradictions), (4 * S + MS, 0));
    assert_eq!(all.sources[&0].sum.held_ns, S);
    let report = build(&all, By::Name, None);
    let doubtful_ns = 4 * S + MS;
    let (events, chunks, records, contradictions) = (3, 0, 0, 0);
    let lost = Losses { events, chunks, records, contradictions, doubtful_ns };
    assert!(
        report.findings.iter().any(|f| f.kind == FindingKind::Lost(lost)),
        "{:?}",
        report.findings
    );
}

#[test]
fn what_is_missing_is_neither_blocked_nor_free() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.snapshot(Reason::Start).wait_begin(7).activate(a).wait(S).commit();
    let before = m.cut().len();
    m.relax(a).wait(S).wait_end(7).wait(S).commit();
    let after = m.cut().len();
    m.wait(S).activate(a).wait(S).wait_end(8).wait(S);
    let mut bytes = m.finish();
    bytes.drain(before..after);
    let all = analyze(&bytes).expect("a trace");
    assert_eq!(all.ledger.total_ns(), all.model.duration_ns());
    // From the first chunk's last record to the first that is there again.
    assert_eq!((all.ledger.unknown_ns, all.ledger.blocked_ns), (4 * S, Some(S)));
    assert_eq!(all.ledger.not_trying_ns, Some(S));
}

#[test]
fn edges_alone_make_a_source_known() {
    let mut m = Maker::full();
    m.snapshot(Reason::Start).wait(S);
    let brief = m.source(b"brief", 0);
    m.activate(brief).wait(2 * S).relax(brief).wait(S);
    m.remove(brief);
    let all = analysis(&mut m);
    let brief = &all.sources[&0];
    assert_eq!((brief.born, brief.died, brief.sum.held_ns), (true, true, 2 * S));
    assert_eq!((brief.sum.activations, brief.sum.events, brief.active_at_end), (1, 1, false));
}

#[test]
fn events_during_a_snapshot_precede_it() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.snapshot(Reason::Start).wait(S);
    // The agent looks late: the snapshot of the end stands before what happened meanwhile.
    m.entered_sync(1).wait(MS).returned(-16);
    m.edges = false;
    m.wait(S).activate(a).wait(S).snapshot(Reason::AttemptEnd);
    m.edges = true;
    m.now -= S;
    m.edge(a, true, false).wait(2 * S).relax(a).wait(S);
    let all = analysis(&mut m);
    assert_eq!((all.contradictions, all.sources[&0].sum.held_ns), (0, 2 * S));
    assert!(all.attempts[0].causes.is_empty());
}

#[test]
fn readings_show_charger_and_drain() {
    let mut m = Maker::full();
    let rtc = m.source(b"rtc0", 0);
    m.snapshot(Reason::Start);
    m.supply("", None, Some(1));
    m.supply("Charging", Some(2_000_000), None);
    m.wait(60 * S).supply("", None, Some(1));
    m.supply("Full", Some(2_100_000), None);
    m.wait(60 * S).supply("", None, Some(0));
    m.supply("Discharging", Some(2_100_000), None);
    m.wait(30 * S).supply("Discharging", Some(2_090_000), None);
    m.wait(MS).sleep(600 * S, Some(rtc)).supply("Discharging", Some(2_085_000), None);
    let all = analysis(&mut m);
    assert_eq!(all.power.charger_ns, Some(60 * S));
    let drain = all.power.drain.expect("a drain");
    assert_eq!((drain.awake_uah, drain.awake_ns), (10_000, 30 * S));
    assert_eq!((drain.asleep_uah, drain.asleep_ns / S), (5_000, 600));
    let report = build(&all, By::Name, None);
    assert!(report.findings.iter().any(|f| f.kind.key() == "charger"));
}

#[test]
fn deep_sleep_is_not_held_time() {
    let mut m = Maker::full();
    let odd = m.source(b"odd", 0);
    m.snapshot(Reason::Start).wait(S).activate(odd).wait(S);
    m.down(3, "").phase("syscore_suspend", 0, true).phase("syscore_suspend", 0, false);
    m.phase("machine_suspend", 3, true).phase("machine_suspend", 3, false);
    m.phase("syscore_resume", 0, true).wait(60 * S).phase("syscore_resume", 0, false);
    m.suspended += 60 * S;
    m.up().returned(0).wait(S).relax(odd).wait(S);
    let all = analysis(&mut m);
    assert_eq!(all.ledger.asleep_ns, 60 * S);
    // 20 ms of the attempt itself are awake.
    assert_eq!(all.sources[&0].sum.held_ns, 2 * S + 20 * MS);
}

#[test]
fn time_after_a_lost_return_is_unknown() {
    let mut m = Maker::full();
    let a = m.source(b"a", 0);
    m.snapshot(Reason::Start).activate(a).wait_begin(7).wait(S);
    m.phase("suspend_enter", 1, true).wait(MS).phase("sync_filesystems", 0, true).wait(9 * S);
    m.phase("suspend_enter", 1, true).wait(MS).returned(-22).wait(S).wait_end(7);
    let all = analysis(&mut m);
    assert_eq!((all.ledger.unknown_ns, all.ledger.blocked_ns), (9 * S, Some(2 * S)));
    assert_eq!(all.ledger.aborted_ns, 2 * MS);
}

#[test]
fn a_wait_from_within_a_gap_counts_from_its_end() {
    let mut m = Maker::full();
    m.snapshot(Reason::Start).wait_begin(7).wait(S);
    let mut bytes = m.cut();
    // Another capture's chunks: what came before them is not known any more.
    let mut rest = Maker::full();
    rest.now = m.now + 5 * S;
    let busy = rest.source(b"busy", 0);
    rest.activate(busy).snapshot(Reason::Tick).wait(4 * S).wait_end(9).wait(S);
    bytes.extend(&rest.finish()[FILE_HEADER..]);
    let all = analyze(&bytes).expect("a trace");
    assert_eq!(all.ledger.total_ns(), all.model.duration_ns());
    let lengths: Vec<_> = all.waits.iter().map(|w| w.end_ns.since(w.start_ns)).collect();
    // The first ends where the trace has a gap, the second begins there.
    assert_eq!(lengths, [0, 4 * S]);
    assert_eq!(blocked(&all, busy), (4 * S, 4 * S));
    assert_eq!((all.ledger.blocked_ns, all.ledger.unknown_ns), (Some(4 * S), 6 * S));
}
