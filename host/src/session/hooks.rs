//! Whether the trace has the events of a hook: the one place that decides it.

use super::decode::Model;

/// The state of a hook over a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookState {
    /// It was attached: where it has no event, nothing happened.
    Recorded,
    /// It was not attached.
    Absent,
    /// It was attached, and never fired although other records prove that it must have.
    Dead,
}

/// Events of each hook. Those of activations are [`Model::edges`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Fired {
    /// Suspend phases.
    pub phases: u64,
    /// Returns of `pm_suspend`.
    pub returns: u64,
    /// Starts and ends of blocking reads of `wakeup_count`.
    pub waits: u64,
    /// Writes of `wakeup_count`.
    pub count_writes: u64,
    /// Those that were accepted.
    pub accepted: u64,
    /// Interrupts that woke the system.
    pub wakes: u64,
}

/// The state of a hook, by its name in [`sleepwalk_trace::record::HOOKS`]. Whether it is dead is known only
/// at the end of the session. Without a session record the events themselves show what was watched.
pub fn hook_state(model: &Model, what: &str) -> HookState {
    let attached = match &model.session {
        Some(session) if what == "edge" => session.edges,
        Some(_) => hook_form(model, what).is_some(),
        None => model.edges > 0,
    };
    match attached {
        false => HookState::Absent,
        true if model.dead_hooks.contains(&what) => HookState::Dead,
        true => HookState::Recorded,
    }
}

/// How a hook is attached; `None` where it is not, or that is unknown.
pub fn hook_form<'a>(model: &'a Model, what: &str) -> Option<&'a str> {
    let hooks = &model.session.as_ref()?.hooks;
    let hook = hooks.iter().find(|hook| hook.what == what)?;
    Some(hook.how.as_str()).filter(|how| !how.is_empty())
}

/// Whether the events of a hook are in the trace.
pub fn has(model: &Model, what: &str) -> bool {
    hook_state(model, what) == HookState::Recorded
}

/// Facts beside the hooks' own events that show what must have happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Proofs {
    /// Attempts that the kernel counted.
    pub counted: u64,
    /// Attempts after which another began, and that have no return.
    pub unreturned: u64,
    /// Activations that counters have, before the last snapshot.
    pub activations: u64,
    /// Attempts right after an idle wait.
    pub after_waits: u64,
    /// Sleeps that an interrupt ended, as the kernel's files show.
    pub irq_wakes: u64,
}

/// The attached hooks that never fired although they must have. Where events were lost or records are
/// missing, nothing is proven.
pub fn dead(model: &Model, proofs: &Proofs) -> Vec<&'static str> {
    let Fired { phases, returns, waits, count_writes, accepted, wakes } = model.fired;
    if model.lost_events > 0 || model.damage != Default::default() || model.dropped_chunks > 0 {
        return Vec::new();
    }
    let by_hook = hook_form(model, "return") != Some("suspend_stats");
    let silent = [
        ("phase", phases == 0 && returns > 0),
        ("return", by_hook && returns == 0 && (proofs.counted > 0 || proofs.unreturned > 1)),
        ("edge", model.edges == 0 && proofs.activations > 0),
        // The wait before the first write may have begun before the hook was attached.
        ("wait", waits == 0 && accepted > 1),
        // One who only looks at the count may read it before one attempt.
        ("save", count_writes == 0 && proofs.after_waits > 1),
        ("wake", wakes == 0 && proofs.irq_wakes > 0),
    ];
    let silent = silent.into_iter().filter(|(what, silent)| *silent && has(model, what));
    silent.map(|(what, _)| what).collect()
}
