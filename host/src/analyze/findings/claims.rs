//! The time that findings gain, each nanosecond once.
//!
//! Several findings may concern one attempt: a source that aborts, a storm of attempts, the back-off that
//! follows. The first rule that finds something claims the time; the others gain what is left of it.

use crate::analyze::suspend_loop::Refusal;
use crate::report::{Attempt, Outcome};

/// A part of a time: so many of so many equal ones.
pub type Part = (u64, u64);

/// All of it.
pub const ALL: Part = (1, 1);

/// The time that no finding has claimed yet.
#[derive(Debug)]
pub struct Claims {
    /// By attempt: how long it took, if it did not sleep.
    attempts: Vec<u64>,
    /// By attempt: the back-off after it.
    backoff: Vec<u64>,
    /// By refused write: the back-off after it.
    refusals: Vec<u64>,
}

impl Claims {
    /// Nothing is claimed.
    pub fn new(attempts: &[Attempt], refusals: &[Refusal]) -> Self {
        Self {
            attempts: attempts.iter().map(wasted_ns).collect(),
            backoff: attempts.iter().map(|attempt| attempt.after_abort_ns).collect(),
            refusals: refusals.iter().map(|refusal| refusal.after_abort_ns).collect(),
        }
    }

    /// Claims a part of an attempt that did not sleep, and of the back-off after it.
    pub fn attempt(&mut self, attempt: &Attempt, part: Part) -> u64 {
        let place = attempt.index as usize;
        let took_ns = take(&mut self.attempts, place, wasted_ns(attempt), part);
        took_ns + take(&mut self.backoff, place, attempt.after_abort_ns, part)
    }

    /// Claims a part of the back-off after a refused write, by its place.
    pub fn refusal(&mut self, place: usize, refusal: &Refusal, part: Part) -> u64 {
        take(&mut self.refusals, place, refusal.after_abort_ns, part)
    }

    /// Claims all back-off that is left.
    pub fn backoff(&mut self) -> u64 {
        let left = self.backoff.iter_mut().chain(&mut self.refusals);
        left.map(std::mem::take).fold(0, u64::saturating_add)
    }
}

/// How long an attempt took, if it did not sleep.
fn wasted_ns(attempt: &Attempt) -> u64 {
    if attempt.outcome == Outcome::Slept { 0 } else { attempt.duration_ns() }
}

/// Takes a part of `whole_ns` from the time that is left at `place`.
fn take(left: &mut [u64], place: usize, whole_ns: u64, (some, of): Part) -> u64 {
    let Some(left) = left.get_mut(place) else { return 0 };
    let part_ns = (u128::from(whole_ns) * u128::from(some)).div_ceil(u128::from(of.max(1)));
    let part_ns = u64::try_from(part_ns).unwrap_or(u64::MAX).min(*left);
    *left -= part_ns;
    part_ns
}
