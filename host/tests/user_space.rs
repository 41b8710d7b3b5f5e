//! Wakelocks and alarms of user space, from the output of services in a trace to each form of the report.

mod common;

use std::io::Write as _;

use common::{MS, Maker, REAL, S, SUSPENDER, T0};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};
use sleepwalk::export::perfetto::proto::TrackEvent;
use sleepwalk_trace::record::{
    CountWrite, DUMP_CUT, DUMP_GOES_ON, DUMP_TIMED_OUT, DUMP_WHOLE, Reason, Record, ServiceDump,
    WaitBegin, WaitEnd,
};

const WAKELOCKS: &str = "suspend_control_internal --wakelocks";

/// SystemSuspend's table of native wakelocks: name, process, whether one is held, and the total in ms.
fn wakelocks(rows: &[(&str, u32, bool, u64)]) -> String {
    let mut text =
        " | NAME | PID | TYPE | STATUS | ACTIVE COUNT | TOTAL TIME | MAX TIME | LAST CHANGE | \n"
            .to_owned();
    for (name, pid, held, total) in rows {
        let status = if *held { "Active" } else { "Inactive" };
        text += &format!(" | {name} | {pid} | Native | {status} | 0 | {total}ms | 1ms | 7ms | \n");
    }
    text
}

struct Trace {
    maker: Maker,
    dumps: u32,
}

impl Trace {
    fn new() -> Self {
        let mut maker = Maker::full();
        maker.snapshot(Reason::Start);
        Self { maker, dumps: 0 }
    }

    /// A dump in two parts.
    fn dump(&mut self, service: &str, text: &str, status: u8) {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).expect("compressed");
        let bytes = encoder.finish().expect("compressed");
        let (first, second) = bytes.split_at(bytes.len() / 2);
        for (status, bytes) in [(DUMP_GOES_ON, first), (status, second)] {
            self.maker.push(Record::ServiceDump(ServiceDump {
                dump: self.dumps,
                service: service.to_owned(),
                status,
                took_ns: 20 * MS,
                bytes: bytes.to_vec(),
            }));
        }
        self.dumps += 1;
    }

    /// The kernel is ready, and user space holds for `ns` in all; `asked` runs after 5 s of it.
    fn hold(&mut self, ns: u64, asked: impl FnOnce(&mut Self)) {
        self.maker.push(Record::WaitBegin(WaitBegin { thread: SUSPENDER }));
        self.maker.push(Record::WaitEnd(WaitEnd { thread: SUSPENDER, idle: true }));
        self.maker.wait(5 * S);
        asked(self);
        self.maker.wait(ns - 5 * S);
        self.maker.push(Record::CountWrite(CountWrite { thread: SUSPENDER, saved: true }));
        self.maker.wait(MS);
    }

    fn report(mut self) -> (Value, String) {
        self.maker.snapshot(Reason::End);
        let (_folder, path) = common::file(&self.maker.finish());
        let path = path.display().to_string();
        let json = common::stdout(&common::run(&["report", &path, "--format", "json"]));
        let table = common::stdout(&common::run(&["report", &path]));
        (serde_json::from_str(&json).expect("JSON"), table)
    }
}

fn row<'a>(report: &'a Value, name: &str) -> &'a Value {
    let rows = report["user_space"]["wakelocks"].as_array().expect("wakelocks");
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name} in {rows:?}"))
}

#[test]
fn a_hold_is_charged_to_what_was_found_held() {
    let mut trace = Trace::new();
    trace.dump(
        WAKELOCKS,
        &wakelocks(&[("hal_lock", 12, false, 100), ("idle", 9, false, 5)]),
        DUMP_WHOLE,
    );
    // One wakelock, and then two at once.
    trace.hold(20 * S, |trace| {
        let rows = [("hal_lock", 12, true, 5_100), ("idle", 9, false, 5)];
        trace.dump(WAKELOCKS, &wakelocks(&rows), DUMP_WHOLE);
    });
    trace.hold(10 * S, |trace| {
        let rows = [("hal_lock", 12, true, 25_100), ("radio", 12, true, 9_000)];
        trace.dump(WAKELOCKS, &wakelocks(&rows), DUMP_WHOLE);
    });
    // Nobody asked.
    trace.hold(6 * S, |_| {});
    let rows =
        [("hal_lock", 12, false, 30_100), ("radio", 12, false, 14_000), ("idle", 9, false, 5)];
    trace.dump(WAKELOCKS, &wakelocks(&rows), DUMP_WHOLE);
    let (report, table) = trace.report();
    assert_eq!(report["ledger"]["user_space_ns"], 36 * S);
    assert_eq!(report["user_space"]["charged_ns"], 30 * S);
    let holds = report["user_space"]["holds"].as_array().expect("holds");
    let held: Vec<_> = holds.iter().map(|hold| &hold["held"]).collect();
    assert_eq!(held, [&json!([0]), &json!([0, 1])]);
    let hal = row(&report, "hal_lock");
    assert_eq!(hal["charged_ns"], 25 * S);
    assert_eq!(hal["held_ns"], 30 * S);
    assert_eq!((&hal["found_held"], &hal["pid"]), (&json!(2), &json!(12)));
    assert_eq!(hal["evidence"], "asked_while_held");
    assert_eq!(row(&report, "radio")["charged_ns"], 5 * S);
    // It was new: all of its total is from the capture.
    assert_eq!(row(&report, "radio")["held_ns"], 14 * S);
    let names: Vec<_> = report["user_space"]["wakelocks"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|r| &r["name"])
        .collect();
    assert_eq!(names, ["hal_lock", "radio"]);
    assert!(
        table.contains("30.0 s of 36.0 s in which user space was not ready is charged."),
        "{table}"
    );
}

#[test]
fn an_answer_that_was_cut_has_no_difference() {
    let mut trace = Trace::new();
    // The first lacks most rows: their totals are not from the capture.
    trace.dump(WAKELOCKS, &wakelocks(&[("hal_lock", 12, false, 100)]), DUMP_CUT);
    trace.maker.wait(S);
    trace.dump(
        WAKELOCKS,
        &wakelocks(&[("hal_lock", 12, false, 100), ("radio", 9, false, 90_000)]),
        DUMP_WHOLE,
    );
    let (report, table) = trace.report();
    assert_eq!(report["user_space"]["wakelocks"], json!([]));
    assert_eq!(report["user_space"]["wakelocks_over_ns"], Value::Null);
    assert!(table.contains("the answer was too long, and was cut"), "{table}");
}

#[test]
fn the_screen_is_unknown_without_its_wakelocks() {
    let mut trace = Trace::new();
    for total in [100, 200] {
        trace.dump(WAKELOCKS, &wakelocks(&[("hal_lock", 12, false, total)]), DUMP_WHOLE);
        trace.maker.wait(S);
    }
    assert_eq!(trace.report().0["user_space"]["screen_ns"], Value::Null);
}

#[test]
fn the_screen_has_a_line_of_its_own() {
    let mut trace = Trace::new();
    let of = |lockout, display| {
        let rows = [
            ("PowerManager.SuspendLockout", 4, true, lockout),
            ("PowerManagerService.Display", 4, true, display),
        ];
        wakelocks(&rows)
    };
    trace.dump(WAKELOCKS, &of(1_000, 1_000), DUMP_WHOLE);
    trace.maker.wait(400 * S);
    trace.dump(WAKELOCKS, &of(313_846, 313_845), DUMP_WHOLE);
    let (report, table) = trace.report();
    assert_eq!(report["user_space"]["screen_ns"], 312_846 * MS);
    assert!(table.contains("The screen kept it awake for 5 m 13 s"), "{table}");
}

#[test]
fn apps_share_the_wakelock_of_the_framework() {
    let mut trace = Trace::new();
    let power = "Wake Locks: size=3\n\
        \x20 PARTIAL_WAKE_LOCK 'sync' ACQ=-5s0ms (uid=1000 pid=4 ws=WorkSource{10219 com.mail})\n\
        \x20 PARTIAL_WAKE_LOCK 'gone' DISABLED (uid=10086 pid=5)\n\
        \x20 PARTIAL_WAKE_LOCK 'play' (uid=10087 pid=6)\n\nSuspend Blockers: size=0\n";
    trace.hold(20 * S, |trace| {
        let rows = [("PowerManagerService.WakeLocks", 4, true, 5_000)];
        trace.dump(WAKELOCKS, &wakelocks(&rows), DUMP_WHOLE);
        trace.maker.wait(MS);
        trace.dump("power", power, DUMP_WHOLE);
    });
    let (report, table) = trace.report();
    let of = |name| (row(&report, name)["charged_ns"].clone(), row(&report, name)["uid"].clone());
    assert_eq!(row(&report, "PowerManagerService.WakeLocks")["charged_ns"], 20 * S + MS);
    assert_eq!(of("sync"), (json!((20 * S + MS) / 2), json!(10_219)));
    assert_eq!(of("play"), (json!((20 * S + MS) / 2), json!(10_087)));
    assert!(
        report["user_space"]["wakelocks"]
            .as_array()
            .expect("rows")
            .iter()
            .all(|r| r["name"] != "gone")
    );
    assert_eq!(report["user_space"]["wakelocks_over_ns"], Value::Null);
    assert!(table.contains("com.mail") && table.contains("asked while held"), "{table}");
}

/// Fields of protocol buffers.
fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

/// A Perfetto trace with app wakelocks: tag, user id, acquire and release from [`T0`]. Its wall clock is off by `off`.
fn perfetto(wakelocks: &[(&str, u64, u64, u64)], off: i64) -> Vec<u8> {
    let clock = |id, at: u64| bytes(1, &[number(1, id), number(2, at)].concat());
    let clocks = [clock(6, T0), clock(1, (REAL + off) as u64)].concat();
    let packet = |parts: &[Vec<u8>]| bytes(1, &parts.concat());
    let stamp = |at: u64| [number(8, at), number(10, 3)].concat();
    let mut trace = packet(&[stamp(T0 - S), bytes(6, &clocks)]);
    for (place, (tag, uid, start, end)) in wakelocks.iter().enumerate() {
        let iid = place as u64 + 1;
        let info =
            [number(1, iid), bytes(2, tag.as_bytes()), number(3, 1), number(5, *uid)].concat();
        let stamps = [varint(1), varint((end - start) << 1)].concat();
        let bundle = [bytes(1, &[iid as u8, iid as u8]), bytes(2, &stamps)].concat();
        let interned = bytes(12, &bytes(42, &info));
        trace.extend(packet(&[stamp(T0 + start), interned, bytes(116, &bundle)]));
    }
    trace.extend(packet(&[stamp(T0 + 3_600 * S)]));
    trace
}

#[test]
fn a_perfetto_trace_of_the_same_boot_is_merged() {
    let mut trace = Trace::new();
    trace.maker.wait(10 * S);
    trace.hold(20 * S, |_| {});
    trace.maker.snapshot(Reason::End);
    let (folder, capture) = common::file(&trace.maker.finish());
    let wakelocks = [("sync", 10_219, 5 * S, 20 * S), ("play", 10_087, 15 * S, 40 * S)];
    let import = |off: i64| {
        let path = folder.path().join("a.pftrace");
        std::fs::write(&path, perfetto(&wakelocks, off)).expect("a file");
        let args = ["import", path.to_str().expect("UTF-8"), "--format", "json", "--trace"];
        common::run(&[&args[..], &[capture.to_str().expect("UTF-8")]].concat())
    };
    let output = import(0);
    assert!(output.status.success(), "{}", common::stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // One alone for 5 s, both for 5 s, the other alone for 10 s.
    for (name, ns) in
        [("sync", 7_500 * MS), ("play", 12_500 * MS), ("PowerManagerService.WakeLocks", 20 * S)]
    {
        let row = row(&report, name);
        assert_eq!(
            (&row["charged_ns"], &row["evidence"]),
            (&json!(ns), &json!("traced")),
            "{name}"
        );
    }
    assert_eq!(report["user_space"]["charged_ns"], 20 * S);
    let refused = import(60 * S as i64);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        common::complaint(&refused).contains("another boot"),
        "{}",
        common::complaint(&refused)
    );
}

#[test]
fn perfetto_has_a_slice_for_each_hold() {
    let mut trace = Trace::new();
    trace.hold(20 * S, |trace| {
        trace.dump(WAKELOCKS, &wakelocks(&[("hal_lock", 12, true, 5_100)]), DUMP_WHOLE);
    });
    trace.maker.snapshot(Reason::End);
    let (_folder, path) = common::file(&trace.maker.finish());
    let output = common::run(&["export", "--to", "perfetto", &path.display().to_string()]);
    assert!(output.status.success(), "{}", common::stderr(&output));
    let packets = common::packets::decode(&output.stdout);
    let tracks = packets.iter().filter_map(|packet| packet.track_descriptor.as_ref());
    let track = tracks.clone().find(|track| track.name.as_deref() == Some("hal_lock (pid 12)"));
    let uuid = track.expect("a track").uuid;
    let of_it = |event: &TrackEvent| event.track_uuid == uuid;
    let events = packets.iter().filter(|packet| packet.track_event.as_ref().is_some_and(of_it));
    let stamps: Vec<_> = events.map(|packet| packet.timestamp.expect("a stamp")).collect();
    assert_eq!(stamps.len(), 2);
    assert_eq!(stamps[1] - stamps[0], 20 * S);
}

#[test]
fn alarms_that_came_are_listed() {
    let alarms = |n: u64| {
        format!(
            "  Alarm Stats:\n  u0a86:com.chatty +1s0ms running, {n} wakeups:\n    +1s0ms {n} wakes {n} alarms, \
             last -1s0ms:\n      *walarm*:com.chatty/.Poll\n  1000:android 0 running, 4 wakeups:\n    0 4 wakes 4 \
             alarms, last -9s0ms:\n      *walarm*:tick\n"
        )
    };
    let mut trace = Trace::new();
    trace.dump("alarm", &alarms(3), DUMP_WHOLE);
    trace.maker.wait(S);
    trace.dump("alarm", &alarms(10), DUMP_WHOLE);
    let (report, table) = trace.report();
    let expected = json!([{"uid": 10_086, "package": "com.chatty", "tag": "*walarm*:com.chatty/.Poll", "wakeups": 7}]);
    assert_eq!(report["user_space"]["alarms"], expected);
    assert!(table.contains("Wakeup alarms that came"), "{table}");
}

#[test]
fn questions_without_an_answer_are_doubts() {
    let mut trace = Trace::new();
    trace.dump("power", "Wake Locks: size=1\n  PARTIAL_WAKE_LOCK 'cut", DUMP_TIMED_OUT);
    let (report, table) = trace.report();
    assert_eq!(report["user_space"]["questions"][0]["status"], "timed_out");
    assert_eq!(report["user_space"]["lines_not_understood"], 1);
    assert!(table.contains("dumpsys power: it did not answer in time"), "{table}");
    // A trace without questions says nothing of user space.
    let (report, table) = Trace::new().report();
    assert_eq!(report["user_space"], Value::Null);
    // Nothing of no time is a finding.
    assert_eq!(report["findings"], json!([]));
    assert!(!table.contains("Questions to Android"), "{table}");
}
