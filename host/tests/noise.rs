//! `diff` on nights that a seeded generator makes: nights of one build differ by noise alone.

mod common;

use common::S;
use common::full::{report, source, trace};
use sleepwalk::compare::Trace;
use sleepwalk::compare::diff::{
    Diff, LineChange, Measure, Measured, Part, Per, Regression, Verdict, diff,
};
use sleepwalk::report::{Attempt, Cause, Evidence, Line, Name, Outcome, Source, Wake, WakeSource};
use sleepwalk_trace::time::BootNanos;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, up to 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 1.0) / (1u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }

    /// How many events of a Poisson process of that mean happen.
    fn poisson(&mut self, mean: f64) -> u64 {
        let mut left = mean;
        let mut n = 0;
        loop {
            left -= self.exponential(1.0);
            if left < 0.0 {
                return n;
            }
            n += 1;
        }
    }
}

/// How one source behaves in an hour, on the mean.
#[derive(Clone)]
struct Habit {
    name: String,
    wakes: f64,
    /// Storms of aborts, and the aborts in each.
    storms: (f64, f64),
    /// Times that it blocks, and the seconds of each.
    blocks: (f64, f64),
}

/// Twelve sources: a busy modem, and others that do ever less.
fn habits() -> Vec<Habit> {
    let habit = |n: u32| {
        let part = 1.0 / f64::from(n * n);
        Habit {
            name: format!("source{n}"),
            wakes: 12.0 * part,
            storms: (1.5 * part, 4.0),
            blocks: (6.0 * part, 30.0),
        }
    };
    (1..=12).map(habit).collect()
}

const HOURS: u64 = 8;

/// A night of eight hours.
fn night(random: &mut Random, habits: &[Habit]) -> Trace {
    let whole_ns = HOURS * 3_600 * S;
    let mut report = report();
    let start_ns = report.session.start_ns.0;
    report.session.duration_ns = whole_ns;
    report.session.end_ns.0 = start_ns + whole_ns;
    report.session.boot_id = random.next().to_string();
    let model = report.attempts[0].clone();
    (report.attempts, report.sources, report.waits) = (Vec::new(), Vec::new(), Vec::new());
    let mut blocked_ns = 0;
    for (instance, habit) in habits.iter().enumerate() {
        let name = Name::new(habit.name.as_bytes());
        let mut add = |at_ns: u64, outcome| {
            let at_ns = (start_ns + at_ns).min(start_ns + whole_ns);
            let aborted = outcome == Outcome::Aborted;
            let cause = || Cause {
                name: name.clone(),
                instance: instance as u32,
                evidence: Evidence::Proven,
                first: false,
            };
            let wake = || Wake {
                irq: None,
                irq_name: None,
                source: Some(WakeSource { name: name.clone(), instance: instance as u32 }),
                evidence: Evidence::Proven,
                tie: None,
            };
            report.attempts.push(Attempt {
                start_ns: BootNanos(at_ns),
                end_ns: BootNanos(at_ns),
                outcome,
                causes: aborted.then(cause).into_iter().collect(),
                wake: (!aborted).then(wake),
                ..model.clone()
            });
        };
        let hours = HOURS as f64;
        let wakes = random.poisson(habit.wakes * hours);
        for _ in 0..wakes {
            add((random.unit() * whole_ns as f64) as u64, Outcome::Slept);
        }
        let mut aborts = 0;
        for _ in 0..random.poisson(habit.storms.0 * hours) {
            let mut at_ns = (random.unit() * whole_ns as f64) as u64;
            for _ in 0..1 + random.poisson(habit.storms.1 - 1.0) {
                add(at_ns, Outcome::Aborted);
                at_ns += 2 * S;
                aborts += 1;
            }
        }
        let blocks = random.poisson(habit.blocks.0 * hours);
        let mut own_ns = 0;
        for _ in 0..blocks {
            own_ns += (random.exponential(habit.blocks.1) * S as f64) as u64;
        }
        blocked_ns += own_ns;
        let mut source = source(habit.name.as_bytes(), instance as u32, 0, aborts, wakes);
        source.sum.blocked_share_ns = Some(own_ns);
        source.sum.held_ns = own_ns + own_ns / 10;
        source.sum.cost_ns = own_ns + aborts * S + wakes * S;
        report.sources.push(source);
    }
    report.attempts.sort_by_key(|attempt| attempt.start_ns);
    let ledger = &mut report.ledger;
    ledger.blocked_ns = Some(blocked_ns);
    ledger.aborted_ns = report.sources.iter().map(|s: &Source| s.sum.aborts * S).sum();
    ledger.not_trying_ns = Some((random.exponential(600.0) * S as f64) as u64);
    (ledger.unknown_ns, ledger.unattributed_ns) = (0, 0);
    (ledger.user_space_ns, ledger.backoff_ns) = (Some(0), Some(0));
    ledger.asleep_ns = 0;
    ledger.asleep_ns = whole_ns.saturating_sub(ledger.total_ns());
    trace("night.swk", report)
}

fn nights(random: &mut Random, habits: &[Habit], n: usize) -> Vec<Trace> {
    (0..n).map(|_| night(random, habits)).collect()
}

fn measures(diff: &Diff) -> Vec<Measure> {
    let lines = diff.ledger.iter().map(|line| line.percent);
    let attempts = diff.attempts.iter().map(|outcome| outcome.rate);
    let sources = diff.sources.iter().flat_map(|s| s.measures().map(|(_, measure)| *measure));
    lines.chain(attempts).chain(sources).collect()
}

#[test]
fn nights_of_one_build_rarely_differ() {
    for (before, after, per) in [
        (1, 1, Per::Session),
        (1, 1, Per::SleepOpportunity),
        (1, 4, Per::Session),
        (3, 3, Per::Session),
        (5, 5, Per::Session),
        (4, 8, Per::Attempt),
    ] {
        let mut random = Random(before as u64 * 100 + after as u64);
        let pairs = 200;
        let mut wrong = 0;
        for _ in 0..pairs {
            let (b, a) =
                (nights(&mut random, &habits(), before), nights(&mut random, &habits(), after));
            let diff = diff(&b, &a, per);
            let significant = |measure: &Measure| measure.verdict == Verdict::Significant;
            wrong += u32::from(measures(&diff).iter().any(significant));
        }
        assert!(wrong <= pairs / 20, "{before} against {after}: {wrong} of {pairs}");
    }
}

/// Five nights a side; after the change the third source gets stuck.
fn stuck() -> [Vec<Trace>; 2] {
    let mut random = Random(7);
    let before = nights(&mut random, &habits(), 5);
    let mut worse = habits();
    worse[2].blocks = (4.0, 300.0);
    [before, nights(&mut random, &worse, 5)]
}

#[test]
fn a_change_beyond_noise_is_significant() {
    let [before, after] = stuck();
    let worse = diff(&before, &after, Per::Session);
    let first = &worse.sources[0];
    assert_eq!((&first.name.text()[..], first.verdict), ("source3", Verdict::Significant));
    assert_eq!(first.cost_ns.verdict, Verdict::Significant);
    let modem = worse.sources.iter().find(|s| s.name.text() == "source1").expect("the modem");
    assert_eq!(modem.verdict, Verdict::WithinNoise);
    let found = |diff: &Diff, wanted: (Option<Part>, Option<&str>, Measured)| {
        let same = |r: &Regression| {
            let source = r.source.as_ref().map(|name| name.text().into_owned());
            (r.line, source.as_deref(), r.measure) == wanted && r.after > r.before
        };
        diff.regressions.iter().any(same)
    };
    for wanted in [
        (Some(Part::Awake), None, Measured::Percent),
        (Some(Part::Line(Line::Blocked)), None, Measured::Percent),
        (None, Some("source3"), Measured::CostNs),
        (None, Some("source3"), Measured::BlockedShareNs),
    ] {
        assert!(found(&worse, wanted), "{wanted:?} in {:?}", worse.regressions);
    }
    assert!(!found(&worse, (None, Some("source3"), Measured::HeldNs)));
    // For the better it is as significant, and no regression.
    let better = diff(&after, &before, Per::Session);
    assert_eq!(better.sources[0].verdict, Verdict::Significant);
    assert_eq!(better.regressions, []);
}

#[test]
fn rows_within_noise_come_last() {
    let [before, after] = stuck();
    let diff = diff(&before, &after, Per::Session);
    assert!(diff.sources.is_sorted_by_key(|s| s.verdict));
    assert!(diff.ledger.is_sorted_by_key(|line| line.percent.verdict));
    assert!(diff.attempts.is_sorted_by_key(|outcome| outcome.rate.verdict));
    let noise = diff.sources.iter().filter(|s| s.verdict == Verdict::WithinNoise);
    let sizes: Vec<_> = noise.map(|s| s.cost_ns.change.map(f64::abs)).collect();
    assert!(sizes.len() > 5 && sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
}

#[test]
fn one_night_a_side_shows_changes_of_counts_only() {
    let mut random = Random(11);
    let before = nights(&mut random, &habits(), 1);
    let mut worse = habits();
    worse[1].storms.0 *= 20.0;
    worse[1].blocks = (30.0, 30.0);
    let after = nights(&mut random, &worse, 1);
    let diff = diff(&before, &after, Per::Session);
    let second = diff.sources.iter().find(|s| s.name.text() == "source2").expect("the source");
    assert_eq!(second.aborts.verdict, Verdict::Significant);
    assert_eq!((second.cost_ns.p, second.cost_ns.verdict), (None, Verdict::Unknown));
    let time =
        |r: &Regression| !matches!(r.measure, Measured::Aborts | Measured::Wakes | Measured::Rate);
    assert!(!diff.regressions.is_empty() && !diff.regressions.iter().any(time));
    let few = diff.warnings.iter().filter(|warning| warning.contains("change in times from noise"));
    assert_eq!(few.count(), 1, "{:?}", diff.warnings);
}

/// Nights in which one source blocks for so many seconds an hour.
fn blocked(seconds: [u64; 5]) -> Vec<Trace> {
    let one = |(at, seconds): (usize, u64)| {
        let mut report = report();
        report.session.boot_id = format!("{at} {seconds}");
        report.sources = vec![source(b"modem", 0, seconds, 0, 0)];
        let ledger = &mut report.ledger;
        (ledger.blocked_ns, ledger.not_trying_ns) = (Some(seconds * S), Some(0));
        (ledger.user_space_ns, ledger.backoff_ns) = (Some(0), Some(0));
        ledger.asleep_ns = 3_300 * S - seconds * S;
        trace("night.swk", report)
    };
    seconds.into_iter().enumerate().map(one).collect()
}

#[test]
fn ranges_within_each_other_are_noise() {
    let before = blocked([6, 60, 199, 900, 1_700]);
    let verdict = |after| diff(&before, &blocked(after), Per::Session).sources[0].verdict;
    assert_eq!(verdict([0, 700, 1_012, 1_100, 1_387]), Verdict::WithinNoise);
    assert_eq!(verdict([2_000, 2_100, 2_200, 2_300, 2_400]), Verdict::Significant);
}

#[test]
fn too_few_nights_that_lie_apart_are_unknown() {
    let nights = |seconds: [u64; 5], n: usize| blocked(seconds)[..n].to_vec();
    let verdict = |before, after, n| {
        diff(&nights(before, n), &nights(after, n), Per::Session).sources[0].verdict
    };
    for (n, apart) in [(2, Verdict::Unknown), (3, Verdict::Unknown), (4, Verdict::Significant)] {
        assert_eq!(verdict([1, 2, 3, 4, 5], [900, 901, 902, 903, 904], n), apart, "{n}");
        assert_eq!(verdict([1, 900, 3, 4, 5], [2, 901, 5, 6, 9], n), Verdict::WithinNoise, "{n}");
    }
}

#[test]
fn unknown_time_may_explain_a_change() {
    let mut known = blocked([1_000, 1_010, 1_020, 1_030, 1_040]);
    known.iter_mut().for_each(|trace| trace.report.ledger.unknown_ns = 0);
    let after = |unknown_s: u64| {
        let mut traces = blocked([10, 11, 12, 13, 14]);
        for trace in &mut traces {
            trace.report.ledger.unknown_ns = unknown_s * S;
            trace.report.ledger.asleep_ns -= unknown_s * S;
        }
        traces
    };
    for (unknown_s, verdict) in [(0, Verdict::Significant), (1_100, Verdict::Unknown)] {
        let worse = diff(&after(unknown_s), &known, Per::Session);
        assert_eq!(worse.sources[0].blocked_share_ns.verdict, verdict, "{unknown_s}");
        assert_eq!(worse.sources[0].cost_ns.verdict, verdict, "{unknown_s}");
        assert_eq!(worse.regressions.is_empty(), verdict == Verdict::Unknown, "{unknown_s}");
        let better = diff(&known, &after(unknown_s), Per::Session);
        assert_eq!(better.sources[0].cost_ns.verdict, verdict, "{unknown_s}");
        let blocked = |line: &&LineChange| line.line == Part::Line(Line::Blocked);
        let line = better.ledger.iter().find(blocked).expect("the line");
        assert_eq!(line.percent.verdict, verdict, "{unknown_s}");
    }
}

/// Hours with so many wakes in so many seconds asleep, and so many aborts.
fn hour(asleep_s: u64, wakes: u64, aborts: u64) -> Trace {
    let mut report = report();
    report.session.boot_id = format!("{asleep_s} {wakes} {aborts}");
    report.ledger.asleep_ns = asleep_s * S;
    report.sources = vec![source(b"alarm", 0, 0, aborts, wakes)];
    let model = report.attempts[0].clone();
    let wakes = (0..wakes).map(|_| Outcome::Slept);
    let outcomes = wakes.chain((0..aborts).map(|_| Outcome::Aborted));
    let attempt = |outcome| Attempt { outcome, ..model.clone() };
    report.attempts = outcomes.map(attempt).collect();
    let count = report.attempts.len() as u64;
    for (at, attempt) in report.attempts.iter_mut().enumerate() {
        // In turns, so that nothing bunches.
        attempt.start_ns.0 =
            report.session.start_ns.0 + (at as u64 * 7 % count) * 3_599 * S / count;
    }
    trace("hour.swk", report)
}

#[test]
fn a_device_that_sleeps_again_is_not_worse() {
    let regressions = |before: Trace, after: Trace| -> Vec<Measured> {
        diff(&[before], &[after], Per::Session).regressions.iter().map(|r| r.measure).collect()
    };
    // It wakes more often because it sleeps at all, or longer.
    assert_eq!(regressions(hour(0, 0, 0), hour(3_000, 40, 0)), []);
    assert_eq!(regressions(hour(100, 3, 0), hour(3_000, 40, 0)), []);
    let woken = regressions(hour(3_000, 3, 0), hour(3_000, 40, 0));
    assert_eq!(woken, [Measured::Rate, Measured::Wakes]);
    // It aborts more attempts because it tries more often.
    assert_eq!(regressions(hour(0, 0, 0), hour(1_000, 70, 30)), []);
    let aborted = regressions(hour(1_000, 99, 1), hour(1_000, 70, 30));
    assert_eq!(aborted, [Measured::Rate, Measured::Aborts]);
}
