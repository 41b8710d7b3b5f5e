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

/// Two of one name; one that yields; and two that share their name's pointer from some time on.
const NAMES: [&str; 7] = ["modem", "wlan", "usb", "eventpoll", "modem", "sensor", "sensor"];

/// The first of those that may share their name's pointer.
const SENSOR: u32 = 5;

#[derive(Clone, Copy, Debug)]
enum Step {
    Toggle(u32),
    /// From here on the sensors share a pointer.
    Share,
    Wait(u32),
    Snapshot,
    /// An attempt that is aborted after this long.
    Abort(u64),
    /// One that sleeps.
    Sleep(u64, Option<u32>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => (0u32..7).prop_map(Step::Toggle),
        1 => Just(Step::Share),
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
    held_ns: [u64; 7],
    /// In sixtieths of a nanosecond: that divides by any number of them.
    share: [u128; 7],
    sole_ns: [u64; 7],
    by_name: BTreeMap<&'static str, Named>,
    blocked_ns: u64,
    nobody_ns: u64,
    /// Edges do not distinguish the sensors.
    shared: bool,
}

/// The result by name.
#[derive(Default)]
struct Named {
    sole_ns: u64,
    held_ns: u64,
    /// Start and end of the longest hold, and of the last.
    longest: (u64, u64),
    last: (u64, u64),
}

impl Named {
    fn hold(&mut self, start: u64, end: u64) {
        self.held_ns += end - start;
        self.last = if self.last.1 == start { (self.last.0, end) } else { (start, end) };
        if self.last.1 - self.last.0 > self.longest.1 - self.longest.0 {
            self.longest = self.last;
        }
    }
}

fn make(steps: &[(u64, Step)]) -> (Vec<u8>, Wanted) {
    let mut m = Maker::full();
    for name in NAMES {
        m.source(name.as_bytes(), 0);
    }
    m.snapshot(Reason::Start);
    let [mut held, mut waits, mut attempts, mut sleeps] =
        [const { Intervals { open: BTreeMap::new(), all: Vec::new() } }; 4];
    let (mut shares, mut shared_since) = (false, None);
    for &(after, step) in steps {
        m.wait(after);
        match step {
            Step::Toggle(source) => {
                let active = held.toggle(source, m.now);
                if source >= SENSOR && shares {
                    shared_since = shared_since.or(Some(m.now));
                    m.shared(source, SENSOR, active);
                } else if active {
                    m.activate(source);
                } else {
                    m.relax(source);
                }
            }
            Step::Share => shares = true,
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
    (bytes, replay([&held, &waits, &attempts, &sleeps], shared_since))
}

fn replay(all: [&Intervals; 4], shared_since: Option<u64>) -> Wanted {
    let [held, waits, attempts, sleeps] = all;
    let boundaries: BTreeSet<u64> =
        all.iter().flat_map(|i| &i.all).flat_map(|(_, start, end)| [*start, *end]).collect();
    let boundaries: Vec<u64> = boundaries.into_iter().collect();
    let mut wanted = Wanted { shared: shared_since.is_some(), ..Wanted::default() };
    let names = |sources: &BTreeSet<u32>| -> BTreeSet<&'static str> {
        sources.iter().map(|source| NAMES[*source as usize]).collect()
    };
    for piece in boundaries.windows(2) {
        let (at, ns) = (piece[0], piece[1] - piece[0]);
        let active = held.at(at);
        if sleeps.at(at).is_empty() {
            for &source in &active {
                wanted.held_ns[source as usize] += ns;
            }
            for name in names(&active) {
                wanted.by_name.entry(name).or_default().hold(at, piece[1]);
            }
        }
        if waits.at(at).is_empty() || !attempts.at(at).is_empty() {
            continue;
        }
        wanted.blocked_ns += ns;
        if active.is_empty() {
            wanted.nobody_ns += ns;
        }
        // An eventpoll yields, and so do the sensors from their first shared edge on.
        let shared = shared_since.is_some_and(|since| at >= since);
        let yields = |source: &u32| *source == 3 || *source >= SENSOR && shared;
        let named: BTreeSet<u32> = active.iter().copied().filter(|s| !yields(s)).collect();
        let active = if named.is_empty() { active } else { named };
        for &source in &active {
            wanted.share[source as usize] += u128::from(ns) * 60 / active.len() as u128;
        }
        if active.len() == 1 {
            active.iter().for_each(|source| wanted.sole_ns[*source as usize] += ns);
        }
        let names = names(&active);
        if names.len() == 1 {
            names.iter().for_each(|name| wanted.by_name.entry(name).or_default().sole_ns += ns);
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
        let share_ns = sum.blocked_share_ns.expect("edges and waits");
        shares += share_ns;
        if *instance >= SENSOR && wanted.shared {
            continue;
        }
        prop_assert_eq!(sum.held_ns, wanted.held_ns[which], "{}", which);
        prop_assert_eq!(sum.blocked_sole_ns, Some(wanted.sole_ns[which]));
        let share = u128::from(share_ns) * 60;
        prop_assert!(
            share.abs_diff(wanted.share[which]) <= 60,
            "{} {}",
            share,
            wanted.share[which]
        );
    }
    prop_assert_eq!(shares + wanted.nobody_ns, wanted.blocked_ns);
    for source in build(all, By::Name, None).sources {
        let (name, sum) = (source.name.text(), source.sum);
        let none = Named::default();
        let named = wanted.by_name.get(&*name).unwrap_or(&none);
        prop_assert_eq!(sum.blocked_sole_ns, Some(named.sole_ns), "{}", name);
        let of_name = (0..7).filter(|which| NAMES[*which] == &*name);
        let share = of_name.map(|which| wanted.share[which]).sum::<u128>();
        let share_ns = u128::from(sum.blocked_share_ns.unwrap_or_default());
        prop_assert!((share_ns * 60).abs_diff(share) <= 120, "{} {} {}", name, share_ns, share);
        if name == "sensor" && wanted.shared {
            // By counters.
            continue;
        }
        prop_assert_eq!(sum.held_ns, named.held_ns, "{}", name);
        let (start, end) = named.longest;
        prop_assert_eq!(sum.longest_hold_ns, end - start, "{}", name);
        let at = source.longest_hold_at_ns.map(|at| at.0);
        prop_assert_eq!(at, (end > start).then_some(start), "{}", name);
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
