//! Report, JSON lines and Perfetto agree on when each source was held and who waited, to the nanosecond,
//! on any trace.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::packets::decode;
use common::{MS, Maker, T0};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use sleepwalk::analyze::{Analysis, analyze, analyze_to};
use sleepwalk::export::perfetto::proto::event;
use sleepwalk::export::{jsonl, perfetto};
use sleepwalk::report::{By, build};
use sleepwalk_trace::record::{HOOKS, Reason};

/// The last two have one name and share its pointer.
const NAMES: [&str; 5] = ["modem", "wlan", "usb", "eventpoll", "eventpoll"];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The second: whether the edge is in the trace.
    Toggle(u32, bool),
    Wait(u32),
    Snapshot,
    Lost,
    Sleep(u64, Option<u32>),
    Commit,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0u32..5, prop::bool::weighted(0.97)).prop_map(|(i, seen)| Step::Toggle(i, seen)),
        3 => (0u32..3).prop_map(Step::Wait),
        3 => Just(Step::Snapshot),
        1 => Just(Step::Lost),
        1 => (1_000_000u64..90_000_000, prop::option::of(0u32..3))
            .prop_map(|(ns, waker)| Step::Sleep(ns, waker)),
        2 => Just(Step::Commit),
    ]
}

fn make(edges: bool, steps: &[(u64, Step)]) -> Vec<u8> {
    let hooks = HOOKS.map(|what| (what, "fexit"));
    let hooks: Vec<_> = hooks.into_iter().filter(|(what, _)| edges || *what != "edge").collect();
    let mut m = Maker::hooked(&hooks);
    NAMES.iter().for_each(|name| {
        m.source(name.as_bytes(), 0);
    });
    m.snapshot(Reason::Start);
    let (mut active, mut waits) = ([false; 5], [false; 3]);
    for &(after, step) in steps {
        m.wait(after);
        match step {
            Step::Toggle(source, seen) => {
                let on = !std::mem::replace(&mut active[source as usize], true);
                active[source as usize] = on;
                m.edges = edges && seen;
                match (source, on) {
                    (3 | 4, on) => m.shared(source, 3, on),
                    (_, true) => m.activate(source),
                    (_, false) => m.relax(source),
                };
                m.edges = edges;
            }
            Step::Wait(thread) => {
                let waiting = &mut waits[thread as usize];
                *waiting = !*waiting;
                if *waiting {
                    m.wait_begin(thread)
                } else {
                    m.wait_end(thread)
                };
            }
            Step::Snapshot => {
                m.snapshot(Reason::Tick);
            }
            Step::Lost => {
                m.lost(1);
            }
            Step::Sleep(ns, waker) => {
                m.phase("suspend_enter", 1, true).wait(7).phase("machine_suspend", 1, true);
                m.wait(ns);
                if let Some(waker) = waker.filter(|waker| !active[*waker as usize]) {
                    active[waker as usize] = true;
                    m.activate(waker).wait(11);
                }
                m.phase("machine_suspend", 1, false).wait(5).returned(0);
            }
            Step::Commit => {
                m.commit();
            }
        }
    }
    m.finish()
}

type Waits = Vec<(u32, u64, u64)>;

/// Start and end of holds.
type Spans = Vec<(u64, u64)>;

/// Name and instance, and when it was held.
type Holds = BTreeMap<(String, u64), Spans>;

/// Time held by instance, the waits, and the holds.
fn of_jsonl(bytes: &[u8], all: &Analysis) -> (BTreeMap<u64, u64>, Waits, Holds) {
    let mut out = Vec::new();
    jsonl::write(bytes, all, &mut out).expect("an export");
    let (mut held, mut waits, mut holds) = (BTreeMap::new(), Vec::new(), Holds::new());
    let mut ends = BTreeMap::new();
    for line in out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_slice(line).expect("JSON");
        let number = |key: &str| line[key].as_u64().expect("a number");
        match line["kind"].as_str() {
            Some("hold") => {
                let (instance, start) = (number("instance"), number("start_ns"));
                let before = ends.insert(instance, number("end_ns"));
                assert!(before <= Some(start), "two holds of {instance} at {start}");
                *held.entry(instance).or_default() += number("end_ns") - start;
                let name = line["name"].as_str().expect("a name").to_owned();
                holds.entry((name, instance)).or_default().push((start, number("end_ns")));
            }
            Some("wait") => {
                waits.push((number("thread") as u32, number("start_ns"), number("end_ns")));
            }
            _ => {}
        }
    }
    waits.sort_unstable();
    (held, waits, holds)
}

/// Spans joined where at most `grain` lies between them.
fn joined(mut spans: Spans, grain: u64) -> Spans {
    spans.sort_unstable();
    let mut out = Spans::new();
    for (start, end) in spans {
        match out.last_mut() {
            Some(last) if start <= last.1.saturating_add(grain) => last.1 = last.1.max(end),
            _ => out.push((start, end)),
        }
    }
    out
}

/// Holds the times of sources and names, and the drawing, against the holds one by one.
fn hold_against(holds: &Holds, bytes: &[u8]) {
    let Ok(drawn) = analyze_to(bytes, true) else { return };
    let grain = drawn.model.duration_ns() / 16_384;
    for by in [By::Instance, By::Name] {
        for source in build(&drawn, by, None).sources {
            let own = holds.iter().filter(|((name, instance), _)| match source.instance {
                Some(own) => *instance == u64::from(own),
                None => *name == source.name.text(),
            });
            let own: Vec<&Spans> = own.map(|(_, spans)| spans).collect();
            let union = joined(own.iter().copied().flatten().copied().collect(), 0);
            let held_ns: u64 = union.iter().map(|(start, end)| end - start).sum();
            let longest = union.iter().map(|(start, end)| end - start).max().unwrap_or(0);
            let at = union.iter().find(|(start, end)| longest > 0 && end - start == longest);
            let sum = &source.sum;
            assert_eq!((sum.held_ns, sum.longest_hold_ns), (held_ns, longest), "{source:?}");
            assert_eq!(source.longest_hold_at_ns.map(|at| at.0), at.map(|(start, _)| *start));
            assert!(held_ns <= drawn.model.duration_ns());
            let coarse = own.into_iter().flat_map(|spans| joined(spans.clone(), grain));
            let spans = source.spans.iter().map(|span| (span.start_ns.0, span.end_ns.0));
            assert_eq!(spans.collect::<Spans>(), joined(coarse.collect(), 0), "{source:?}");
        }
    }
}

fn of_perfetto(bytes: &[u8], all: &Analysis) -> (BTreeMap<u64, u64>, Waits) {
    let mut out = Vec::new();
    perfetto::write(bytes, all, &mut out).expect("an export");
    let packets = decode(&out);
    common::packets::check(&packets, all.model.start.0, all.model.end.0).expect("sound packets");
    let mut slices = BTreeMap::<u64, Vec<(u64, bool)>>::new();
    let mut names = BTreeMap::new();
    for packet in &packets {
        if let Some(track) = &packet.track_descriptor {
            names.insert(track.uuid.unwrap_or_default(), track.name.clone().unwrap_or_default());
        }
        let Some(happened) = &packet.track_event else { continue };
        let ends = [event::SLICE_BEGIN, event::SLICE_END];
        if let Some(kind) = happened.r#type.filter(|kind| ends.contains(kind)) {
            let at = packet.timestamp.unwrap_or_default();
            let ends = slices.entry(happened.track_uuid.unwrap_or_default()).or_default();
            ends.push((at, kind == event::SLICE_BEGIN));
        }
    }
    let (mut held, mut waits) = (BTreeMap::new(), Vec::new());
    for (track, mut ends) in slices {
        ends.sort_by_key(|(at, _)| *at);
        let name = &names[&track];
        for pair in ends.chunks(2).filter(|_| name != "Suspend attempts") {
            let [(start, true), (end, false)] = pair else { panic!("{name}: {pair:?}") };
            if let Some(thread) = name.strip_prefix("thread ") {
                waits.push((thread.parse().expect("a thread"), *start, *end));
            } else {
                // A source's track is its instance plus 1.
                *held.entry(track - 1).or_default() += end - start;
            }
        }
    }
    waits.sort_unstable();
    (held, waits)
}

fn agree(bytes: &[u8]) {
    let Ok(all) = analyze(bytes) else { return };
    let wanted: BTreeMap<u64, u64> = all
        .sources
        .iter()
        .map(|(i, s)| (u64::from(*i), s.sum.held_ns))
        .filter(|s| s.1 > 0)
        .collect();
    let mut waits: Waits =
        all.waits.iter().map(|wait| (wait.thread, wait.start_ns.0, wait.end_ns.0)).collect();
    waits.sort_unstable();
    let (held, exported, holds) = of_jsonl(bytes, &all);
    hold_against(&holds, bytes);
    for (held, exported) in [(held, exported), of_perfetto(bytes, &all)] {
        let held: BTreeMap<_, _> = held.into_iter().filter(|(_, ns)| *ns > 0).collect();
        assert_eq!(held, wanted);
        assert_eq!(exported, waits);
    }
}

proptest! {
    #[test]
    fn report_and_exports_agree_on_holds(
        edges in prop::bool::weighted(0.8),
        steps in vec((0u64..5_000_000, step()), 1..120),
        damage in prop::option::of(0usize..1_000_000)
    ) {
        let mut bytes = make(edges, &steps);
        if let Some(damage) = damage {
            let at = 16 + damage % (bytes.len() - 16);
            bytes[at] ^= 0x55;
        }
        agree(&bytes);
    }
}

/// Instance, start and end in ms after the first snapshot, and whether they are exact.
fn holds(bytes: &[u8]) -> Vec<(u64, u64, u64, bool)> {
    let mut out = Vec::new();
    let all = analyze(bytes).expect("a trace");
    jsonl::write(bytes, &all, &mut out).expect("an export");
    let lines = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines = lines.map(|line| serde_json::from_slice::<Value>(line).expect("JSON"));
    let hold = |line: Value| {
        let ms = |key: &str| (line[key].as_u64().expect("a stamp") - T0) / MS;
        let instance = line["instance"].as_u64().expect("a number");
        (instance, ms("start_ns"), ms("end_ns"), line["exact"].is_null())
    };
    lines.filter(|line| line["kind"] == "hold").map(hold).collect()
}

#[test]
fn a_lost_edge_is_made_up_for_by_counters() {
    let mut m = Maker::full();
    m.source(b"modem", 0);
    m.snapshot(Reason::Start);
    m.wait(10 * MS).activate(0).wait(5 * MS).relax(0).wait(MS).activate(0).wait(3 * MS);
    m.edges = false;
    m.relax(0);
    m.edges = true;
    m.wait(MS).lost(1).wait(MS).snapshot(Reason::Lost).wait(MS).activate(0).wait(MS).relax(0);
    let wanted = [(0, 10, 15, true), (0, 16, 19, false), (0, 22, 23, true)];
    assert_eq!(holds(&m.finish()), wanted);
}

#[test]
fn without_edges_counters_place_holds() {
    let mut m = Maker::new();
    m.source(b"modem", 0);
    m.activate(0).snapshot(Reason::Start);
    // Released and taken again: from the start, and since its last change.
    m.wait(10 * MS).relax(0).wait(5 * MS).activate(0).wait(5 * MS).snapshot(Reason::Tick);
    m.wait(5 * MS).relax(0).wait(5 * MS).snapshot(Reason::Tick);
    // Twice between two snapshots: all of it up to the last change.
    m.wait(MS).activate(0).wait(2 * MS).relax(0).wait(MS).activate(0).wait(2 * MS).relax(0);
    m.wait(4 * MS).snapshot(Reason::Tick);
    let wanted = [(0, 0, 10, false), (0, 15, 25, false), (0, 32, 36, false)];
    assert_eq!(holds(&m.finish()), wanted);
}

#[test]
fn sources_of_a_shared_name_have_their_own_holds() {
    let mut m = Maker::full();
    m.source(b"eventpoll", 0);
    m.source(b"eventpoll", 0);
    m.snapshot(Reason::Start).wait(MS);
    m.shared(0, 0, true).wait(2 * MS).shared(1, 0, true).wait(3 * MS).shared(0, 0, false);
    m.wait(5 * MS).shared(1, 0, false).wait(5 * MS).snapshot(Reason::Tick);
    assert_eq!(holds(&m.finish()), [(0, 1, 6, false), (1, 3, 11, false)]);
}

#[test]
fn sleep_splits_a_hold() {
    let mut m = Maker::full();
    m.source(b"modem", 0);
    m.snapshot(Reason::Start).wait(MS).activate(0).wait(MS);
    m.phase("suspend_enter", 1, true).phase("machine_suspend", 1, true).wait(100 * MS);
    m.phase("machine_suspend", 1, false).returned(0).wait(MS).relax(0).wait(MS);
    assert_eq!(holds(&m.finish()), [(0, 1, 2, true), (0, 102, 103, true)]);
}

#[test]
fn a_gap_ends_a_hold_and_a_wait() {
    let mut m = Maker::full();
    m.source(b"modem", 0);
    m.snapshot(Reason::Start).wait(MS).activate(0).wait_begin(7).wait(MS);
    m.snapshot(Reason::Tick).commit();
    let damaged = m.bytes.len();
    m.wait(50 * MS).relax(0).wait_end(7).wait(MS).commit();
    let end = m.bytes.len();
    m.wait(50 * MS).activate(0).wait(MS).relax(0);
    let mut bytes = m.finish();
    bytes[(damaged + end) / 2] ^= 0x55;
    agree(&bytes);
    assert_eq!(holds(&bytes)[0], (0, 1, 2, true));
    let waits = analyze(&bytes).expect("a trace").waits;
    assert_eq!((waits[0].end_ns.0 - T0) / MS, 2);
}

#[test]
fn golden_traces_and_cases_agree_on_holds() {
    let mut traces = vec![common::night(), common::everyday()];
    for folder in ["../trace/tests/golden", "tests/cases"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let before = traces.len();
        for entry in fs::read_dir(folder).expect("the folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|ext| ext == "swk") {
                traces.push(fs::read(path).expect("a trace"));
            }
        }
        assert!(traces.len() > before + 1);
    }
    traces.iter().for_each(|trace| agree(trace));
}
