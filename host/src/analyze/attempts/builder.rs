//! Builds attempts, event by event.

use sleepwalk_trace::time::BootNanos;

use super::{Activated, FREEZE_LIMIT_NS, FREEZE_LOOK_NS, Facts, STAYED_NS, blames_sources};
use crate::report::{Attempt, Mode, Outcome, Stage, Step, Wake};

/// `-EBUSY`: a wakeup was pending.
const EBUSY: i32 = -16;

/// Steps kept of one attempt: s2idle may enter `machine_suspend` thousands of times in a night.
const STEPS: usize = 512;

/// Sources kept of those that were activated on one way back.
const ACTIVATED: usize = 16;

/// An attempt in progress.
#[derive(Debug, Default)]
struct Open {
    start: BootNanos,
    last: BootNanos,
    mode: Mode,
    stage: Stage,
    frozen: Option<BootNanos>,
    /// The freezer ended, by success or not.
    freeze_end: Option<BootNanos>,
    /// The last wakeup event: an activation or an interrupt.
    event: Option<BootNanos>,
    interrupted: bool,
    entries: u64,
    stayed_ns: u64,
    longest_ns: u64,
    first_entry: Option<BootNanos>,
    /// When it entered `machine_suspend`, while it is there.
    inside: Option<BootNanos>,
    /// The last `machine_suspend`: its start, and how much of it is in `stayed_ns`.
    last_stay: Option<(BootNanos, u64)>,
    /// It is on its way back: no later event can be what turned it around.
    turned: bool,
    /// User space runs again.
    thawed: bool,
    /// Since the last `machine_suspend` began: the first interrupt that woke, and the sources that
    /// were activated.
    irq: Option<u32>,
    activated: Vec<Activated>,
    /// Since then the devices resume, beyond those that do it with interrupts off and early.
    resuming_devices: bool,
    steps: Vec<Step>,
}

impl Open {
    fn new(at: BootNanos, mode: Mode) -> Self {
        Self { start: at, last: at, mode, ..Self::default() }
    }

    fn step(&mut self, at: BootNanos, name: &'static str, begin: bool) {
        if begin {
            if !name.is_empty() && self.steps.len() < STEPS {
                self.steps.push(Step { step: name, start_ns: at, end_ns: None });
            }
            return;
        }
        let started = self.steps.iter_mut().rev().find(|step| step.step == name);
        if let Some(step) = started.filter(|step| step.end_ns.is_none()) {
            step.end_ns = Some(at);
        }
    }

    fn phase(&mut self, at: BootNanos, action: &'static str, value: i32, begin: bool) {
        self.last = self.last.max(at);
        self.step(at, action, begin);
        self.turned |= begin && upwards(action);
        self.thawed |= (action, begin) == ("thaw_processes", false);
        self.resuming_devices |=
            begin && matches!(action, "dpm_resume" | "dpm_complete" | "thaw_processes");
        if let (Some(stage), true) = (stage_of(action), begin) {
            self.stage = self.stage.max(stage);
        }
        match (action, begin) {
            // The notifiers come next, and no phase marks them.
            ("sync_filesystems", false) => self.stage = self.stage.max(Stage::Prepare),
            ("freeze_processes", true) => self.frozen = self.frozen.or(Some(at)),
            // User space is frozen and stays so: the devices are next.
            ("suspend_enter", false) => self.stage = self.stage.max(Stage::DpmPrepare),
            ("freeze_processes", false) | ("thaw_processes", true) => {
                self.freeze_end = self.freeze_end.or(Some(at));
            }
            ("machine_suspend", true) => {
                if self.mode == Mode::Unknown {
                    self.mode = mode_of(value);
                }
                self.entries += 1;
                self.first_entry = self.first_entry.or(Some(at));
                self.inside = Some(at);
                self.last_stay = None;
                self.irq = None;
                self.activated.clear();
                self.resuming_devices = false;
            }
            ("machine_suspend", false) => {
                if let Some(since) = self.inside.take() {
                    self.stay(since, at, 0);
                }
            }
            // Below s2idle, timekeeping stops before `machine_suspend` starts and goes on when syscore
            // resumes (`timekeeping_suspend`, `timekeeping_resume`): `machine_suspend` starts and
            // ends with one stamp, and the sleep shows only here.
            ("syscore_resume", false) if self.mode != Mode::S2idle => {
                if let Some((since, counted)) = self.last_stay.take() {
                    self.stay(since, at, counted);
                }
            }
            _ => {}
        }
    }

    fn stay(&mut self, since: BootNanos, until: BootNanos, counted: u64) {
        let stayed = until.since(since);
        self.stayed_ns = self.stayed_ns.saturating_add(stayed.saturating_sub(counted));
        self.longest_ns = self.longest_ns.max(stayed);
        self.last_stay = Some((since, stayed));
    }

    /// Its return is not in the trace: it ends with its last phase.
    fn lost(self) -> Closed {
        let last = self.last;
        self.close(last, Returned::Unseen, FREEZE_LIMIT_NS)
    }

    /// How the freeze ended that failed, if this attempt ended in it.
    fn freeze(&self, end: BootNanos, limit_ns: u64) -> Freeze {
        let Some(start) = self.frozen.filter(|_| self.stage == Stage::Freeze) else {
            return Freeze::Other;
        };
        let end = self.freeze_end.unwrap_or(end);
        let event = self.event.is_some_and(|at| end.since(at) <= FREEZE_LOOK_NS);
        match (end.since(start), event) {
            (took, true) if took >= limit_ns => Freeze::Either,
            (took, false) if took >= limit_ns => Freeze::TimedOut,
            (took, false) if took > FREEZE_LOOK_NS => Freeze::NoWakeup,
            _ => Freeze::Other,
        }
    }

    /// Whether the kernel looks at wakeups in the stage that it came to. Before the freezer only the sync
    /// does, so a notifier refused or another transition was under way (`enter_state` and `suspend_prepare`,
    /// `kernel/power/suspend.c`, 5.10 to 7.3).
    fn looks_at_wakeups(&self) -> bool {
        match self.stage {
            Stage::Entry => self.steps.is_empty(),
            Stage::Prepare | Stage::DpmPrepare => false,
            _ => true,
        }
    }

    fn close(self, end: BootNanos, returned: Returned, limit_ns: u64) -> Closed {
        let errno = if let Returned::Errno(errno) = returned { Some(errno) } else { None };
        // Below s2idle an error from the platform means that it did not even try to sleep, and the time
        // was spent awake.
        let well = matches!(returned, Returned::Errno(0) | Returned::Unseen);
        let refused = self.mode != Mode::S2idle && !well;
        let freeze = self.freeze(end, limit_ns);
        let outcome = match returned {
            _ if self.longest_ns >= STAYED_NS && !refused => Outcome::Slept,
            Returned::Errno(0) => Outcome::NoSleep,
            Returned::Errno(EBUSY) if freeze != Freeze::TimedOut && self.looks_at_wakeups() => {
                Outcome::Aborted
            }
            Returned::Errno(_) | Returned::Failed => Outcome::Failed,
            Returned::Unseen => Outcome::Unfinished,
        };
        let slept = outcome == Outcome::Slept;
        let attempt = Attempt {
            index: 0,
            start_ns: self.start,
            end_ns: end.max(self.last),
            mode: self.mode,
            outcome,
            stage: self.stage,
            errno,
            failed_device: None,
            failed_step: None,
            freeze_timeout: freeze == Freeze::TimedOut && outcome == Outcome::Failed,
            resume_reason: None,
            slept_ns: if slept { self.stayed_ns } else { 0 },
            steps: self.steps,
            s2idle_entries: if self.mode == Mode::S2idle { self.entries } else { 0 },
            causes: Vec::new(),
            armed: None,
            save_refused: 0,
            irq: self.irq,
            irq_name: None,
            // Whether it slept may show only later, by the clocks.
            wake: self.first_entry.map(|_| Wake::new(self.irq, None)),
            suspending_ns: self.first_entry.map_or(0, |at| at.since(self.start)),
            resume_ns: 0,
            after_abort_ns: 0,
            after_wake_ns: 0,
        };
        let facts = Facts {
            first_entry: self.first_entry,
            frozen: self.frozen,
            blames_sources: blames_sources(&attempt, self.entries),
            froze_too_long: freeze == Freeze::NoWakeup,
            at_freeze_limit: freeze == Freeze::Either,
            interrupted: self.interrupted,
            by_edges: false,
            activated: self.activated,
        };
        (attempt, facts)
    }
}

/// An attempt that is over. Its causes are not known yet.
type Closed = (Attempt, Facts);

/// How a freeze that failed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freeze {
    /// It lasted as long as the kernel's limit, and no wakeup event came right before its end.
    TimedOut,
    /// As long, and a wakeup event came right before its end.
    Either,
    /// Shorter, and a pending wakeup would have ended it sooner.
    NoWakeup,
    /// By a wakeup event, or at once; or the attempt ended elsewhere.
    Other,
}

/// How an attempt returned.
#[derive(Clone, Copy, Debug)]
enum Returned {
    /// `pm_suspend` returned this.
    Errno(i32),
    /// It failed, and the errno is unknown.
    Failed,
    /// Its return is not in the trace.
    Unseen,
}

/// Builds attempts event by event; each method returns the attempt that it ended, if any.
#[derive(Debug, Default)]
pub struct AttemptBuilder {
    open: Option<Open>,
    /// The kernel's limit of a freeze; `None` where it is not known.
    freeze_limit_ns: Option<u64>,
    /// Phases were seen of an attempt that started before the trace, or in a gap.
    tail: bool,
    /// Such an attempt is on its way back.
    resuming: bool,
}

impl AttemptBuilder {
    /// One `power:suspend_resume` event.
    pub fn phase(
        &mut self,
        at: BootNanos,
        action: &'static str,
        value: i32,
        begin: bool,
    ) -> Option<Closed> {
        if action == "suspend_enter" && begin {
            let mut open = Open::new(at, mode_of(value));
            open.step(at, action, begin);
            let lost = self.open.replace(open);
            (self.tail, self.resuming) = (false, false);
            return lost.map(Open::lost);
        }
        match &mut self.open {
            Some(open) => open.phase(at, action, value, begin),
            // On its way down: its start was lost.
            None if begin && stage_of(action).is_some() => {
                let mut open = Open::new(at, Mode::Unknown);
                open.phase(at, action, value, begin);
                self.open = Some(open);
                self.resuming = false;
            }
            None => {
                self.tail = true;
                self.resuming |= upwards(action);
                self.resuming &= (action, begin) != ("thaw_processes", false);
            }
        }
        None
    }

    /// `pm_suspend` returned. Without an errno it failed, and nothing more is known.
    pub fn returned(&mut self, at: BootNanos, errno: Option<i32>) -> Option<Closed> {
        let returned = errno.map_or(Returned::Failed, Returned::Errno);
        let limit_ns = self.freeze_limit_ns.unwrap_or(FREEZE_LIMIT_NS);
        self.resuming = false;
        if let Some(open) = self.open.take() {
            return Some(open.close(at, returned, limit_ns));
        }
        if std::mem::take(&mut self.tail) {
            // It started before the trace: all that is known is its end.
            return None;
        }
        // `pm_suspend` refused the state before `enter_state` traced a start.
        Some(Open::new(at, Mode::Unknown).close(at, returned, limit_ns))
    }

    /// Whether one is in progress.
    pub fn open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether an attempt without a known start is on its way back.
    pub fn resuming(&self) -> bool {
        self.resuming
    }

    /// Whether a source can still turn the current attempt around.
    pub fn suspending(&self) -> bool {
        self.open.as_ref().is_some_and(|open| !open.turned)
    }

    /// The kernel's limit of a freeze was read.
    pub fn limit_freeze(&mut self, limit_ns: u64) {
        self.freeze_limit_ns = Some(limit_ns);
    }

    /// A wakeup event came: an activation, or an interrupt.
    pub fn wakeup_event(&mut self, at: BootNanos, interrupt: bool) {
        if let Some(open) = &mut self.open {
            open.event = Some(at);
            open.interrupted |= interrupt;
        }
    }

    /// A source was activated. One of those activated since `machine_suspend` began may have woken the
    /// device; see [`Wakes`](crate::analyze::wakes::Wakes).
    pub fn activated(&mut self, instance: u32, shared: bool) {
        let waking = self.open.as_mut().filter(|open| open.first_entry.is_some() && !open.thawed);
        if let Some(open) = waking {
            let known = open.activated.iter().any(|known| known.instance == instance);
            if !known && open.activated.len() < ACTIVATED {
                let early = !open.resuming_devices;
                open.activated.push(Activated { instance, shared, early });
            }
        }
    }

    /// An interrupt woke the system.
    pub fn woken(&mut self, irq: u32) {
        if let Some(open) = &mut self.open {
            open.irq = open.irq.or(Some(irq));
        }
    }

    /// Records are missing here: a return after the gap may be of another attempt.
    pub fn gap(&mut self) -> Option<Closed> {
        (self.tail, self.resuming) = (true, false);
        self.finish()
    }

    /// The trace is over.
    pub fn finish(&mut self) -> Option<Closed> {
        self.open.take().map(Open::lost)
    }
}

fn mode_of(value: i32) -> Mode {
    match value {
        1 => Mode::S2idle,
        2 => Mode::Standby,
        3 => Mode::Deep,
        _ => Mode::Unknown,
    }
}

/// The stage that a phase on the way down starts.
fn stage_of(action: &str) -> Option<Stage> {
    Some(match action {
        "sync_filesystems" => Stage::Sync,
        "freeze_processes" => Stage::Freeze,
        "dpm_prepare" => Stage::DpmPrepare,
        "dpm_suspend" => Stage::Suspend,
        "dpm_suspend_late" => Stage::SuspendLate,
        "dpm_suspend_noirq" => Stage::SuspendNoirq,
        "CPU_OFF" | "syscore_suspend" | "machine_suspend" => Stage::Machine,
        _ => return None,
    })
}

/// Whether a phase belongs to the way back.
fn upwards(action: &str) -> bool {
    matches!(
        action,
        "syscore_resume"
            | "CPU_ON"
            | "dpm_resume_noirq"
            | "dpm_resume_early"
            | "dpm_resume"
            | "dpm_complete"
            | "thaw_processes"
    )
}
