//! Traces for other programs.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::packets::decode;
use common::{MS, Maker, S, file, golden, run, sleepwalk, stderr, stdout};
use sleepwalk::export::perfetto::proto::{DebugAnnotation, Ftrace, TracePacket, TrackEvent};
use sleepwalk_trace::record::{
    CountWrite, EDGE_ACTIVE, EDGE_SHARED, Edge, IrqDef, PowerSupply, Reason, Record, StringDef,
    WaitBegin, WaitEnd, Wake,
};

/// A trace with everything in it that an export has: edges, waits, wakes, power supplies, names that are
/// hostile, or those of several, a source held at the start and one at the end; `lossy`: some edges
/// are not, and the trace says so.
fn all_of_it(lossy: bool) -> Vec<u8> {
    let mut m = Maker::full();
    // Each edge is written out here.
    m.edges = false;
    let sources = [&b"modem_rx"[..], b"alarm", b"evil\x1b[31m\xff\n", b"eventpoll", b"eventpoll"];
    let [modem, alarm, evil, poll, other] = sources.map(|name| m.source(name, 3));
    for (id, text) in [(900, "battery"), (901, "Battery"), (902, "Discharging"), (903, "rtc0")] {
        m.push(Record::String(StringDef { id, bytes: text.as_bytes().to_vec() }));
    }
    m.push(Record::Irq(IrqDef { number: 34, name: 903, chip: 900 }));
    m.activate(modem).activate(other).wait(S).snapshot(Reason::Start);
    supply(&mut m, 80);
    edge(&mut m, modem, 0);
    m.relax(modem);
    m.push(Record::WaitEnd(WaitEnd { thread: 71, idle: true }));
    m.push(Record::CountWrite(CountWrite { thread: 71, saved: true }));
    m.wait(S).sleep(30 * S, None);
    m.push(Record::Wake(Wake { irq: 34 }));
    edge(&mut m, alarm, EDGE_ACTIVE);
    m.activate(alarm).wait(MS);
    // It comes late, like an event that lay in the ring buffer during a snapshot.
    m.wait(MS).snapshot(Reason::Tick);
    m.now -= MS / 2;
    edge(&mut m, evil, EDGE_ACTIVE);
    m.now += MS / 4;
    edge(&mut m, evil, 0);
    m.now += MS / 4;
    m.push(Record::WaitBegin(WaitBegin { thread: 71 }));
    m.wait(S);
    edge(&mut m, alarm, 0);
    m.relax(alarm);
    m.push(Record::WaitEnd(WaitEnd { thread: 71, idle: true }));
    m.push(Record::CountWrite(CountWrite { thread: 71, saved: false }));
    m.wait(S);
    if lossy {
        m.lost(2).aborted_in_sync(modem, 120 * MS);
    } else {
        edge(&mut m, modem, EDGE_ACTIVE);
        m.aborted_in_sync(modem, 120 * MS);
        m.now -= MS;
        edge(&mut m, modem, 0);
        m.now += MS;
    }
    edge(&mut m, poll, EDGE_ACTIVE | EDGE_SHARED);
    m.push(Record::WaitBegin(WaitBegin { thread: 71 }));
    m.wait(MS);
    supply(&mut m, 79);
    let late = m.source(b"late", 0);
    m.remove(other);
    m.activate(poll).wait(MS).snapshot(Reason::Tick);
    edge(&mut m, late, EDGE_ACTIVE);
    m.activate(late).wait(2 * MS).finish()
}

/// A suspend to RAM, in which the clock stops until syscore resumes, and one that the platform
/// refuses.
fn deep() -> Vec<u8> {
    let mut m = Maker::new();
    m.source(b"rtc", 0);
    m.snapshot(Reason::Start);
    for (slept, errno) in [(40 * S, 0), (0, -22)] {
        m.wait(S).down(3, "");
        m.phase("syscore_suspend", 0, true).wait(MS).phase("syscore_suspend", 0, false);
        m.phase("machine_suspend", 3, true).phase("machine_suspend", 3, false);
        m.phase("syscore_resume", 0, true).wait(slept + MS);
        m.suspended += slept;
        m.phase("syscore_resume", 0, false).up().wait(MS).returned(errno);
        m.wait(MS).snapshot(Reason::AttemptEnd).commit();
    }
    m.wait(S).finish()
}

fn edge(m: &mut Maker, source: u32, flags: u8) {
    m.push(Record::Edge(Edge { source, flags, state: Some(7) }));
}

fn supply(m: &mut Maker, capacity: i64) {
    m.push(Record::PowerSupply(PowerSupply {
        name: 900,
        kind: 901,
        status: 902,
        capacity: Some(capacity),
        charge_uah: Some(capacity * 40_000),
        current_ua: Some(-180_000),
        online: None,
    }));
}

fn export(trace: &[u8], to: &str) -> Vec<u8> {
    let (_dir, path) = file(trace);
    let output = run(&["export", path.to_str().expect("UTF-8"), "--to", to]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    output.stdout
}

/// One line a packet.
fn text(packets: &[TracePacket]) -> String {
    let mut out = String::new();
    let (mut tracks, mut names) = (BTreeMap::new(), BTreeMap::new());
    for packet in packets {
        let sequence = packet.trusted_packet_sequence_id;
        let interned = packet.interned_data.iter().flat_map(|data| &data.event_names);
        let interned = interned.map(|name| (name.iid, name.name.clone().unwrap_or_default()));
        names.extend(interned.map(|(iid, name)| ((sequence, iid), name)));
        if let Some(snapshot) = &packet.clock_snapshot {
            let clocks = snapshot.clocks.iter();
            let clocks = clocks.map(|c| format!(" {:?}={:?}", c.clock_id, c.timestamp));
            let primary = snapshot.primary_trace_clock;
            out += &format!("clocks of {primary:?}:{}\n", clocks.collect::<String>());
        } else if let Some(track) = &packet.track_descriptor {
            let name = track.name.clone().unwrap_or_default();
            let parent = track.parent_uuid.map(|uuid| tracks[&uuid]);
            let unit = track.counter.as_ref().and_then(|c| c.unit_name.clone());
            let about = track.description.clone().unwrap_or_default();
            let number = tracks.len();
            tracks.insert(track.uuid.unwrap_or_default(), number);
            out += &format!("track {number} {name:?} in {parent:?} {unit:?} {about:?}\n");
        } else if let Some(event) = &packet.track_event {
            let at = packet.timestamp.unwrap_or_default();
            let track = tracks[&event.track_uuid.unwrap_or_default()];
            let name = event.name_iid.map_or("", |_| &names[&(sequence, event.name_iid)]);
            out += &format!("{at} {track} {}\n", what(event, name));
        } else if let Some(bundle) = &packet.ftrace_events {
            for event in &bundle.event {
                out += &format!(
                    "{} ftrace {}\n",
                    event.timestamp.unwrap_or_default(),
                    ftrace(event.event.as_ref())
                );
            }
        } else {
            out += &format!("{:?}\n", packet.system_info);
        }
    }
    out.replace("Some(", "(")
}

fn what(event: &TrackEvent, name: &str) -> String {
    let notes = notes(&event.debug_annotations);
    let held =
        event.extra_counter_values.first().map_or_else(String::new, |n| format!(", {n} held"));
    match event.r#type {
        Some(1) => format!("begin {name:?}{notes}{held}"),
        Some(2) => format!("end{notes}{held}"),
        Some(3) => format!("instant {name:?}{notes}"),
        _ => format!("counter {:?}", event.counter_value),
    }
}

fn ftrace(event: Option<&Ftrace>) -> String {
    match event {
        Some(Ftrace::SuspendResume(e)) => format!("{:?} {:?} {:?}", e.action, e.val, e.start),
        Some(Ftrace::WakeupSourceActivate(e)) => format!("activate {:?}", e.name),
        Some(Ftrace::WakeupSourceDeactivate(e)) => format!("deactivate {:?}", e.name),
        Some(Ftrace::SuspendResumeMinimal(e)) => format!("minimal {:?}", e.start),
        None => "nothing".to_owned(),
    }
}

fn notes(notes: &[DebugAnnotation]) -> String {
    let one = |note: &DebugAnnotation| {
        let name = note.name.clone().unwrap_or_default();
        let value = match note {
            DebugAnnotation { bool_value: Some(value), .. } => value.to_string(),
            DebugAnnotation { uint_value: Some(value), .. } => value.to_string(),
            DebugAnnotation { int_value: Some(value), .. } => value.to_string(),
            DebugAnnotation { string_value: Some(value), .. } => value.clone(),
            _ => String::new(),
        };
        let inner = self::notes(&note.dict_entries) + &self::notes(&note.array_values);
        format!(" {name}={value}{inner}")
    };
    if notes.is_empty() {
        String::new()
    } else {
        format!(" {{{} }}", notes.iter().map(one).collect::<String>())
    }
}

#[test]
fn a_deep_sleep_lasts_until_syscore_resumes() {
    let packets = decode(&export(&deep(), "perfetto"));
    let events = packets.iter().flat_map(|packet| &packet.ftrace_events).flat_map(|b| &b.event);
    let sleeps = events.filter(|e| matches!(e.event, Some(Ftrace::SuspendResumeMinimal(_))));
    let sleeps = sleeps.map(|e| e.timestamp.unwrap_or_default()).collect::<Vec<_>>();
    // The platform refused the other.
    assert_eq!(sleeps.len(), 2, "{sleeps:?}");
    assert_eq!(sleeps[1] - sleeps[0], 40 * S + MS);
}

#[test]
fn json_lines_look_like_this() {
    let text = String::from_utf8(export(&all_of_it(false), "jsonl")).expect("UTF-8");
    golden("export.jsonl", &text);
}

#[test]
fn json_lines_are_in_order_and_harmless() {
    let text = String::from_utf8(export(&all_of_it(false), "jsonl")).expect("UTF-8");
    let mut last = 0;
    for line in text.lines() {
        assert!(!line.contains(char::is_control), "{line:?}");
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if line["kind"] != "session" {
            let at = line["at_ns"].as_u64().expect("a stamp");
            assert!(at >= last, "{line}");
            last = at;
        }
    }
}

#[test]
fn packets_look_like_this() {
    golden("export.perfetto.txt", &text(&decode(&export(&all_of_it(false), "perfetto"))));
}

#[test]
fn snapshots_show_lost_holds() {
    let text = text(&decode(&export(&all_of_it(true), "perfetto")));
    assert!(text.contains("\"events lost\" { events=2 }"), "{text}");
    assert_eq!(text.matches("begin \"modem_rx\"").count(), 2, "{text}");
}

/// `cargo xtask test` runs it, with a Python that has the package.
#[test]
#[ignore = "needs the Python package perfetto; cargo xtask test brings it in"]
fn perfetto_itself_reads_what_is_in_the_trace() {
    let python = std::env::var_os("SLEEPWALK_PERFETTO_PYTHON").expect("SLEEPWALK_PERFETTO_PYTHON");
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/perfetto/check.py");
    let traces = [
        ("all", all_of_it(false)),
        ("lossy", all_of_it(true)),
        ("deep", deep()),
        ("snapshots", common::everyday()),
        ("activators", common::activated::activated()),
    ];
    for (name, trace) in traces {
        let (dir, path) = file(&trace);
        let path = path.to_str().expect("UTF-8");
        for (part, args) in [
            ("export", &["export", path, "--to", "perfetto"][..]),
            ("dump", &["dump", path]),
            ("report", &["report", path, "--format", "json"]),
        ] {
            let output = run(args);
            assert!(output.status.success(), "{}", stderr(&output));
            fs::write(dir.path().join(part), output.stdout).expect("a file");
        }
        let parts = ["export", "dump", "report"].map(|part| dir.path().join(part));
        let checked = Command::new(&python).arg(&check).args(parts).output().expect("Python");
        assert!(checked.status.success(), "{name}: {}{}", stdout(&checked), stderr(&checked));
    }
}

#[test]
fn an_export_never_overwrites_the_trace() {
    let (dir, path) = file(&all_of_it(false));
    let trace = path.to_str().expect("UTF-8");
    let other = dir.path().join("t.pftrace");
    let out = other.to_str().expect("UTF-8");
    let output = run(&["export", trace, "--to", "perfetto", "-o", out]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", stderr(&output));
    assert_eq!(fs::read(&other).expect("a file"), export(&all_of_it(false), "perfetto"));
    let output = run(&["export", trace, "--to", "jsonl", "-o", trace]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("is one of the files that this command reads"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read(&path).expect("a file"), all_of_it(false));
}

#[test]
fn a_full_disk_is_an_error_and_no_trace_exits_5() {
    let (_dir, path) = file(&all_of_it(false));
    let mut command = sleepwalk();
    command.args(["export", path.to_str().expect("UTF-8"), "--to", "perfetto", "-o", "/dev/full"]);
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/dev/full: No space left"), "{}", stderr(&output));
    let (_dir, path) = file(b"no trace");
    let output = run(&["export", path.to_str().expect("UTF-8"), "--to", "jsonl"]);
    assert_eq!(output.status.code(), Some(5));
}
