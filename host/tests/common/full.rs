//! Reports with every field filled, which no trace made here has.

use sleepwalk::compare::Trace;
use sleepwalk::import::Layer;
use sleepwalk::render::markdown;
use sleepwalk::render::page::Page;
use sleepwalk::render::terminal::{self, Look};
use sleepwalk::report::{
    Activator, AlarmRise, Attempt, Blocker, Candidate, Cause, Clock, Counted, Device, Drain,
    Evidence, FailedStep, Finding, FindingKind, HoldEvidence, Hook, HookKind, HookState, Known,
    Ledger, Level, Mode, Name, Note, Outcome, Overhead, Power, Question, Reading, Report, SCHEMA,
    Session, Severity, Source, SourceKind, Stage, Status, Step, Sum, Tie, UserHold, UserSpace,
    Wait, Wake, WakeSource, Wakelock, Walks,
};
use sleepwalk_trace::time::{BootNanos, RealNanos};

use super::{S, golden};

/// A name that attacks terminals, spreadsheets, Markdown and JSON.
pub const HOSTILE: &[u8] =
    b"=cmd|'/C calc'!A0;@everyone `x` <img src=x> [a](http://b.example)\r\n# \x1b[31m\xff\"\\,\xe2\x80\xae";

fn at(seconds: u64) -> BootNanos {
    BootNanos(seconds * S)
}

fn user_space() -> UserSpace {
    UserSpace {
        questions: vec![Question {
            at_ns: at(5_001),
            took_ns: 20_000_000,
            service: "suspend_control_internal --wakelocks".to_owned(),
            status: Status::TimedOut,
        }],
        wakelocks_over_ns: Some(3_600 * S),
        wakelocks: vec![Wakelock {
            layer: Layer::App,
            name: String::from_utf8_lossy(HOSTILE).into_owned(),
            pid: Some(812),
            uid: Some(10_219),
            packages: vec![String::from_utf8_lossy(HOSTILE).into_owned()],
            held_ns: Some(90 * S),
            found_held: 2,
            charged_ns: 60 * S,
            evidence: HoldEvidence::AskedWhileHeld,
        }],
        holds: vec![UserHold { start_ns: at(5_100), end_ns: at(5_160), held: vec![0] }],
        charged_ns: 60 * S,
        screen_ns: Some(300 * S),
        alarms: vec![AlarmRise {
            uid: Some(10_219),
            package: String::from_utf8_lossy(HOSTILE).into_owned(),
            tag: "*walarm*:tick".to_owned(),
            wakeups: 7,
        }],
        lines_not_understood: 1,
    }
}

/// An hour: half of it asleep, a tenth blocked by two sources.
pub fn report() -> Report {
    Report {
        schema: SCHEMA,
        session: session(),
        ledger: Ledger {
            asleep_ns: 1_800 * S,
            suspending_ns: 10 * S,
            resuming_ns: 20 * S,
            aborted_ns: 170 * S,
            blocked_ns: Some(360 * S),
            user_space_ns: Some(200 * S),
            backoff_ns: Some(40 * S),
            not_trying_ns: Some(900 * S),
            unknown_ns: 100 * S,
            unattributed_ns: 36 * S,
        },
        attempts: attempts(),
        waits: waits(),
        sources: vec![
            source(HOSTILE, 0, 300, 1, 0),
            source(b"rtc0", 1, 0, 0, 1),
            source(b"wlan_rx", 2, 60, 1, 0),
        ],
        sources_left_out: 3,
        user_space: Some(user_space()),
        power: power(),
        overhead: Some(Overhead {
            agent_cpu_ns: 900_000_000,
            agent_start_cpu_ns: 700_000_000,
            snapshots: Walks { count: 70, total_ns: 70_000_000, max_ns: 2_000_000 },
            bytes_written: 123_456,
        }),
        findings: vec![Finding {
            kind: FindingKind::Blocker {
                source: Name::new(HOSTILE),
                share_ns: 300 * S,
                alone_ns: 300 * S,
                blocked_ns: 360 * S,
            },
            severity: Severity::High,
            gain_ns: Some(300 * S),
        }],
    }
}

/// One attempt of every outcome.
fn attempts() -> Vec<Attempt> {
    let attempt = |index: u64, outcome, stage, errno| Attempt {
        index,
        start_ns: at(1_000 + 100 * index),
        end_ns: at(1_090 + 100 * index),
        mode: Mode::S2idle,
        outcome,
        stage,
        errno,
        failed_device: None,
        failed_step: None,
        freeze_timeout: false,
        resume_reason: None,
        slept_ns: 0,
        steps: vec![
            Step { step: "freeze_processes", start_ns: at(1_000), end_ns: Some(at(1_001)) },
            Step { step: "dpm_suspend", start_ns: at(1_001), end_ns: None },
        ],
        s2idle_entries: 0,
        armed: Some(true),
        save_refused: index,
        irq: None,
        irq_name: None,
        resume_ns: 0,
        after_abort_ns: 0,
        causes: Vec::new(),
        wake: None,
        suspending_ns: 0,
        after_wake_ns: 0,
    };
    let mut attempts = vec![
        attempt(0, Outcome::Slept, Stage::Machine, Some(0)),
        attempt(1, Outcome::Aborted, Stage::Freeze, Some(-16)),
        attempt(2, Outcome::NoSleep, Stage::Machine, Some(0)),
        attempt(3, Outcome::Failed, Stage::Suspend, Some(-19)),
        attempt(4, Outcome::Unfinished, Stage::Sync, None),
    ];
    attempts[0].slept_ns = 90 * S;
    attempts[0].s2idle_entries = 2;
    attempts[0].wake = Some(Wake {
        irq: Some(42),
        irq_name: Some("=rtc@0".to_owned()),
        source: Some(WakeSource { name: Name::new(b"rtc0"), instance: 1 }),
        evidence: Evidence::Proven,
        tie: Some(Tie::Learnt),
    });
    attempts[1].causes = [(HOSTILE, 0), (&b"wlan_rx"[..], 2)]
        .map(|(n, instance)| Cause { name: Name::new(n), ..Cause::new(instance, Evidence::Likely) })
        .to_vec();
    attempts[1].causes[0].first = true;
    attempts[3].failed_device = Some("=evil|\u{1b}[31m<b>`dev`".to_owned());
    attempts[3].resume_reason = Some("=Abort: ufs\u{1b}[0m".to_owned());
    attempts[3].failed_step = Some(FailedStep::Suspend);
    attempts
}

fn waits() -> Vec<Wait> {
    vec![
        Wait {
            start_ns: at(2_000),
            end_ns: at(2_360),
            before: false,
            thread: 77,
            idle: Some(true),
            blockers: vec![
                Blocker { name: Name::new(HOSTILE), instance: 0, share_ns: 300 * S },
                Blocker { name: Name::new(b"wlan_rx"), instance: 2, share_ns: 60 * S },
            ],
        },
        Wait {
            start_ns: at(3_000),
            end_ns: at(3_000),
            before: false,
            thread: 77,
            idle: None,
            blockers: Vec::new(),
        },
    ]
}

fn power() -> Power {
    Power {
        readings: vec![Reading {
            at_ns: at(1_000),
            name: Name::new(b"battery"),
            kind: "Battery".to_owned(),
            status: "Discharging".to_owned(),
            capacity: Some(88),
            charge_uah: Some(3_100_000),
            current_ua: Some(-180_000),
            online: Some(false),
        }],
        charger_ns: Some(0),
        drain: Some(Drain {
            asleep_ns: 1_800 * S,
            asleep_uah: 3_000,
            awake_ns: 1_800 * S,
            awake_uah: 90_000,
        }),
        ..Power::default()
    }
}

fn session() -> Session {
    let hooks = [
        HookKind::Phase,
        HookKind::Return,
        HookKind::Edge,
        HookKind::Wait,
        HookKind::CountWrite,
        HookKind::Wake,
    ];
    Session {
        start_ns: at(1_000),
        end_ns: at(4_600),
        duration_ns: 3_600 * S,
        start_realtime_ns: RealNanos(1_772_359_211 * S as i64),
        clock: Some(Clock {
            at_ns: at(4_600),
            realtime_ns: RealNanos((1_772_359_211 + 3_600) * S as i64),
        }),
        device: "Pixel 6 @everyone".to_owned(),
        kernel: "6.12.23-android16-5".to_owned(),
        machine: "aarch64".to_owned(),
        boot_id: "d7f7e2a0-0000-4000-8000-5a1e3b1c9d10".to_owned(),
        fingerprint: "google/oriole/oriole:16/BP2A/1:userdebug".to_owned(),
        serial: "1A2B3C".to_owned(),
        agent: "0.0.0".to_owned(),
        source: "kfunc".to_owned(),
        notes: vec![Note { about: "snapshots".to_owned(), text: "found at once".to_owned() }],
        hooks: hooks
            .map(|what| Hook {
                what,
                how: "tp_btf".into(),
                why: String::new(),
                state: HookState::Recorded,
                missed: Some(0),
            })
            .to_vec(),
        edges: true,
        snapshots: 70,
        records: 1_000,
        lost_events: 0,
        dropped_chunks: 0,
        truncated_snapshots: 0,
        orphaned_snapshots: 0,
        late_snapshots: 1,
        torn_states: 0,
        clock_conflict_ns: 0,
        damaged_bytes: 0,
        missing_chunks: 0,
        bad_records: 0,
        unknown_records: 0,
        end_reason: Some("duration".to_owned()),
        attempt_counts: Some(Counted {
            kernel_success: 2,
            kernel_fail: 3,
            returned_success: 2,
            returned_fail: 3,
        }),
        complete: true,
    }
}

/// A driver's function in a process, and with its stack.
pub fn activator(process: u32, held_ns: u64) -> Activator {
    Activator {
        function: Some("wlan_rx_isr".to_owned()),
        module: Some("wlan".to_owned()),
        level: Level::Thread,
        comm: Some(Name::new(b"cnss\xff|daemon")),
        process: Some(process),
        thread: None,
        uid: Some(1000),
        activations: 3,
        held_ns,
        stacks: vec![vec!["__pm_stay_awake+0x4".to_owned(), "wlan_rx_isr+0x8 [wlan]".to_owned()]],
    }
}

/// A source that blocked for this many seconds, alone for half of them.
pub fn source(name: &[u8], instance: u32, blocked_s: u64, aborts: u64, wakes: u64) -> Source {
    Source {
        name: Name::new(name),
        kind: SourceKind::Source,
        irq: None,
        name_cut: false,
        instance: Some(instance),
        address_id: Some(instance),
        first_ns: at(1_000),
        last_ns: at(4_600),
        born: false,
        died: false,
        sum: Sum {
            instances: 1,
            held_ns: 2 * blocked_s * S,
            held_at_least: false,
            longest_hold_ns: blocked_s * S,
            blocked_share_ns: Some(blocked_s * S),
            blocked_sole_ns: Some(blocked_s * S / 2),
            aborts,
            abort_ns: aborts * 45 * S,
            after_abort_ns: aborts * 3 * S,
            resume_ns: wakes * 2 * S,
            wakes,
            after_wake_ns: wakes * 5 * S,
            cost_ns: (blocked_s + aborts * 48 + wakes * 7) * S,
            activations: 1 + aborts,
            events: 2 + wakes,
            expiries: 0,
        },
        longest_hold_at_ns: (blocked_s > 0).then(|| at(1_200)),
        device: Some(Device {
            path: "platform/soc/a600000.usb".to_owned(),
            driver: Some("dwc3|qcom".to_owned()),
            compatible: None,
            irq: Some(133),
        }),
        candidates: vec![Candidate { process: 812, uid: 1000, comm: Name::new(b"a|b") }],
        known: Some(Known { meaning: "a meaning", command: "a command", owner: None }),
        activators: Some(vec![activator(812, blocked_s * S)]),
        active_at_end: false,
        spans: Vec::new(),
    }
}

/// A trace of that name with this report.
pub fn trace(file: &str, report: Report) -> Trace {
    let by_name = report.sources.iter().cloned().map(|s| Source { instance: None, ..s }).collect();
    Trace { file: file.to_owned(), report, by_name }
}

/// The full report, changed.
pub fn with(change: impl FnOnce(&mut Report)) -> Report {
    let mut report = report();
    change(&mut report);
    report
}

/// The page on a terminal of 80 columns.
pub fn drawn(page: &Page) -> String {
    terminal::render(page, Look { color: false, width: Some(80) })
}

/// Holds the page, on a terminal of 80 columns and as Markdown, against its golden files.
pub fn shows(name: &str, page: &Page) {
    let table = drawn(page);
    let wide = table.lines().find(|line| unicode_width::UnicodeWidthStr::width(*line) > 80);
    assert_eq!(wide, None);
    golden(&format!("{name}.txt"), &table);
    golden(&format!("{name}.md"), &markdown::render(page));
}
