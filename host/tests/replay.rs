//! Held and blocked times against a replay that is as simple as can be: all boundaries in a list,
//! and at each piece between two of them the question who was active.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Maker, T0};
use proptest::collection::vec;
use proptest::prelude::*;
use sleepwalk::analyze::{Analysis, analyze};
use sleepwalk::report::{By, build};
use sleepwalk_trace::record::Reason;

/// Two of one name.
const NAMES: [&str; 5] = ["modem", "wlan", "usb", "alarm", "modem"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Toggle(u32),
    Wait(u32),
    Snapshot,
    /// An attempt that is aborted after this long.
    Abort(u64),
    /// One that sleeps.
    Sleep(u64, Option<u32>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0u32..5).prop_map(Step::Toggle),
        4 => (0u32..3).prop_map(Step::Wait),
        1 => Just(Step::Snapshot),
        1 => (0u64..9_000_000).prop_map(Step::Abort),
        1 => (1_000_000u64..90_000_000, prop::option::of(0u32..5))
            .prop_map(|(ns, waker)| Step::Sleep(ns, waker)),
    ]
}

/// Intervals, opened and closed as the trace is made.
#[derive(Default)]
struct Intervals {
    open: BTreeMap<u32, u64>,
    all: Vec<(u32, u64, u64)>,
}

impl Intervals {
    /// Returns whether it is open now.
    fn toggle(&mut self, which: u32, now: u64) -> bool {
        match self.open.remove(&which) {
            Some(start) => self.all.push((which, start, now)),
            None => {
                self.open.insert(which, now);
                return true;
            }
        }
        false
    }

    fn close(&mut self, now: u64) {
        let open = std::mem::take(&mut self.open);
        self.all.extend(open.into_iter().map(|(which, start)| (which, start, now)));
    }

    fn at(&self, at: u64) -> BTreeSet<u32> {
        let within = self.all.iter().filter(|(_, start, end)| (*start..*end).contains(&at));
        within.map(|(which, _, _)| *which).collect()
    }
}

/// The result of the simple method, by source.
#[derive(Default)]
struct Wanted {
    held_ns: [u64; 5],
    /// In sixtieths of a nanosecond: that divides by any number of them.
    share: [u128; 5],
    sole_ns: [u64; 5],
    sole_by_name: BTreeMap<&'static str, u64>,
    blocked_ns: u64,
    nobody_ns: u64,
}

fn make(steps: &[(u64, Step)]) -> (Vec<u8>, Wanted) {
    let mut m = Maker::full();
    for name in NAMES {
        m.source(name.as_bytes(), 0);
    }
    m.snapshot(Reason::Start);
    let [mut held, mut waits, mut attempts, mut sleeps] =
        [const { Intervals { open: BTreeMap::new(), all: Vec::new() } }; 4];
    for &(after, step) in steps {
        m.wait(after);
        match step {
            Step::Toggle(source) => {
                if held.toggle(source, m.now) {
                    m.activate(source);
                } else {
                    m.relax(source);
                }
            }
            Step::Wait(thread) => {
                if waits.toggle(thread, m.now) {
                    m.wait_begin(thread);
                } else {
                    m.wait_end(thread);
                }
            }
            Step::Snapshot => {
                m.snapshot(Reason::Tick).commit();
            }
            Step::Abort(ns) => {
                attempts.toggle(0, m.now);
                m.phase("suspend_enter", 1, true).wait(ns).returned(-16);
                attempts.toggle(0, m.now);
            }
            Step::Sleep(ns, waker) => {
                attempts.toggle(0, m.now);
                m.phase("suspend_enter", 1, true).wait(7);
                sleeps.toggle(0, m.now);
                m.phase("machine_suspend", 1, true).wait(ns);
                if let Some(waker) = waker {
                    if held.toggle(waker, m.now) {
                        m.activate(waker);
                    } else {
                        m.relax(waker);
                    }
                    m.wait(11);
                }
                m.phase("machine_suspend", 1, false);
                sleeps.toggle(0, m.now);
                m.wait(5).returned(0);
                attempts.toggle(0, m.now);
            }
        }
    }
    let bytes = m.finish();
    for intervals in [&mut held, &mut waits] {
        intervals.close(m.now);
    }
    (bytes, replay(&held, &waits, &attempts, &sleeps))
}

fn replay(held: &Intervals, waits: &Intervals, attempts: &Intervals, sleeps: &Intervals) -> Wanted {
    let all = [held, waits, attempts, sleeps];
    let boundaries: BTreeSet<u64> =
        all.iter().flat_map(|i| &i.all).flat_map(|(_, start, end)| [*start, *end]).collect();
    let boundaries: Vec<u64> = boundaries.into_iter().collect();
    let mut wanted = Wanted::default();
    for piece in boundaries.windows(2) {
        let (at, ns) = (piece[0], piece[1] - piece[0]);
        let active = held.at(at);
        if sleeps.at(at).is_empty() {
            for &source in &active {
                wanted.held_ns[source as usize] += ns;
            }
        }
        if waits.at(at).is_empty() || !attempts.at(at).is_empty() {
            continue;
        }
        wanted.blocked_ns += ns;
        if active.is_empty() {
            wanted.nobody_ns += ns;
        }
        for &source in &active {
            wanted.share[source as usize] += u128::from(ns) * 60 / active.len() as u128;
        }
        if active.len() == 1 {
            active.iter().for_each(|source| wanted.sole_ns[*source as usize] += ns);
        }
        let names: BTreeSet<&str> = active.iter().map(|source| NAMES[*source as usize]).collect();
        if names.len() == 1 {
            names.iter().for_each(|name| *wanted.sole_by_name.entry(name).or_default() += ns);
        }
    }
    wanted
}

fn compare(all: &Analysis, wanted: &Wanted) -> Result<(), TestCaseError> {
    prop_assert_eq!(all.contradictions, 0);
    prop_assert_eq!(all.ledger.total_ns(), all.model.duration_ns());
    prop_assert_eq!(all.ledger.blocked_ns, Some(wanted.blocked_ns));
    let mut shares = 0;
    for (instance, source) in &all.sources {
        let (which, sum) = (*instance as usize, &source.sum);
        prop_assert_eq!(sum.held_ns, wanted.held_ns[which], "{}", which);
        prop_assert_eq!(sum.blocked_sole_ns, Some(wanted.sole_ns[which]));
        let share_ns = sum.blocked_share_ns.expect("edges and waits");
        let share = u128::from(share_ns) * 60;
        prop_assert!(
            share.abs_diff(wanted.share[which]) <= 60,
            "{} {}",
            share,
            wanted.share[which]
        );
        shares += share_ns;
    }
    prop_assert_eq!(shares + wanted.nobody_ns, wanted.blocked_ns);
    for source in build(all, By::Name, None).sources {
        let sole = wanted.sole_by_name.get(&*source.name.text()).copied().unwrap_or(0);
        prop_assert_eq!(source.sum.blocked_sole_ns, Some(sole), "{}", source.name.text());
    }
    Ok(())
}

proptest! {
    #[test]
    fn edges_come_to_what_a_simple_replay_says(
        steps in vec((0u64..5_000_000, step()), 1..120)
    ) {
        let (bytes, wanted) = make(&steps);
        compare(&analyze(&bytes).expect("a trace"), &wanted)?;
    }

    #[test]
    fn edges_within_nanoseconds_of_each_other_too(steps in vec((0u64..9, step()), 1..120)) {
        let (bytes, wanted) = make(&steps);
        compare(&analyze(&bytes).expect("a trace"), &wanted)?;
    }
}

#[test]
fn the_session_begins_with_its_first_record() {
    let (bytes, _) = make(&[(5, Step::Toggle(1))]);
    assert_eq!(analyze(&bytes).expect("a trace").model.start.0, T0);
}
