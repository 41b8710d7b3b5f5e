//! The part of a change or a rate that chance alone explains. Pure.
//!
//! Decision 35 has the reasons. The special functions are those of `statrs`; its Mann–Whitney test
//! refuses ties and errs where the first side is not the larger, so the rank test is here.

use std::f64::consts::SQRT_2;

use statrs::distribution::{ContinuousCDF as _, Gamma};
use statrs::function::beta::checked_beta_reg;
use statrs::function::erf::{erf_inv, erfc};

/// The share of comparisons of equals that may show a significant change.
pub const ALPHA: f64 = 0.05;

/// Above so many events the incomplete beta and gamma functions of `statrs` converge slowly or not at
/// all, and approximations are as good.
const MANY_EVENTS: f64 = 4_000.0;

/// Up to so many traces the rank test is exact.
const EXACT_TRACES: usize = 30;

/// The parts of a session in which events are counted to see whether they come in bunches.
pub const WINDOWS: usize = 16;

/// Events of one trace.
#[derive(Clone, Copy, Debug)]
pub struct Events {
    /// How many.
    pub count: u64,
    /// The hours, or whatever else they are counted by.
    pub exposure: f64,
    /// How many fell into each part of the session, as far as that is known.
    pub windows: [u32; WINDOWS],
}

/// The result of a test of no change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// The chance of a difference at least this great without a change.
    pub p: f64,
    /// The traces of one side all lie beyond those of the other: more traces could decide.
    pub apart: bool,
}

/// Whether the ranks of so many traces can show anything at all.
pub fn ranks_can_decide(before: usize, after: usize) -> bool {
    let all = before + after;
    // A side that has all the greatest or all the smallest values: two of the ways to draw it.
    let ways = (1..=before.min(after)).fold(1.0, |n, k| n * (all - k + 1) as f64 / k as f64);
    2.0 / ways <= ALPHA
}

/// Tests a measure that has one value a trace. `None` with one trace on a side, unless nothing
/// differs.
pub fn values(before: &[f64], after: &[f64]) -> Option<Test> {
    let mut all = before.iter().chain(after);
    let first = all.next()?;
    if !before.is_empty() && !after.is_empty() && all.all(|value| value == first) {
        return Some(Test { p: 1.0, apart: false });
    }
    let several = before.len() > 1 && after.len() > 1;
    several.then(|| Test { p: rank_sum(before, after), apart: apart(before, after) })
}

/// Tests the rate of events. With too few traces for ranks to decide, the events themselves are
/// compared; several traces must then also lie apart.
pub fn rates(before: &[Events], after: &[Events]) -> Option<Test> {
    if before.is_empty() || after.is_empty() {
        return None;
    }
    let each = |side: &[Events]| -> Vec<f64> {
        side.iter().map(|trace| trace.count as f64 / trace.exposure).collect()
    };
    let (b, a) = (each(before), each(after));
    if ranks_can_decide(b.len(), a.len()) {
        return values(&b, &a);
    }
    let sum = |side: &[Events]| {
        let count: u64 = side.iter().map(|trace| trace.count).sum();
        (count as f64, side.iter().map(|trace| trace.exposure).sum())
    };
    let p = poisson_ratio(sum(before), sum(after), bunching(before, after));
    let p = match values(&b, &a) {
        Some(ranks) if !ranks.apart => p.max(ranks.p),
        _ => p,
    };
    Some(Test { p, apart: false })
}

fn apart(before: &[f64], after: &[f64]) -> bool {
    let most = |side: &[f64]| side.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = |side: &[f64]| side.iter().copied().fold(f64::INFINITY, f64::min);
    most(before) < least(after) || most(after) < least(before)
}

/// The exact test of two Poisson rates, each a count and its exposure: given their sum, the second
/// count is binomial. Two-sided: twice the smaller tail. Only one in `bunching` events is
/// independent of the others.
fn poisson_ratio(before: (f64, f64), after: (f64, f64), bunching: f64) -> f64 {
    let (b, a) = (before.0 / bunching, after.0 / bunching);
    let chance = after.1 / (before.1 + after.1);
    let total = b + a;
    if total <= 0.0 || !(0.0..=1.0).contains(&chance) {
        return 1.0;
    }
    if total > MANY_EVENTS && total * chance * (1.0 - chance) > 100.0 {
        let off = (a - total * chance).abs() - 0.5;
        let z = off.max(0.0) / (total * chance * (1.0 - chance)).sqrt();
        return erfc(z / SQRT_2);
    }
    // P(X ≥ a) and P(X ≤ a), by the incomplete beta function.
    let at_least = if a > 0.0 { checked_beta_reg(a, b + 1.0, chance).unwrap_or(1.0) } else { 1.0 };
    let at_most =
        if b > 0.0 { checked_beta_reg(b, a + 1.0, 1.0 - chance).unwrap_or(1.0) } else { 1.0 };
    (2.0 * at_least.min(at_most)).clamp(0.0, 1.0)
}

/// How many times as much the counts vary as those of independent events would, at least 1: between
/// the parts of each session, or between the traces of a side if that is more.
fn bunching(before: &[Events], after: &[Events]) -> f64 {
    let mut windows = Excess::default();
    let mut traces = Excess::default();
    for side in [before, after] {
        for trace in side {
            let seen: u32 = trace.windows.iter().sum();
            let expected = f64::from(seen) / WINDOWS as f64;
            windows.add(trace.windows.iter().map(|n| (f64::from(*n), expected)));
        }
        let count: u64 = side.iter().map(|trace| trace.count).sum();
        let exposure: f64 = side.iter().map(|trace| trace.exposure).sum();
        let rate = count as f64 / exposure;
        traces.add(side.iter().map(|trace| (trace.count as f64, trace.exposure * rate)));
    }
    windows.ratio().max(traces.ratio()).max(1.0)
}

/// Pearson's statistic, and its degrees of freedom.
#[derive(Default)]
struct Excess {
    chi_squared: f64,
    freedom: f64,
}

impl Excess {
    fn add(&mut self, counts: impl ExactSizeIterator<Item = (f64, f64)>) {
        let freedom = counts.len() as f64 - 1.0;
        let mut chi_squared = 0.0;
        for (count, expected) in counts {
            if expected <= 0.0 {
                return;
            }
            chi_squared += (count - expected).powi(2) / expected;
        }
        self.chi_squared += chi_squared;
        self.freedom += freedom;
    }

    fn ratio(&self) -> f64 {
        if self.freedom > 0.0 { self.chi_squared / self.freedom } else { 1.0 }
    }
}

/// The rank-sum test of Mann, Whitney and Wilcoxon, two-sided; ties share their mean rank. Exact: the
/// part of all ways to draw the smaller side whose sum of ranks is as far from the middle.
fn rank_sum(before: &[f64], after: &[f64]) -> f64 {
    let (fewer, more) = if before.len() <= after.len() { (before, after) } else { (after, before) };
    let all: Vec<f64> = fewer.iter().chain(more).copied().collect();
    // Twice the mean rank, which is whole: the values below, and those up to the value.
    let ranks = all.iter().map(|value| {
        let below = all.iter().filter(|other| *other < value).count();
        let up_to = all.iter().filter(|other| *other <= value).count();
        below + up_to + 1
    });
    let ranks: Vec<usize> = ranks.collect();
    let drawn: usize = ranks[..fewer.len()].iter().sum();
    let middle = fewer.len() * (all.len() + 1);
    let off = drawn.abs_diff(middle);
    if all.len() > EXACT_TRACES {
        return rank_sum_of_many(&ranks, fewer.len(), off);
    }
    // ways[k][s]: the subsets of k ranks that sum to s.
    let most: usize = ranks.iter().sum();
    let mut ways = vec![vec![0.0; most + 1]; fewer.len() + 1];
    ways[0][0] = 1.0;
    for rank in ranks {
        for k in (0..fewer.len()).rev() {
            for s in 0..=most - rank {
                let more = ways[k][s];
                ways[k + 1][s + rank] += more;
            }
        }
    }
    let ways = &ways[fewer.len()];
    let far = ways.iter().enumerate().filter(|(s, _)| s.abs_diff(middle) >= off);
    far.map(|(_, n)| n).sum::<f64>() / ways.iter().sum::<f64>()
}

/// The same by the normal distribution.
fn rank_sum_of_many(ranks: &[usize], drawn: usize, off: usize) -> f64 {
    let all = ranks.len() as f64;
    let middle = all + 1.0;
    let spread: f64 = ranks.iter().map(|rank| (*rank as f64 - middle).powi(2)).sum();
    let (drawn, left) = (drawn as f64, (ranks.len() - drawn) as f64);
    let deviation = (drawn * left * spread / (all * (all - 1.0))).sqrt();
    if deviation <= 0.0 {
        return 1.0;
    }
    // Ranks are doubled, so 1 is half a rank.
    let z = (off as f64 - 1.0).max(0.0) / deviation;
    erfc(z / SQRT_2)
}

/// p-values adjusted for the number of tests: Benjamini and Hochberg's method, with weights. Each test
/// is a p-value and its stake, from 0; stakes sum to 1. If nothing changed, the chance that any adjusted
/// value is at most α is at most α.
pub fn adjusted(tests: &[(f64, f64)]) -> Vec<f64> {
    let weighed = |(p, stake): (f64, f64)| if stake > 0.0 { p / stake } else { f64::INFINITY };
    let mut order: Vec<_> = (0..tests.len()).collect();
    order.sort_by(|a, b| weighed(tests[*b]).total_cmp(&weighed(tests[*a])));
    let mut adjusted = vec![1.0; tests.len()];
    let mut least: f64 = 1.0;
    for (from_last, test) in order.into_iter().enumerate() {
        let rank = (tests.len() - from_last) as f64;
        least = least.min(weighed(tests[test]) / rank);
        adjusted[test] = least;
    }
    adjusted
}

/// The smallest mean that a count of `events` leaves possible: the lower end of Garwood's exact interval
/// of that confidence, from 0 to below 1. With confidence 0 the count itself.
pub fn at_least(events: u64, confidence: f64) -> f64 {
    let count = events as f64;
    if events == 0 || confidence <= 0.0 {
        return count;
    }
    if count > MANY_EVENTS {
        // Wilson and Hilferty's approximation of the same quantile.
        let z = SQRT_2 * erf_inv(confidence);
        return count * (1.0 - 1.0 / (9.0 * count) - z / (3.0 * count.sqrt())).powi(3);
    }
    let below = ((1.0 - confidence) / 2.0).clamp(0.0, 0.5);
    Gamma::new(count, 1.0).map_or(0.0, |gamma| gamma.inverse_cdf(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-6 * b
    }

    /// Events spread evenly over the session.
    fn even(count: u64, exposure: f64) -> Events {
        let window = |at: usize| {
            (count as usize * (at + 1) / WINDOWS - count as usize * at / WINDOWS) as u32
        };
        Events { count, exposure, windows: std::array::from_fn(window) }
    }

    #[test]
    fn two_counts_are_compared_exactly() {
        // By sums of binomial terms.
        for (b, a, chance, p) in [
            (0.0, 1.0, 0.5, 1.0),
            (0.0, 6.0, 0.5, 0.031_25),
            (10.0, 25.0, 0.5, 0.016_673_847_8),
            (30.0, 2.0, 0.1, 0.733_367_038),
            (1_900.0, 2_100.0, 0.5, 0.001_649_266_38),
        ] {
            let got = poisson_ratio((b, 1.0 - chance), (a, chance), 1.0);
            assert!(near(got, p), "{b} {a}: {got}, not {p}");
            // It does not matter which side comes first.
            let turned = poisson_ratio((a, chance), (b, 1.0 - chance), 1.0);
            assert!(near(turned, p), "{b} {a}: {turned}, not {p}");
        }
        for (b, a, p) in [(4_000.0, 4_300.0, 0.001_029_737), (49_000.0, 50_000.0, 0.001_498_083)] {
            let got = poisson_ratio((b, 8.0), (a, 8.0), 1.0);
            assert!((got - p).abs() < 0.01 * p, "{b} {a}: {got}, not {p}");
        }
        assert_eq!(poisson_ratio((0.0, 8.0), (0.0, 1.0), 1.0), 1.0);
    }

    #[test]
    fn events_in_a_bunch_count_as_one() {
        let test = |before, after| rates(&[before], &[after]).expect("a test").p;
        let none = even(0, 8.0);
        assert!(test(none, even(20, 8.0)) < 1e-4);
        let mut storm = even(20, 8.0);
        storm.windows = [0; WINDOWS];
        storm.windows[7] = 20;
        assert!(test(none, storm) > 0.9);
        assert!(test(storm, none) > 0.9);
        // Without stamps events are taken for independent.
        storm.windows = [0; WINDOWS];
        assert!(test(none, storm) < 1e-4);
    }

    #[test]
    fn ranks_are_compared_exactly_even_with_ties() {
        // By counting all draws.
        for (before, after, p) in [
            (&[19.0, 22.0, 16.0, 29.0, 24.0][..], &[20.0, 11.0, 17.0, 12.0][..], 1.0 / 9.0),
            (&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0], 2.0 / 252.0),
            (&[0.0, 0.0, 0.0, 1.0, 2.0], &[0.0, 3.0, 3.0, 4.0, 5.0], 0.063_492_063_49),
            (&[0.0, 0.0, 0.0, 0.0], &[0.0, 0.0, 1.0, 0.0, 0.0], 1.0),
        ] {
            assert!(near(rank_sum(before, after), p), "{before:?} {after:?}");
            assert!(near(rank_sum(after, before), p), "{before:?} {after:?}");
        }
        let even: Vec<_> = (0..30).map(|n| f64::from(2 * n)).collect();
        let odd: Vec<_> = (0..30).map(|n| f64::from(2 * n + 1)).collect();
        assert!(rank_sum(&even, &odd) > 0.8);
        let later: Vec<_> = (0..30).map(|n| f64::from(n + 50)).collect();
        assert!(rank_sum(&even, &later) < 1e-6);
        assert_eq!(rank_sum(&[3.0; 30], &[3.0; 30]), 1.0);
    }

    #[test]
    fn few_traces_decide_nothing_by_ranks() {
        for (before, after, can) in [(1, 1, false), (3, 3, false), (4, 4, true), (2, 8, true)] {
            assert_eq!(ranks_can_decide(before, after), can, "{before} {after}");
        }
        assert_eq!(values(&[1.0], &[900.0]), None);
        assert_eq!(values(&[1.0], &[1.0]), Some(Test { p: 1.0, apart: false }));
        assert_eq!(values(&[], &[1.0]), None);
        let two = values(&[1.0, 2.0], &[3.0, 4.0]).expect("a test");
        assert!(two.apart && near(two.p, 1.0 / 3.0));
        // Counts can: but only if the traces lie apart as well.
        let three = |counts: [u64; 3]| counts.map(|n| even(n, 8.0));
        let p = |b, a| rates(&three(b), &three(a)).expect("a test").p;
        assert!(p([2, 3, 2], [50, 60, 40]) < 0.001);
        assert!(p([2, 3, 50], [50, 60, 40]) > 0.05);
    }

    #[test]
    fn tests_of_many_are_adjusted() {
        assert_eq!(adjusted(&[]), Vec::<f64>::new());
        let got = adjusted(&[(0.01, 0.25), (0.02, 0.25), (0.5, 0.25), (0.03, 0.25)]);
        for (got, wanted) in got.into_iter().zip([0.04, 0.04, 0.5, 0.04]) {
            assert!(near(got, wanted), "{got} {wanted}");
        }
        // A test of more stake needs less proof; one of none shows nothing.
        let got = adjusted(&[(0.04, 0.8), (0.001, 0.0), (0.04, 0.2)]);
        assert!(near(got[0], 0.05) && got[1] == 1.0 && near(got[2], 0.1), "{got:?}");
    }

    #[test]
    fn rates_have_garwoods_lower_bound() {
        for (events, bound) in
            [(1, 0.025_317_808), (2, 0.242_209_279), (10, 4.795_388_696), (100, 81.363_991_25)]
        {
            assert!(near(at_least(events, 0.95), bound), "{events}");
        }
        assert_eq!((at_least(0, 0.95), at_least(7, 0.0)), (0.0, 7.0));
        // No step where the approximation begins.
        let (below, above) = (at_least(4_000, 0.95), at_least(4_001, 0.95));
        assert!((above - below - 1.0).abs() < 0.02, "{below} {above}");
        let most = at_least(u64::MAX, 0.99);
        assert!(most < u64::MAX as f64 && most > 0.999 * u64::MAX as f64);
        assert!(at_least(1, 1.0 - f64::EPSILON) >= 0.0);
    }
}
