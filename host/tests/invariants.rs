//! Invariants of every trace, however little sense it makes.

mod common;

use std::sync::LazyLock;

use common::{full, schema};
use jsonschema::Validator;
use proptest::collection::vec;
use proptest::prelude::*;
use sleepwalk::analyze::{Analysis, analyze};
use sleepwalk::compare::policy::Policy;
use sleepwalk::compare::{check, diff, merge};
use sleepwalk::export::{jsonl, perfetto};
use sleepwalk::render::page::Page;
use sleepwalk::render::terminal::{self, Look};
use sleepwalk::render::{self, csv, json, markdown, records};
use sleepwalk::report::{By, Outcome, Report, build};
use sleepwalk::text::hidden;
use sleepwalk_trace::chunk::{FILE_HEADER, file_header};
use sleepwalk_trace::record::{
    CountWrite, Edge, End, HOOKS, Hook, IrqDef, Lost, Overhead, Phase, PowerSupply, Reason, Record,
    Session, Snapshot, SourceDef, SourceDelta, Stamped, StringDef, SuspendReturn, WaitBegin,
    WaitEnd, Wake,
};
use sleepwalk_trace::time::{BootNanos, Clocks, MonoNanos, RealNanos};
use sleepwalk_trace::write::ChunkWriter;
use unicode_width::UnicodeWidthStr as _;

const ACTIONS: [&str; 14] = [
    "suspend_enter",
    "sync_filesystems",
    "freeze_processes",
    "dpm_prepare",
    "dpm_suspend",
    "dpm_suspend_late",
    "dpm_suspend_noirq",
    "CPU_OFF",
    "syscore_suspend",
    "machine_suspend",
    "syscore_resume",
    "dpm_resume",
    "thaw_processes",
    "something_new",
];

/// Stamps near each other, so that intervals overlap, and now and then as far off as can be.
fn stamp() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0u64..20_000_000,
        1 => any::<u64>(),
        1 => prop_oneof![Just(0), Just(u64::MAX), Just(u64::MAX - 1)],
    ]
}

fn delta() -> impl Strategy<Value = SourceDelta> {
    let value = prop_oneof![0u64..5_000_000, any::<u64>()];
    (0u32..6, 0u8..8, 0u16..1024, vec(value, 10)).prop_map(|(instance, state, mask, values)| {
        let deltas = values[..mask.count_ones() as usize].to_vec();
        SourceDelta { instance, state, mask, deltas }
    })
}

fn snapshot() -> impl Strategy<Value = Record> {
    let reason = prop_oneof![
        Just(Reason::Tick),
        Just(Reason::AttemptBegin),
        Just(Reason::AttemptEnd),
        Just(Reason::End)
    ];
    let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (reason, stamp(), flags, vec(delta(), 0..5), vec(0u32..6, 0..2)).prop_map(
        |(reason, mono, (full, broken, cut), changed, gone)| {
            let mono = MonoNanos(mono);
            let seen = 6 + u32::from(cut);
            let took_ns = 1_000;
            Record::Snapshot(Snapshot {
                reason,
                mono,
                took_ns,
                seen,
                stored: 6,
                broken,
                late: false,
                full,
                changed,
                gone,
            })
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        12 => (0..ACTIONS.len() as u32, 0i32..5, any::<bool>()).prop_map(|(action, value, begin)| {
            Record::Phase(Phase { action, value, begin })
        }),
        4 => prop_oneof![Just(0), Just(-16), Just(-22), any::<i32>()]
            .prop_map(|errno| Record::Return(SuspendReturn { errno: Some(errno) })),
        6 => snapshot(),
        12 => (0u32..6, 0u8..4, prop::bool::weighted(0.02), any::<u32>()).prop_map(
            |(source, flags, far, other)| {
                let source = if far { other } else { source };
                Record::Edge(Edge { source, flags, state: Some(other) })
            }
        ),
        3 => (0u32..4).prop_map(|thread| Record::WaitBegin(WaitBegin { thread })),
        3 => (0u32..4, any::<bool>())
            .prop_map(|(thread, idle)| Record::WaitEnd(WaitEnd { thread, idle })),
        1 => (0u32..4, any::<bool>())
            .prop_map(|(thread, saved)| Record::CountWrite(CountWrite { thread, saved })),
        1 => (0u32..4).prop_map(|irq| Record::Wake(Wake { irq })),
        1 => (0u32..4, 0u32..30).prop_map(|(number, name)| {
            Record::Irq(IrqDef { number, name, chip: 0 })
        }),
        1 => (0u32..30, any::<Option<i64>>(), any::<Option<i64>>()).prop_map(|(kind, charge_uah, online)| {
            Record::PowerSupply(PowerSupply { kind, charge_uah, online, ..PowerSupply::default() })
        }),
        1 => any::<u64>().prop_map(|events| Record::Lost(Lost { events })),
        1 => any::<(u64, u64)>().prop_map(|(cpu_ns, snapshots_ns)| {
            Record::Overhead(Overhead { cpu_ns, snapshots_ns, snapshots: 3, ..Overhead::default() })
        }),
        1 => (0u32..6, 0u32..30, any::<u64>()).prop_map(|(instance, name, address)| {
            Record::Source(SourceDef { instance, name, name_cut: false, id: Some(0), address, name_pointer: address % 3 })
        }),
        1 => (20u32..30, vec(any::<u8>(), 0..40))
            .prop_map(|(id, bytes)| Record::String(StringDef { id, bytes })),
        1 => ".*".prop_map(|reason| Record::End(End { reason })),
    ]
}

fn stamped() -> impl Strategy<Value = Stamped> {
    (stamp(), record()).prop_map(|(at, record)| Stamped { at: BootNanos(at), record })
}

fn chunks() -> impl Strategy<Value = Vec<(Vec<Stamped>, u64)>> {
    vec((vec(stamped(), 1..20), stamp()), 1..6)
}

/// The hooks that the trace claims: none, snapshots, edges, or edges and waits.
fn session(says: usize) -> Option<Session> {
    let hooks = HOOKS.map(|what| Hook {
        what: what.to_owned(),
        how: if says == 3 || what != "wait" { "fexit".to_owned() } else { String::new() },
        why: String::new(),
    });
    (says > 0).then(|| Session { hooks: hooks.to_vec(), edges: says > 1, ..Session::default() })
}

/// The names of the actions and a full snapshot, and then any records.
fn trace(chunks: &[(Vec<Stamped>, u64)]) -> Vec<u8> {
    let mut bytes = file_header(0).to_vec();
    let mut writer = ChunkWriter::default();
    let start = chunks[0].0[0].at;
    if let Some(session) = session(chunks[0].0.len() % 4) {
        writer.push(start, &Record::Session(session));
    }
    for (id, action) in ACTIONS.iter().enumerate() {
        let text = StringDef { id: id as u32, bytes: action.as_bytes().to_vec() };
        writer.push(start, &Record::String(text));
    }
    let full = Snapshot {
        reason: Reason::Start,
        mono: MonoNanos(0),
        took_ns: 1,
        seen: 0,
        stored: 0,
        broken: false,
        late: false,
        full: true,
        changed: Vec::new(),
        gone: Vec::new(),
    };
    writer.push(start, &Record::Snapshot(full));
    for (records, suspended_ns) in chunks {
        for record in records {
            writer.push_stamped(record);
        }
        let clocks = Clocks {
            boot: BootNanos(*suspended_ns),
            suspended_ns: *suspended_ns,
            real: RealNanos(*suspended_ns as i64),
        };
        bytes.extend(writer.seal(clocks).unwrap_or_default());
    }
    bytes
}

fn every_report(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut dump = Vec::new();
    let dumped = records::write(bytes, &mut dump).expect("a Vec takes everything");
    let Ok(analysis) = analyze(bytes) else {
        prop_assert!(dumped.is_err());
        return Ok(());
    };
    prop_assert!(dumped.is_ok());
    let (model, ledger) = (&analysis.model, &analysis.ledger);
    prop_assert_eq!(ledger.total_ns(), model.duration_ns());
    prop_assert!(ledger.unattributed_ns <= model.duration_ns(), "{ledger:?}");
    prop_assert_eq!(ledger.blocked_ns.is_some(), ledger.not_trying_ns.is_some());
    for source in analysis.sources.values() {
        prop_assert!(source.sum.blocked_sole_ns <= source.sum.blocked_share_ns);
        prop_assert!(source.first_ns <= source.last_ns);
    }
    for wait in &analysis.waits {
        prop_assert!(model.start <= wait.start_ns && wait.start_ns <= wait.end_ns);
        prop_assert!(wait.end_ns <= model.end);
    }

    let mut free = model.start;
    for attempt in &analysis.attempts {
        prop_assert!(free <= attempt.start_ns && attempt.start_ns <= attempt.end_ns);
        prop_assert!(attempt.end_ns <= model.end && attempt.slept_ns <= attempt.duration_ns());
        free = attempt.end_ns;
    }
    // The time charged to sources and the unattributed time are parts of the session.
    for by in [By::Instance, By::Name] {
        let report = build(&analysis, by, None);
        let aborts: u64 = report.sources.iter().map(|source| source.sum.abort_ns).sum();
        let wakes: u64 = report.sources.iter().map(|source| source.sum.after_wake_ns).sum();
        prop_assert!(aborts <= ledger.aborted_ns);
        let shares = report.sources.iter().filter_map(|source| source.sum.blocked_share_ns);
        let shares: u64 = shares.sum();
        let blocked_ns = ledger.blocked_ns.unwrap_or(0);
        let awake_ns = ledger.unknown_ns
            + [ledger.not_trying_ns, ledger.backoff_ns, ledger.user_space_ns]
                .map(|ns| ns.unwrap_or(0))
                .iter()
                .sum::<u64>();
        let backoff: u64 = report.sources.iter().map(|source| source.sum.after_abort_ns).sum();
        let resumes: u64 = report.sources.iter().map(|source| source.sum.resume_ns).sum();
        prop_assert!(backoff <= ledger.backoff_ns.unwrap_or(0));
        prop_assert!(resumes <= ledger.suspending_ns + ledger.resuming_ns);
        // The rest of the blocked time is part of the unattributed time.
        prop_assert!(shares <= blocked_ns && blocked_ns - shares <= ledger.unattributed_ns);
        prop_assert!(wakes <= awake_ns, "{wakes} {ledger:?}");
        let charged = aborts + backoff + resumes + wakes + shares;
        prop_assert!(charged + ledger.unattributed_ns <= model.duration_ns());
        for source in &report.sources {
            let sum = &source.sum;
            prop_assert!(sum.blocked_sole_ns <= sum.blocked_share_ns);
            let costs = [sum.abort_ns, sum.after_abort_ns, sum.resume_ns, sum.after_wake_ns];
            let blocked_ns = sum.blocked_share_ns.unwrap_or(0);
            prop_assert_eq!(sum.cost_ns, blocked_ns + costs.iter().sum::<u64>());
        }
        let gains = report.findings.iter().filter_map(|finding| finding.gain_ns);
        prop_assert!(gains.map(u128::from).sum::<u128>() <= u128::from(model.duration_ns()));
        let unslept = analysis.attempts.iter().filter(|a| a.outcome != Outcome::Slept).count();
        let said =
            report.findings.iter().any(|finding| ABOUT_ATTEMPTS.contains(&finding.kind.key()));
        prop_assert!(said || unslept == 0 || unslept * 3 < analysis.attempts.len());
        for finding in &report.findings {
            let text = render::findings::text(finding, report.session.duration_ns);
            prop_assert!(text.contains(|c: char| c.is_ascii_digit()), "{}", text);
            prop_assert!(!text.contains(char::is_control));
        }
        for (color, width, top) in [(false, 80, 20), (false, 200, 1), (true, 80, 1)] {
            let page = render::pages::report::page(&report, Some(top));
            let text = terminal::render(&page, Look { color, width: Some(width) });
            for line in text.lines().filter(|_| !color) {
                prop_assert!(!line.contains(char::is_control), "{line:?}");
                prop_assert!(line.width() <= width, "{line}");
            }
        }
        let json = json::report(&report).expect("JSON");
        schema::hold(&REPORT, &json);
        every_other_form(report)?;
    }
    every_export(bytes, &analysis)
}

fn every_export(bytes: &[u8], analysis: &Analysis) -> Result<(), TestCaseError> {
    let mut out = Vec::new();
    perfetto::write(bytes, analysis, &mut out).expect("a Vec takes everything");
    let (start, end) = (analysis.model.start, analysis.model.end);
    let checked = common::packets::check(&common::packets::decode(&out), start.0, end.0);
    prop_assert_eq!(checked, Ok(()));
    out.clear();
    jsonl::write(bytes, analysis, &mut out).expect("a Vec takes everything");
    for line in out.split(|byte| *byte == b'\n') {
        prop_assert!(line.is_empty() || serde_json::from_slice::<serde_json::Value>(line).is_ok());
    }
    Ok(())
}

/// No other form of the report panics, and each is valid.
fn every_other_form(report: Report) -> Result<(), TestCaseError> {
    for table in [csv::Table::Sources, csv::Table::Attempts, csv::Table::Waits] {
        let text = csv::render([&report], table).expect("CSV");
        prop_assert!(text.lines().all(|line| !line.contains(char::is_control)));
    }
    let inert = |page: &Page| {
        let text = markdown::render(page);
        let look = Look { color: false, width: Some(80) };
        let fits = terminal::render(page, look).lines().all(|line| line.width() <= 80);
        fits && text
            .lines()
            .all(|line| !line.contains(hidden) && line.matches('`').count() % 2 == 0)
    };
    prop_assert!(inert(&render::pages::report::page(&report, Some(5))));
    let whole_ns = report.session.duration_ns;
    let policy = Policy::parse(
        "[capture]\nmin_duration = \"1s\"\nmin_attempts = 1\n[session]\n\
         max_awake_percent = 1\nmax_aborts_per_hour = 1\n[each_source]\n\
         max_blocked_percent = 1\nmax_held_percent = 1\n",
    );
    let trace = full::trace("t.swk", report);
    let verdict = check::check("p.toml", &policy.expect("a policy"), std::slice::from_ref(&trace));
    schema::hold(&CHECK, &json::pretty(&verdict).expect("JSON"));
    let sides = [std::slice::from_ref(&trace); 2];
    let diff = diff::diff(sides[0], sides[1], diff::Per::Session);
    schema::hold(&DIFF, &json::pretty(&diff).expect("JSON"));
    let changes = diff.sources.iter().flat_map(|s| s.measures().map(|(_, measure)| *measure));
    let changes = changes.chain(diff.ledger.iter().map(|line| line.percent));
    for measure in changes.chain(diff.attempts.iter().map(|outcome| outcome.rate)) {
        prop_assert!(measure.change.is_none_or(|change| change == 0.0));
        let unchanged = measure.change.is_none() || measure.verdict == diff::Verdict::WithinNoise;
        prop_assert!(unchanged, "{:?}", measure);
    }
    prop_assert!(inert(&render::pages::diff::page(&diff, 5)));
    let reports = merge::merge(vec![trace], None).expect("one trace");
    schema::hold(&REPORTS, &json::reports(&reports).expect("JSON"));
    let totals = &reports.devices[0].totals;
    let l = &totals.ledger;
    let known = [l.blocked_ns, l.user_space_ns, l.backoff_ns, l.not_trying_ns];
    let known = known.map(|ns| ns.unwrap_or(0));
    let sum = l.asleep_ns + l.suspending_ns + l.resuming_ns + l.aborted_ns + l.unknown_ns;
    prop_assert_eq!(sum + known.iter().sum::<u64>(), whole_ns);
    prop_assert_eq!(totals.duration_ns, whole_ns);
    prop_assert!(inert(&render::pages::merged::page(&reports, 5)));
    Ok(())
}

/// Findings that say why attempts did not sleep.
const ABOUT_ATTEMPTS: [&str; 6] =
    ["aborter", "device_failed", "freeze_timeout", "no_sleep", "failed", "unslept"];

static REPORT: LazyLock<Validator> = LazyLock::new(|| schema::validator("report.schema.json"));
static REPORTS: LazyLock<Validator> = LazyLock::new(|| schema::validator("reports.schema.json"));
static DIFF: LazyLock<Validator> = LazyLock::new(|| schema::validator("diff.schema.json"));
static CHECK: LazyLock<Validator> = LazyLock::new(|| schema::validator("check.schema.json"));

proptest! {
    #[test]
    fn the_ledger_adds_up_whatever_the_records_say(chunks in chunks()) {
        every_report(&trace(&chunks))?;
    }

    #[test]
    fn a_cut_trace_is_reported_on_as_far_as_it_goes(
        chunks in chunks(), cut in any::<prop::sample::Index>()
    ) {
        let bytes = trace(&chunks);
        every_report(&bytes[..cut.index(bytes.len())])?;
    }

    #[test]
    fn flipped_bytes_are_no_reason_to_panic(
        chunks in chunks(), flips in vec((any::<prop::sample::Index>(), 1u8..), 1..8)
    ) {
        let mut bytes = trace(&chunks);
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        every_report(&bytes)?;
    }

    #[test]
    fn anything_behind_a_sound_header_is_survived(rest in vec(any::<u8>(), 0..400)) {
        let bytes = [&file_header(0)[..FILE_HEADER], &rest].concat();
        every_report(&bytes)?;
    }
}
