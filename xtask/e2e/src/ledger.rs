//! The ledger as ftrace's stamps give it: a second opinion on the host's, without code or data of ours.
//!
//! The definitions are those of the report's ledger. The lines of a thread need its id, which
//! ftrace has for attempts too.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};

use crate::ftrace::{Event, Kind};
use crate::verdict::Verdict;

/// Some lines of the ledger, in ns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Within `machine_suspend` of attempts that slept.
    pub asleep: u64,
    /// In such attempts before that.
    pub suspending: u64,
    /// In such attempts after that.
    pub resuming: u64,
    /// In attempts that did not sleep.
    pub aborted: u64,
    /// Within a wait, outside attempts.
    pub blocked: u64,
    /// From a wait's end to the same thread's next write of the count.
    pub user_space: u64,
    /// From an attempt's return, or a refused write, to the same thread's next wait.
    pub backoff: u64,
}

/// Sums of spans may differ by so much.
const SUM_NS: u64 = 1_000_000;

/// Stamps may be apart by so much at the median: some probes of ftrace lie between its stamp and ours.
const STAMP_NS: u64 = 100_000;

/// How much the lines may differ from ours: by `SUM_NS`, or by what the stamps that they go by are
/// apart. The emulator can lose its CPU to the host between two of them.
#[derive(Clone, Copy, Debug)]
pub struct Slack {
    /// Lines of attempts.
    pub attempts: u64,
    /// Waits.
    pub waits: u64,
    /// User space.
    pub user_space: u64,
    /// Back-off.
    pub backoff: u64,
}

impl Slack {
    /// An error where stamps are too far apart to compare anything.
    pub fn new(apart: &[(Kind, u64)]) -> Result<Slack> {
        let mut sorted: Vec<u64> = apart.iter().map(|(_, apart)| *apart).collect();
        sorted.sort_unstable();
        let median = *sorted.get(sorted.len() / 2).context("no stamps")?;
        ensure!(median <= STAMP_NS, "stamps are apart by {median} ns at the median");
        let sum = |of: fn(&Kind) -> bool| -> u64 {
            // ftrace prints µs.
            apart.iter().filter(|(kind, _)| of(kind)).map(|(_, apart)| apart + 1_000).sum()
        };
        let returns = sum(|kind| matches!(kind, Kind::Return(_)));
        let bounds = sum(|kind| match kind {
            Kind::Phase { action, .. } => action == "suspend_enter" || action == "machine_suspend",
            _ => false,
        });
        let waits = sum(|kind| matches!(kind, Kind::WaitBegin { .. } | Kind::WaitEnd { .. }));
        let writes = sum(|kind| matches!(kind, Kind::Save { .. }));
        let slack = Slack {
            attempts: SUM_NS.max(bounds + returns),
            waits: SUM_NS.max(waits),
            user_space: SUM_NS.max(waits + writes),
            backoff: SUM_NS.max(returns + writes + waits),
        };
        println!("stamps are apart by {median} ns at the median: {slack:?}");
        Ok(slack)
    }
}

/// The line that time outside attempts belongs to: the first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Blocked,
    UserSpace,
    Backoff,
}

/// A span of CLOCK_BOOTTIME in ns.
pub type Span = (u64, u64);

/// A wait.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// The thread's id.
    pub thread: u32,
    /// CLOCK_BOOTTIME in ns.
    pub span_ns: Span,
}

/// The ledger of a session, in which the thread `waiter` waited already at the start, and the waits.
pub fn of(
    events: &[Event],
    verdicts: &[Verdict],
    session: Span,
    waiter: u32,
) -> (Ledger, Vec<Wait>) {
    let mut ledger = Ledger::default();
    for verdict in verdicts {
        ledger.add(verdict);
    }
    let (spans, waits) = spans(events, session, waiter);
    let mut bounds: Vec<u64> = spans.iter().flat_map(|((from, to), _)| [*from, *to]).collect();
    bounds.extend(verdicts.iter().flat_map(|v| [v.attempt.span_ns.0, v.attempt.span_ns.1]));
    bounds.sort_unstable();
    for [from, to] in bounds.array_windows() {
        let within = |span: &Span| span.0 <= *from && *to <= span.1;
        if verdicts.iter().any(|verdict| within(&verdict.attempt.span_ns)) {
            continue;
        }
        let lines = spans.iter().filter(|(span, _)| within(span)).map(|(_, line)| *line);
        match lines.min() {
            Some(Line::Blocked) => ledger.blocked += to - from,
            Some(Line::UserSpace) => ledger.user_space += to - from,
            Some(Line::Backoff) => ledger.backoff += to - from,
            None => {}
        }
    }
    (ledger, waits)
}

impl Ledger {
    fn add(&mut self, Verdict { attempt, .. }: &Verdict) {
        let ((begin, end), machine) = (attempt.span_ns, &attempt.machine_ns);
        let first = machine.first().filter(|_| attempt.outcome() == "slept");
        let Some((down, _)) = first else {
            self.aborted += end - begin;
            return;
        };
        let asleep: u64 = machine.iter().map(|(from, to)| to - from).sum();
        self.asleep += asleep;
        self.suspending += down - begin;
        self.resuming += end - down - asleep;
    }
}

/// The last step of a thread, which the next one ends.
enum Step {
    Waits,
    Ready,
    BacksOff,
}

/// Waits of a thread, from the session's start where it waited already.
///
/// No hook sees the end of a wait from before, so it counts up to when the last source became inactive:
/// that ends it, and the thread runs as soon as it gets a CPU. The last step of a thread in the loop lasts
/// until the session's end.
fn spans(events: &[Event], session: Span, waiter: u32) -> (Vec<(Span, Line)>, Vec<Wait>) {
    let (start, end) = session;
    let (mut spans, mut waits) = (Vec::new(), Vec::new());
    let mut idle_since = start;
    let mut threads = BTreeMap::from([(waiter, (start, Step::Waits))]);
    let (mut suspends, mut in_loop) = (None, BTreeSet::new());
    for Event { at_ns, kind } in events {
        let at = *at_ns;
        let (thread, next) = match kind {
            Kind::Edge { state, .. } => {
                // The sources in progress.
                if state & 0xffff == 0 {
                    idle_since = at;
                }
                continue;
            }
            Kind::Suspend { thread, .. } => {
                suspends = Some(*thread);
                // It tries again without a wait. The attempt itself counts as one.
                if let Some((from, Step::BacksOff)) = threads.get(thread) {
                    spans.push(((*from, at), Line::Backoff));
                }
                continue;
            }
            Kind::WaitBegin { thread } => {
                in_loop.insert(*thread);
                (*thread, Some(Step::Waits))
            }
            Kind::WaitEnd { thread, idle } => (*thread, idle.then_some(Step::Ready)),
            Kind::ReadEnd { thread } => (*thread, None),
            Kind::Save { thread, saved } => (*thread, (!saved).then_some(Step::BacksOff)),
            Kind::Return(_) => match suspends.take() {
                Some(thread) => (thread, Some(Step::BacksOff)),
                None => continue,
            },
            _ => continue,
        };
        let last = match next {
            Some(next) => threads.insert(thread, (at, next)),
            None => threads.remove(&thread),
        };
        let line = match (last, kind) {
            (Some((from, Step::Waits)), _) => {
                let to = if matches!(kind, Kind::ReadEnd { .. }) { idle_since } else { at };
                waits.push(Wait { thread, span_ns: (from, to) });
                ((from, to), Line::Blocked)
            }
            (Some((from, Step::Ready)), Kind::Save { .. }) => ((from, at), Line::UserSpace),
            (Some((from, Step::BacksOff)), Kind::WaitBegin { .. }) => ((from, at), Line::Backoff),
            _ => continue,
        };
        spans.push(line);
    }
    for (thread, (from, step)) in threads {
        match step {
            Step::Waits => {}
            // It may be someone in a shell.
            Step::BacksOff if !in_loop.contains(&thread) => {}
            Step::Ready => spans.push(((from, end), Line::UserSpace)),
            Step::BacksOff => spans.push(((from, end), Line::Backoff)),
        }
    }
    (spans, waits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict;

    #[test]
    fn each_step_has_its_line() {
        let thread = 7;
        let phase = |action: &str, begin| Kind::Phase { action: action.into(), value: 1, begin };
        let kinds = [
            // Another waits since before; nobody notes its end but the system call's return.
            (20, Kind::Edge { name: "a".into(), state: 0x3_0000, active: false }),
            (22, Kind::ReadEnd { thread: 9 }),
            (30, Kind::WaitBegin { thread }),
            (40, Kind::WaitEnd { thread, idle: true }),
            (45, Kind::Save { thread, saved: false }),
            (47, Kind::WaitBegin { thread }),
            (48, Kind::WaitEnd { thread, idle: true }),
            (58, Kind::Save { thread, saved: true }),
            (59, Kind::Suspend { thread, armed: None }),
            (60, phase("suspend_enter", true)),
            (70, Kind::Return(-16)),
            (100, Kind::WaitBegin { thread }),
            (100, Kind::WaitEnd { thread, idle: true }),
            (101, Kind::Save { thread, saved: true }),
            (110, Kind::Suspend { thread, armed: None }),
            (110, phase("suspend_enter", true)),
            (115, phase("machine_suspend", true)),
            (2_000_115, phase("machine_suspend", false)),
            (2_000_118, Kind::Return(0)),
            // Someone else, and then it tries again.
            (2_000_120, Kind::Suspend { thread: 8, armed: None }),
            (2_000_120, phase("suspend_enter", true)),
            (2_000_130, Kind::Return(-1)),
            (2_000_133, Kind::Suspend { thread, armed: None }),
            (2_000_133, phase("suspend_enter", true)),
            (2_000_140, Kind::Return(-1)),
        ];
        let events = kinds.map(|(at_ns, kind)| Event { at_ns, kind });
        let expected = Ledger {
            asleep: 2_000_000,
            suspending: 5,
            resuming: 3,
            aborted: 10 + 10 + 7,
            blocked: 20 - 5 + 10 + 1,
            user_space: 5 + 10 + 1,
            backoff: 2 + 30 + 2 + 3 + 6,
        };
        let (ledger, waits) = of(&events, &verdict::of(&events, String::new()), (5, 2_000_146), 9);
        assert_eq!(ledger, expected);
        let waits: Vec<_> = waits.iter().map(|wait| (wait.thread, wait.span_ns)).collect();
        let (first, second) = ((thread, (30, 40)), (thread, (47, 48)));
        assert_eq!(waits, [(9, (5, 20)), first, second, (thread, (100, 100))]);
    }
}
