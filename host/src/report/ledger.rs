//! The awake-time ledger.

use serde::Serialize;

use super::add_known;

/// Where the time went. The lines that are not null, without `unattributed_ns`, sum to
/// `session.duration_ns` exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Within `machine_suspend` of attempts that slept, or as the clocks show.
    pub asleep_ns: u64,
    /// From the start of such an attempt to its first `machine_suspend`.
    pub suspending_ns: u64,
    /// The rest of such an attempt.
    pub resuming_ns: u64,
    /// Attempts that did not sleep.
    pub aborted_ns: u64,
    /// Outside attempts, while user space waited to suspend; null without activations and waits.
    pub blocked_ns: Option<u64>,
    /// From the end of a wait to the same thread's write of wakeup_count: the kernel was ready to suspend,
    /// user space was not. Null without activations, waits and writes.
    pub user_space_ns: Option<u64>,
    /// From an attempt's return, or a refused write, to the same thread's next wait. Null without
    /// activations and waits.
    pub backoff_ns: Option<u64>,
    /// Awake, and nothing tried to suspend; null without activations and waits.
    pub not_trying_ns: Option<u64>,
    /// Awake time that cannot be assigned: records are missing, a thread may have been waiting, or a step
    /// of user space is not recorded. Without activations and waits all time outside attempts.
    pub unknown_ns: u64,
    /// The part of the lines above that could not be charged to any source.
    pub unattributed_ns: u64,
}

/// A line of the ledger, by its key without `_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// [`Ledger::asleep_ns`].
    Asleep,
    /// [`Ledger::suspending_ns`].
    Suspending,
    /// [`Ledger::resuming_ns`].
    Resuming,
    /// [`Ledger::aborted_ns`].
    Aborted,
    /// [`Ledger::blocked_ns`].
    Blocked,
    /// [`Ledger::user_space_ns`].
    UserSpace,
    /// [`Ledger::backoff_ns`].
    Backoff,
    /// [`Ledger::not_trying_ns`].
    NotTrying,
    /// [`Ledger::unknown_ns`].
    Unknown,
    /// [`Ledger::unattributed_ns`]: part of the other lines, and not added to them.
    Unattributed,
}

displays_key!(Line);

impl Line {
    /// Every line, in the order of a report.
    pub const ALL: [Self; 10] = [
        Self::Asleep,
        Self::Suspending,
        Self::Resuming,
        Self::Aborted,
        Self::Blocked,
        Self::UserSpace,
        Self::Backoff,
        Self::NotTrying,
        Self::Unknown,
        Self::Unattributed,
    ];
}

impl Ledger {
    /// One line's time, where it is known.
    pub fn line(&self, line: Line) -> Option<u64> {
        match line {
            Line::Asleep => Some(self.asleep_ns),
            Line::Suspending => Some(self.suspending_ns),
            Line::Resuming => Some(self.resuming_ns),
            Line::Aborted => Some(self.aborted_ns),
            Line::Blocked => self.blocked_ns,
            Line::UserSpace => self.user_space_ns,
            Line::Backoff => self.backoff_ns,
            Line::NotTrying => self.not_trying_ns,
            Line::Unknown => Some(self.unknown_ns),
            Line::Unattributed => Some(self.unattributed_ns),
        }
    }

    /// The lines whose time is known, in the order of a report. All but the last,
    /// [`Line::Unattributed`], sum to the session.
    pub fn lines(&self) -> impl Iterator<Item = (Line, u64)> + use<> {
        let ledger = *self;
        Line::ALL.into_iter().filter_map(move |line| Some((line, ledger.line(line)?)))
    }

    /// The sum of the lines.
    pub fn total_ns(&self) -> u64 {
        let parts = self.lines().filter(|(line, _)| *line != Line::Unattributed);
        parts.map(|(_, ns)| ns).fold(0, u64::saturating_add)
    }

    /// Whether blocked time is known.
    pub fn knows_blocked(&self) -> bool {
        self.blocked_ns.is_some()
    }

    /// Adds another session's; a line that neither knows stays null.
    pub fn add(&mut self, other: &Self) {
        for (mine, more) in [
            (&mut self.asleep_ns, other.asleep_ns),
            (&mut self.suspending_ns, other.suspending_ns),
            (&mut self.resuming_ns, other.resuming_ns),
            (&mut self.aborted_ns, other.aborted_ns),
            (&mut self.unknown_ns, other.unknown_ns),
            (&mut self.unattributed_ns, other.unattributed_ns),
        ] {
            *mine = mine.saturating_add(more);
        }
        add_known(&mut self.blocked_ns, other.blocked_ns);
        add_known(&mut self.user_space_ns, other.user_space_ns);
        add_known(&mut self.backoff_ns, other.backoff_ns);
        add_known(&mut self.not_trying_ns, other.not_trying_ns);
    }
}
