//! Reports made here, the same on every run: an attempt every few seconds, sources that are held at
//! their own rates, waits between, and a ledger that adds up.

use sleepwalk::report::{
    Attempt, Blocker, Cause, Clock, Drain, Evidence, Finding, FindingKind, Hook, HookKind,
    HookState, Ledger, Mode, Name, Outcome, Overhead, Power, Reading, Report, SCHEMA, Session,
    Severity, Source, Span, Stage, Step, Sum, Tie, Wait, Wake, WakeSource, Walks,
};
use sleepwalk_trace::time::{BootNanos, RealNanos};

const US: u64 = 1_000;
const MS: u64 = 1_000 * US;
const S: u64 = 1_000 * MS;

/// The first stamp: pages must not assume 0.
const START: u64 = 3_725 * S;

/// How many spans of a source the report keeps at most: a screen has no more columns.
const SPANS: u64 = 1_000;

/// The kernel's steps on the way down, and on the way back: name and usual time.
const DOWN: [(&str, u64); 7] = [
    ("sync_filesystems", 2 * MS),
    ("freeze_processes", 6 * MS),
    ("suspend_enter", 300 * US),
    ("dpm_prepare", 900 * US),
    ("dpm_suspend", 18 * MS),
    ("dpm_suspend_late", 3 * MS),
    ("dpm_suspend_noirq", 4 * MS),
];
const UP: [(&str, u64); 5] = [
    ("dpm_resume_noirq", 3 * MS),
    ("dpm_resume_early", 2 * MS),
    ("dpm_resume", 22 * MS),
    ("dpm_complete", 700 * US),
    ("thaw_processes", 1_500 * US),
];
const STAGES: [Stage; 7] = [
    Stage::Sync,
    Stage::Freeze,
    Stage::Freeze,
    Stage::DpmPrepare,
    Stage::Suspend,
    Stage::SuspendLate,
    Stage::SuspendNoirq,
];

const NAMES: [&str; 12] = [
    "wlan_rx_wake",
    "a600000.ssusb",
    "alarmtimer.0.auto",
    "IPA_WS",
    "eventpoll",
    "qcom_rx_wakelock",
    "NETLINK",
    "bluetooth_timer",
    "PowerManagerService.WakeLocks",
    "c440000.qcom,spmi:qcom,pmk8550@0:rtc@6100",
    "sensor_ind",
    "hal_bluetooth_lock",
];

/// Marsaglia's xorshift: the same numbers everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n.max(1)
    }

    /// About `usual`, now and then much longer.
    fn about(&mut self, usual: u64) -> u64 {
        let base = usual / 2 + self.below(usual);
        if self.below(40) == 0 { base * (2 + self.below(12)) } else { base }
    }
}

/// A report with this many attempts and sources.
pub fn report(attempts: usize, sources: usize) -> Report {
    let mut dice = Dice(0x5eed_0f51_ee9a_a1b5);
    let mut report = empty();
    let mut at = START + S;
    report.sources = (0..sources).map(source).collect();
    for index in 0..attempts {
        let began = at;
        let wait = dice.about(2 * S);
        if sources > 0 && dice.below(3) > 0 {
            report.waits.push(waited(&mut dice, at, at + wait, sources));
            report.ledger.blocked_ns = report.ledger.blocked_ns.map(|ns| ns + wait);
        } else {
            report.ledger.not_trying_ns = report.ledger.not_trying_ns.map(|ns| ns + wait);
        }
        let attempt = attempt(&mut dice, index as u64, at + wait, sources, &mut report.ledger);
        at = attempt.end_ns.0;
        for cause in &attempt.causes {
            let sum = &mut report.sources[cause.instance as usize].sum;
            sum.aborts += 1;
            sum.abort_ns += attempt.duration_ns() / attempt.causes.len() as u64;
        }
        if let Some(woke) = attempt.waker() {
            let sum = &mut report.sources[woke.instance as usize].sum;
            sum.wakes += 1;
            sum.after_wake_ns += dice.below(2 * S);
        }
        report.attempts.push(attempt);
        if index % 50 == 0 {
            report.power.readings.push(battery(began, index));
        }
    }
    let end = at + S;
    report.ledger.not_trying_ns = report.ledger.not_trying_ns.map(|ns| ns + 2 * S);
    report.session.end_ns = BootNanos(end);
    report.session.duration_ns = end - START;
    for (index, source) in report.sources.iter_mut().enumerate() {
        source.last_ns = BootNanos(end);
        if index < held(sources) {
            hold(&mut dice, source, index, end);
        }
        let shared = report.waits.iter().flat_map(|wait| &wait.blockers);
        let shared = shared.filter(|b| b.instance as usize == index).map(|b| b.share_ns);
        let sum = &mut source.sum;
        let share_ns = shared.sum();
        sum.blocked_share_ns = Some(share_ns);
        sum.blocked_sole_ns = Some(share_ns / 3);
        sum.cost_ns = share_ns + sum.abort_ns + sum.after_wake_ns;
    }
    report.sources.sort_by_key(|source| std::cmp::Reverse(source.sum.cost_ns));
    report.power.charger_ns = Some((end - START) / 20);
    report.power.charger = vec![span(START + S, START + S + (end - START) / 20)];
    report.power.drain = Some(Drain {
        asleep_ns: report.ledger.asleep_ns,
        asleep_uah: 41_300,
        awake_ns: end - START - report.ledger.asleep_ns,
        awake_uah: 187_900,
    });
    report.findings = findings(&report);
    report
}

/// A trace in which nothing happened.
pub fn empty() -> Report {
    let name = |s: &str| s.to_owned();
    Report {
        user_space: None,
        schema: SCHEMA,
        session: Session {
            start_ns: BootNanos(START),
            end_ns: BootNanos(START),
            duration_ns: 0,
            start_realtime_ns: RealNanos(1_772_359_211_250_000_000),
            clock: Some(Clock {
                at_ns: BootNanos(START),
                realtime_ns: RealNanos(1_772_359_211_250_000_000),
            }),
            device: name("Pixel 8"),
            kernel: name("6.12.38-android16-5-g0123456789ab"),
            machine: name("aarch64"),
            boot_id: name("5d0c8a3e-0f1b-4c55-9b0a-6f8e2f1d7c42"),
            fingerprint: name("google/shiba/shiba:16/BP2A.250605.031/13578606:user/release-keys"),
            serial: name("3A071FDJH000TN"),
            agent: name("sleepwalkd"),
            source: name("kfunc"),
            notes: Vec::new(),
            hooks: vec![
                Hook {
                    what: HookKind::Phase,
                    how: name("tp_btf"),
                    why: String::new(),
                    state: HookState::Recorded,
                    missed: Some(0),
                },
                Hook {
                    what: HookKind::Return,
                    how: name("kretprobe"),
                    why: name("no trampoline"),
                    state: HookState::Recorded,
                    missed: Some(0),
                },
            ],
            edges: true,
            snapshots: 0,
            records: 0,
            lost_events: 0,
            dropped_chunks: 0,
            truncated_snapshots: 0,
            orphaned_snapshots: 0,
            late_snapshots: 0,
            torn_states: 0,
            clock_conflict_ns: 0,
            damaged_bytes: 0,
            missing_chunks: 0,
            bad_records: 0,
            unknown_records: 0,
            end_reason: Some(name("duration")),
            attempt_counts: None,
            complete: true,
        },
        ledger: Ledger { blocked_ns: Some(0), not_trying_ns: Some(0), ..Ledger::default() },
        attempts: Vec::new(),
        waits: Vec::new(),
        sources: Vec::new(),
        sources_left_out: 0,
        power: Power::default(),
        overhead: Some(Overhead {
            agent_cpu_ns: 830 * MS,
            agent_start_cpu_ns: 755 * MS,
            snapshots: Walks { count: 0, total_ns: 0, max_ns: 0 },
            bytes_written: 1 << 20,
        }),
        findings: Vec::new(),
    }
}

fn source_name(index: usize) -> Name {
    let name = NAMES[index % NAMES.len()];
    let round = index / NAMES.len();
    let name = if round == 0 { name.to_owned() } else { format!("{name}.{round}") };
    Name::new(name.as_bytes())
}

fn source(index: usize) -> Source {
    Source {
        name: source_name(index),
        name_cut: false,
        instance: Some(index as u32),
        address_id: Some(index as u32),
        first_ns: BootNanos(START),
        last_ns: BootNanos(START),
        born: false,
        died: false,
        sum: Sum { instances: 1, ..Sum::default() },
        ..Source::default()
    }
}

/// Low numbers far more often than high ones, and none of those that are never held.
fn some_source(dice: &mut Dice, sources: usize) -> u32 {
    let held = held(sources) as u64;
    (dice.below(held) * dice.below(held) / held) as u32
}

/// How many of the sources are ever held.
fn held(sources: usize) -> usize {
    (sources * 4).div_ceil(5)
}

fn waited(dice: &mut Dice, start_ns: u64, end_ns: u64, sources: usize) -> Wait {
    let n = 1 + dice.below(3);
    let share_ns = (end_ns - start_ns) / n;
    let blocker = |_| {
        let instance = some_source(dice, sources);
        Blocker { name: source_name(instance as usize), instance, share_ns }
    };
    let blockers = (0..n).map(blocker).collect();
    let (start_ns, end_ns) = (BootNanos(start_ns), BootNanos(end_ns));
    Wait { start_ns, end_ns, before: false, thread: 412, idle: Some(true), blockers }
}

fn attempt(
    dice: &mut Dice,
    index: u64,
    start_ns: u64,
    sources: usize,
    ledger: &mut Ledger,
) -> Attempt {
    // Aborts come in bouts.
    let bout = (index / 40) % 3 == 1;
    let aborts = dice.below(10) < if bout { 7 } else { 2 };
    let reached = if aborts { 1 + dice.below(6) as usize } else { DOWN.len() };
    let mut attempt = Attempt {
        index,
        start_ns: BootNanos(start_ns),
        end_ns: BootNanos(start_ns),
        mode: Mode::S2idle,
        outcome: Outcome::Aborted,
        stage: STAGES[reached.min(6)],
        errno: Some(-16),
        failed_device: None,
        failed_step: None,
        freeze_timeout: false,
        resume_reason: None,
        slept_ns: 0,
        steps: Vec::new(),
        s2idle_entries: 0,
        armed: Some(true),
        save_refused: 0,
        irq: None,
        irq_name: None,
        causes: Vec::new(),
        wake: None,
        suspending_ns: 0,
        resume_ns: 0,
        after_abort_ns: 0,
        after_wake_ns: 0,
    };
    take(dice, &mut attempt, &DOWN[..reached]);
    if aborts {
        aborted(dice, &mut attempt, reached, sources);
        ledger.aborted_ns += attempt.duration_ns();
    } else {
        ledger.suspending_ns += attempt.duration_ns();
        slept(dice, &mut attempt, sources, ledger);
    }
    attempt
}

/// Adds steps to an attempt, which ends with the last.
fn take(dice: &mut Dice, attempt: &mut Attempt, steps: &[(&'static str, u64)]) {
    for (step, usual) in steps {
        let start_ns = attempt.end_ns;
        attempt.end_ns.0 += dice.about(*usual);
        attempt.steps.push(Step { step, start_ns, end_ns: Some(attempt.end_ns) });
    }
}

fn aborted(dice: &mut Dice, attempt: &mut Attempt, reached: usize, sources: usize) {
    match dice.below(20) {
        0 => (attempt.outcome, attempt.errno) = (Outcome::Failed, Some(-110)),
        1 => (attempt.outcome, attempt.errno) = (Outcome::NoSleep, Some(0)),
        _ => {}
    }
    if reached >= 3 {
        take(dice, attempt, &[("thaw_processes", 4 * MS)]);
    } else {
        attempt.end_ns.0 += dice.about(4 * MS);
    }
    if sources > 0 {
        for _ in 0..1 + dice.below(2) {
            let instance = some_source(dice, sources);
            let evidence = if dice.below(3) == 0 { Evidence::Likely } else { Evidence::Proven };
            let name = source_name(instance as usize);
            let first = attempt.causes.is_empty();
            attempt.causes.push(Cause { name, instance, evidence, first });
        }
    }
}

fn slept(dice: &mut Dice, attempt: &mut Attempt, sources: usize, ledger: &mut Ledger) {
    let down = attempt.end_ns;
    take(dice, attempt, &[("machine_suspend", 9 * S)]);
    let woke = attempt.end_ns;
    take(dice, attempt, &UP);
    attempt.slept_ns = woke.since(down);
    ledger.asleep_ns += attempt.slept_ns;
    ledger.resuming_ns += attempt.end_ns.since(woke);
    attempt.outcome = Outcome::Slept;
    attempt.stage = Stage::Machine;
    attempt.errno = Some(0);
    attempt.s2idle_entries = 1 + u64::from(dice.below(9) == 0);
    let index = attempt.index;
    let source = (sources > 0).then(|| some_source(dice, sources));
    attempt.wake = Some(Wake {
        irq: Some(180 + (index % 3) as u32),
        irq_name: Some(["ipa", "rtc-pl031", "wlan0"][(index % 3) as usize].to_owned()),
        source: source
            .map(|instance| WakeSource { name: source_name(instance as usize), instance }),
        evidence: if index.is_multiple_of(4) { Evidence::Likely } else { Evidence::Proven },
        tie: Some(Tie::Learnt),
    });
}

/// Held again and again, each source at its own rate.
fn hold(dice: &mut Dice, source: &mut Source, index: usize, end: u64) {
    let every = ((end - START) / SPANS).max(300 * MS * (1 + index as u64 % 17));
    let mut at = START + dice.below(every);
    loop {
        let took = dice.about(every / (3 + index as u64 % 40)).min(every * 3 / 4).max(20 * US);
        if at + took >= end {
            break;
        }
        source.spans.push(span(at, at + took));
        source.sum.held_ns += took;
        source.sum.activations += 1;
        source.sum.events += 1 + dice.below(3);
        source.sum.expiries += u64::from(dice.below(7) == 0);
        at += took + dice.about(every).max(US);
    }
}

fn battery(at_ns: u64, index: usize) -> Reading {
    Reading {
        at_ns: BootNanos(at_ns),
        name: Name::new(b"battery"),
        kind: "Battery".to_owned(),
        status: if index < 100 { "Charging" } else { "Discharging" }.to_owned(),
        capacity: Some(97 - (index / 200) as i64),
        charge_uah: Some(4_500_000 - index as i64 * 120),
        current_ua: None,
        online: None,
    }
}

fn findings(report: &Report) -> Vec<Finding> {
    let Some(top) = report.sources.first() else { return Vec::new() };
    vec![
        Finding {
            kind: FindingKind::Blocker {
                source: top.name.clone(),
                share_ns: top.sum.blocked_share_ns.unwrap_or(0),
                alone_ns: top.sum.blocked_sole_ns.unwrap_or(0),
                blocked_ns: report.ledger.blocked_ns.unwrap_or(0),
            },
            severity: Severity::High,
            gain_ns: top.sum.blocked_sole_ns,
        },
        Finding {
            kind: FindingKind::NoSleep {
                sources: report.sources.iter().skip(1).take(3).map(|s| s.name.clone()).collect(),
                attempts: 3,
                wasted_ns: 3 * S,
            },
            severity: Severity::Medium,
            gain_ns: None,
        },
    ]
}

fn span(start_ns: u64, end_ns: u64) -> Span {
    Span { start_ns: BootNanos(start_ns), end_ns: BootNanos(end_ns) }
}
