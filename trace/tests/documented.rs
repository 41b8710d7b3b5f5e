//! The bytes of each kind of record, as docs/trace-format.md has them.

use sleepwalk_trace::chunk::{CHUNK_HEADER, FILE_HEADER, file_header};
use sleepwalk_trace::record::{
    ActivatedBy, Activator, CountWrite, Edge, End, EpollWaiter, HookRun, HookRuns, IrqDef,
    LEVEL_SOFT_IRQ, Lost, Note, Phase, PowerSupply, Reason, Record, ServiceDump, Snapshot,
    SourceDef, SourceDelta, SourceDevice, Stamped, StringDef, SuspendReturn, SuspendStats,
    WaitBegin, WaitEnd, Waiters, Wake, WakeReason,
};
use sleepwalk_trace::time::{BootNanos, Clocks, MonoNanos, RealNanos};
use sleepwalk_trace::write::ChunkWriter;

const CLOCKS: Clocks = Clocks { boot: BootNanos(900), suspended_ns: 30, real: RealNanos(1 << 60) };

/// A record of each kind except the session and the overhead.
fn records() -> Vec<Stamped> {
    let at = |at, record| Stamped { at: BootNanos(at), record };
    let delta = SourceDelta { instance: 2, state: 1, mask: 0b10_0000_0001, deltas: vec![7, 300] };
    vec![
        at(1_000, Record::String(StringDef { id: 0, bytes: b"rtc\xff".to_vec() })),
        at(
            1_010,
            Record::Source(SourceDef {
                instance: 2,
                name: 0,
                name_cut: false,
                id: Some(260),
                address: 0xffff_0000_1234_5678,
                name_pointer: 70_000,
            }),
        ),
        at(
            1_005,
            Record::Snapshot(Snapshot {
                reason: Reason::AttemptBegin,
                mono: MonoNanos(251),
                took_ns: 250,
                seen: 1,
                stored: 1,
                broken: false,
                late: false,
                full: true,
                changed: vec![delta],
                gone: vec![9],
            }),
        ),
        at(1_105, Record::Phase(Phase { action: 3, value: -2, begin: true })),
        at(1_106, Record::Return(SuspendReturn { errno: Some(-16) })),
        at(1_106, Record::Lost(Lost { events: 251 })),
        at(1_106, Record::Edge(Edge { source: 2, flags: 1, state: Some(65_537) })),
        at(1_206, Record::Edge(Edge { source: 2, flags: 0, state: None })),
        at(1_206, Record::WaitBegin(WaitBegin { thread: 7 })),
        at(1_206, Record::WaitEnd(WaitEnd { thread: 7, idle: true })),
        at(1_206, Record::CountWrite(CountWrite { thread: 7, saved: false })),
        at(1_206, Record::Irq(IrqDef { number: 22, name: 4, chip: 5 })),
        at(1_206, Record::Wake(Wake { irq: 22 })),
        at(
            1_206,
            Record::PowerSupply(PowerSupply {
                name: 6,
                kind: 7,
                status: 8,
                capacity: Some(50),
                charge_uah: None,
                current_ua: Some(-3),
                online: Some(1),
            }),
        ),
        at(
            1_206,
            Record::SuspendStats(SuspendStats {
                counters: vec![(9, 10), (11, 300)],
                last_device: 12,
                last_errno: -16,
                last_step: 13,
            }),
        ),
        at(
            1_206,
            Record::Waiters(Waiters {
                how: "wchan".into(),
                why: String::new(),
                took_ns: 300,
                seen: 9,
                threads: vec![7, 260],
            }),
        ),
    ]
}

/// The records of the agent's files and its end.
fn last_records() -> Vec<Stamped> {
    let at = |at, record| Stamped { at: BootNanos(at), record };
    vec![
        at(
            1_206,
            Record::WakeReason(WakeReason {
                irq: Some(300),
                reason: b"a\xff".to_vec(),
                freeze_timeout_ms: None,
            }),
        ),
        at(
            1_206,
            Record::HookRuns(HookRuns {
                hooks: vec![HookRun { what: "edge".into(), runs: None, missed: Some(5) }],
            }),
        ),
        at(1_206, Record::Note(Note { about: "hooks".into(), text: "on".into() })),
        at(
            1_206,
            Record::Activator(Activator {
                id: 7,
                function: 2,
                module: 3,
                level: LEVEL_SOFT_IRQ,
                process: 300,
                thread: 5,
                uid: 0,
                comm: 4,
                frames: vec!["a+0x4".into()],
            }),
        ),
        at(1_206, Record::ActivatedBy(ActivatedBy { source: 2, activator: 7 })),
        at(
            1_206,
            Record::SourceDevice(SourceDevice {
                source: 2,
                path: 5,
                driver: 6,
                compatible: 7,
                irq: Some(300),
            }),
        ),
        at(1_206, Record::EpollWaiter(EpollWaiter { name: 5, process: 300, uid: 0, comm: 6 })),
        at(
            1_206,
            Record::ServiceDump(ServiceDump {
                dump: 3,
                service: "power".into(),
                status: 1,
                took_ns: 300,
                bytes: vec![0x78, 0x9c],
            }),
        ),
        at(1_206, Record::End(End { reason: "signal".into() })),
    ]
}

/// Their bytes, written by hand from `docs/trace-format.md`, which readers in other languages
/// follow.
#[rustfmt::skip]
fn documented() -> Vec<u8> {
    [
        // length, kind, stamp, body
        &[8, 2, 0, 0, 4, b'r', b't', b'c', 0xff][..],
        &[23, 3, 20, 2, 0, 0, 1, 251, 4, 1, 253, 0x78, 0x56, 0x34, 0x12, 0, 0, 0xff, 0xff, 252, 0x70, 0x11, 1, 0],
        &[25, 4, 9, 2, 251, 251, 0, 250, 1, 1, 0, 0, 1, 1, 2, 1, 251, 1, 2, 2, 7, 251, 44, 1, 1, 9],
        &[5, 5, 200, 3, 3, 1],
        &[4, 6, 2, 1, 31],
        &[5, 7, 0, 251, 251, 0],
        &[10, 10, 0, 2, 1, 1, 252, 1, 0, 1, 0],
        &[5, 10, 200, 2, 0, 0],
        &[3, 11, 0, 7],
        &[4, 12, 0, 7, 1],
        &[4, 13, 0, 7, 0],
        &[5, 14, 0, 22, 4, 5],
        &[3, 15, 0, 22],
        &[12, 16, 0, 6, 7, 8, 1, 100, 0, 1, 5, 1, 2],
        &[12, 17, 0, 2, 9, 10, 11, 251, 44, 1, 12, 31, 13],
        &[18, 18, 0, 5, b'w', b'c', b'h', b'a', b'n', 0, 251, 44, 1, 9, 2, 7, 251, 4, 1],
        &[10, 19, 0, 1, 251, 44, 1, 2, b'a', 0xff, 0],
        &[11, 20, 0, 1, 4, b'e', b'd', b'g', b'e', 0, 1, 5],
        &[11, 21, 0, 5, b'h', b'o', b'o', b'k', b's', 2, b'o', b'n'],
        &[19, 22, 0, 7, 2, 3, 1, 251, 44, 1, 5, 0, 4, 1, 5, b'a', b'+', b'0', b'x', b'4'],
        &[4, 23, 0, 2, 7],
        &[10, 24, 0, 2, 5, 6, 7, 1, 251, 44, 1],
        &[8, 25, 0, 5, 251, 44, 1, 0, 6],
        &[16, 26, 0, 3, 5, b'p', b'o', b'w', b'e', b'r', 1, 251, 44, 1, 2, 0x78, 0x9c],
        &[9, 9, 0, 6, b's', b'i', b'g', b'n', b'a', b'l'],
    ]
    .concat()
}

#[test]
fn bytes_are_as_documented() {
    let payload = documented();
    let mut writer = ChunkWriter::default();
    let records = [records(), last_records()].concat();
    records.iter().for_each(|record| writer.push_stamped(record));
    let bytes = [&file_header(0)[..], &writer.seal(CLOCKS).expect("a chunk")].concat();
    let chunk = &bytes[FILE_HEADER..];
    assert_eq!(&chunk[CHUNK_HEADER..CHUNK_HEADER + payload.len()], payload);
    assert_eq!(
        &bytes[..FILE_HEADER],
        b"\x89SWK\r\n\x1a\n\x01\0\x18\0\xb3\x81\xe6\xfb\0\0\0\0\0\0\0\0".as_slice()
    );
    let mut header = b"SWCK".to_vec();
    header.extend((payload.len() as u32).to_le_bytes());
    header.extend([0; 4]);
    assert_eq!(&chunk[..12], header);
    let clocks = [1_000u64, CLOCKS.boot.0, CLOCKS.suspended_ns, CLOCKS.real.0 as u64];
    assert_eq!(&chunk[16..48], clocks.map(u64::to_le_bytes).concat());
}
