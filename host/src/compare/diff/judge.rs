//! Verdicts on measures, the order of rows, and regressions.

use std::cmp::Reverse;

use super::{Diff, Group, Measure, Measured, Part, Regression, SourceChange, Verdict};
use crate::compare::noise::{ALPHA, adjusted};
use crate::report::Line;

/// Judges all measures as one family, sorts the rows, and lists what is worse.
pub fn judge(diff: &mut Diff) {
    verdicts(diff);
    for source in &mut diff.sources {
        source.verdict = source.judged();
    }
    diff.ledger.sort_by_key(|line| order(line.percent.verdict, [&line.percent]));
    diff.attempts.sort_by_key(|outcome| order(outcome.rate.verdict, [&outcome.rate]));
    diff.sources.sort_by_key(|s| order(s.verdict, [&s.cost_ns, &s.held_ns]));
    diff.regressions = regressions(diff);
}

/// Every column has the same stake in the family, and within a column each row has the part that it
/// is of the column. Time asleep is the time not awake: one test decides both.
fn verdicts(diff: &mut Diff) {
    let asleep = Part::Line(Line::Asleep);
    let ledger = diff.ledger.iter_mut().filter(|line| line.line != asleep);
    let mut columns = vec![
        ledger.map(|line| &mut line.percent).collect::<Vec<_>>(),
        diff.attempts.iter_mut().map(|outcome| &mut outcome.rate).collect(),
    ];
    let first = columns.len();
    columns.resize_with(first + SourceChange::MEASURES, Vec::new);
    for source in &mut diff.sources {
        for (column, (_, measure)) in columns[first..].iter_mut().zip(source.measures_mut()) {
            column.push(measure);
        }
    }
    // A column without a test has no stake.
    let stakes = columns.iter().map(|column| {
        column.iter().filter(|measure| measure.test.is_some()).map(|measure| measure.stake).sum()
    });
    let stakes: Vec<f64> = stakes.collect();
    let count = stakes.iter().filter(|stake| **stake > 0.0).count() as f64;
    let mut tested = Vec::new();
    for (column, whole) in columns.into_iter().zip(stakes) {
        for measure in column {
            if let Some(test) = measure.test {
                let stake = if whole > 0.0 { measure.stake / whole / count } else { 0.0 };
                tested.push((measure, test, stake));
            }
        }
    }
    let tests: Vec<_> = tested.iter().map(|(_, test, stake)| (test.p, *stake)).collect();
    for ((measure, test, _), p) in tested.into_iter().zip(adjusted(&tests)) {
        (measure.p, measure.p_adjusted) = (Some(test.p), Some(p));
        measure.verdict = match p <= ALPHA {
            true if measure.in_doubt => Verdict::Unknown,
            true => Verdict::Significant,
            false if test.apart => Verdict::Unknown,
            false => Verdict::WithinNoise,
        };
    }
    let awake = diff.ledger.iter().find(|line| line.line == Part::Awake).map(|line| line.percent);
    let asleep = diff.ledger.iter_mut().find(|line| line.line == asleep);
    if let (Some(awake), Some(asleep)) = (awake, asleep) {
        let Measure { p, p_adjusted, verdict, .. } = awake;
        asleep.percent = Measure { p, p_adjusted, verdict, ..asleep.percent };
    }
}

/// The significant first and those within noise last; then the greatest change, with unknown ones last.
fn order<const N: usize>(verdict: Verdict, by: [&Measure; N]) -> impl Ord + use<N> {
    // Floats that are not negative sort by their bits.
    let sizes = by.map(|measure| measure.change.map_or(0, |change| change.abs().to_bits()));
    (verdict, Reverse(sizes))
}

fn regressions(diff: &Diff) -> Vec<Regression> {
    let mut found = Vec::new();
    let none = Regression {
        line: None,
        outcome: None,
        source: None,
        measure: Measured::Percent,
        before: 0.0,
        after: 0.0,
    };
    let mut add = |measure: &Measure, of: Regression| {
        if let (true, Some(before), Some(after)) = (measure.worse(), measure.before, measure.after)
        {
            found.push(Regression { before: before.median, after: after.median, ..of });
        }
    };
    for row in &diff.ledger {
        // User space may want the device awake; its parts of `awake` are not worse for that.
        let lines = [Line::Aborted, Line::Blocked, Line::Backoff].map(Part::Line);
        if row.line == Part::Awake || lines.contains(&row.line) {
            add(&row.percent, Regression { line: Some(row.line), ..none.clone() });
        }
    }
    for row in &diff.attempts {
        if row.outcome != Group::All {
            let outcome = Some(row.outcome);
            add(&row.rate, Regression { outcome, measure: Measured::Rate, ..none.clone() });
        }
    }
    for row in &diff.sources {
        for (measured, measure) in row.measures() {
            // Holding a source costs nothing where blocked time shows that nothing waited for it.
            if measured != Measured::HeldNs || row.blocked_share_ns.change.is_none() {
                let source = Some(row.name.clone());
                add(measure, Regression { source, measure: measured, ..none.clone() });
            }
        }
    }
    found
}

impl Measure {
    /// Significantly more. More events are not worse if there were more chances and fewer a chance: a
    /// device that sleeps again is woken again.
    fn worse(&self) -> bool {
        let more = self.change.is_some_and(|change| change > 0.0);
        self.verdict == Verdict::Significant && more && !self.fewer_by_chance
    }
}

impl SourceChange {
    const MEASURES: usize = 5;

    /// Its measures, each with its key.
    pub fn measures(&self) -> [(Measured, &Measure); Self::MEASURES] {
        [
            (Measured::CostNs, &self.cost_ns),
            (Measured::BlockedShareNs, &self.blocked_share_ns),
            (Measured::HeldNs, &self.held_ns),
            (Measured::Aborts, &self.aborts),
            (Measured::Wakes, &self.wakes),
        ]
    }

    fn measures_mut(&mut self) -> [(Measured, &mut Measure); Self::MEASURES] {
        [
            (Measured::CostNs, &mut self.cost_ns),
            (Measured::BlockedShareNs, &mut self.blocked_share_ns),
            (Measured::HeldNs, &mut self.held_ns),
            (Measured::Aborts, &mut self.aborts),
            (Measured::Wakes, &mut self.wakes),
        ]
    }

    fn judged(&self) -> Verdict {
        let significant = |(_, measure): (_, &Measure)| measure.verdict == Verdict::Significant;
        if self.measures().into_iter().any(significant) {
            return Verdict::Significant;
        }
        let shown = if self.cost_ns.change.is_some() { &self.cost_ns } else { &self.held_ns };
        shown.verdict
    }
}
