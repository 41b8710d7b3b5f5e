//! The activators of sources, as records: functions, threads and interrupts.

pub mod callers;
pub mod symbols;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use sleepwalk_trace::abi::{CALLER_FRAMES, STACK_FRAMES};
use sleepwalk_trace::record::{LEVEL_HARD_IRQ, LEVEL_NMI, LEVEL_SOFT_IRQ};

use self::callers::{Caller, Callers};
use crate::probe::events::{PreemptBits, Running};

/// How much of an activation's context is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    Off,
    /// The thread or the interrupt, and the function that called the core of wakeup sources.
    Callers,
    /// These, and the whole stack of each once.
    Stacks,
}

impl Detail {
    /// All of them.
    pub const ALL: [Detail; 3] = [Detail::Off, Detail::Callers, Detail::Stacks];

    /// Its name for options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Callers => "callers",
            Self::Stacks => "stacks",
        }
    }

    /// The frames that the probe reads of each stack.
    pub fn frames(self) -> usize {
        match self {
            Self::Off => 0,
            Self::Callers => CALLER_FRAMES,
            Self::Stacks => STACK_FRAMES,
        }
    }
}

/// Activators that are remembered; beyond that, all are forgotten and get new numbers.
const MOST: usize = 512;

/// An activator as the trace has it, except the numbers of its strings.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its number.
    pub id: u32,
    /// One of the `LEVEL_*` values.
    pub level: u8,
    /// The thread; all 0 in an interrupt.
    pub running: Running,
    /// Its functions.
    pub caller: Rc<Caller>,
    /// The current chunk does not define it yet.
    pub undefined: bool,
    /// The current region lacks its stack.
    pub with_frames: bool,
}

/// The activators so far.
pub struct Activators {
    callers: Callers,
    bits: PreemptBits,
    /// Whether the trace gets whole stacks.
    stacks: bool,
    /// By the level and what ran.
    known: HashMap<(u8, Running), Known>,
    next_id: u32,
    /// Those that the current chunk defines.
    defined: HashSet<u32>,
    /// The activator of each source, as the current chunk has it.
    by_source: HashMap<u32, u32>,
}

#[derive(Debug)]
struct Known {
    id: u32,
    caller: Rc<Caller>,
    has_frames: bool,
}

impl Activators {
    /// None so far. With `stacks`, each has its stack once.
    pub fn new(callers: Callers, bits: PreemptBits, stacks: bool) -> Self {
        Self {
            callers,
            bits,
            stacks,
            known: HashMap::new(),
            next_id: 0,
            defined: HashSet::new(),
            by_source: HashMap::new(),
        }
    }

    /// The activator, and whether the chunk does not show yet that it is this source's.
    pub fn of(&mut self, source: u32, running: &Running) -> (Found, bool) {
        let level = self.bits.level(running.preempt_count);
        let key = (level, without_bystander(level, running));
        if self.known.len() >= MOST && !self.known.contains_key(&key) {
            self.known.clear();
        }
        let (callers, next_id) = (&mut self.callers, &mut self.next_id);
        let known = self.known.entry(key).or_insert_with(|| {
            let id = *next_id;
            *next_id += 1;
            Known { id, caller: callers.of(key.1.stack), has_frames: false }
        });
        let undefined = self.defined.insert(known.id);
        let with_frames = self.stacks && !std::mem::replace(&mut known.has_frames, true);
        let found = Found {
            id: known.id,
            level,
            running: key.1,
            caller: Rc::clone(&known.caller),
            undefined: undefined || with_frames,
            with_frames,
        };
        let changed = self.by_source.insert(source, known.id) != Some(known.id);
        (found, changed)
    }

    /// The next chunk starts; in a new region, one without the stacks so far.
    pub fn chunk_ended(&mut self, region_ended: bool) {
        self.defined.clear();
        self.by_source.clear();
        if region_ended {
            self.known.values_mut().for_each(|known| known.has_frames = false);
        }
    }

    /// The strings that a record may still use.
    pub fn strings(&self) -> impl Iterator<Item = &[u8]> {
        self.known.iter().flat_map(|((_, running), known)| {
            let caller = &known.caller;
            [running.comm.bytes(), caller.function.as_bytes(), caller.module.as_bytes()]
        })
    }
}

/// The thread that an interrupt came upon has nothing to do with it.
fn without_bystander(level: u8, running: &Running) -> Running {
    // The level has all that counts of it.
    let preempt_count = None;
    if matches!(level, LEVEL_HARD_IRQ | LEVEL_SOFT_IRQ | LEVEL_NMI) {
        let comm = Default::default();
        return Running {
            stack: running.stack,
            thread: 0,
            process: 0,
            uid: 0,
            preempt_count,
            comm,
        };
    }
    Running { preempt_count, ..*running }
}

impl std::fmt::Debug for Activators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Activators").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sleepwalk_trace::record::LEVEL_THREAD;

    use super::*;
    use crate::probe::events::InlineStr;

    fn running(stack: u64, thread: u32, preempt_count: u32) -> Running {
        let comm = InlineStr::new(b"kworker/0:1");
        Running { stack, thread, process: 7, uid: 0, preempt_count: Some(preempt_count), comm }
    }

    fn activators() -> Activators {
        Activators::new(Callers::new(|_| None, None), PreemptBits::From16, true)
    }

    #[test]
    fn an_activator_is_defined_once_in_each_chunk() {
        let mut all = activators();
        let (first, changed) = all.of(1, &running(5, 12, 0x201));
        assert!(first.undefined && first.with_frames && changed);
        // The same, with preemption off once more.
        let (again, changed) = all.of(1, &running(5, 12, 0x202));
        assert_eq!((again.id, again.undefined, changed), (first.id, false, false));
        let (_, changed) = all.of(2, &running(5, 12, 0x201));
        assert!(changed, "another source");
        let (other, changed) = all.of(1, &running(5, 13, 0x201));
        assert!(other.id != first.id && changed);
        let (_, changed) = all.of(1, &running(5, 12, 0x201));
        assert!(changed, "it changed back");
        all.chunk_ended(false);
        let (found, changed) = all.of(1, &running(5, 12, 0x201));
        assert!(found.undefined && !found.with_frames && changed);
        all.chunk_ended(true);
        assert!(all.of(1, &running(5, 12, 0x201)).0.with_frames);
    }

    #[test]
    fn an_interrupt_is_not_the_threads_that_it_came_upon() {
        let mut all = activators();
        let (one, _) = all.of(1, &running(5, 12, 0x1_0001));
        let (two, changed) = all.of(1, &running(5, 99, 0x1_0101));
        assert_eq!((one.running.thread, one.running.comm.bytes()), (0, &b""[..]));
        assert_eq!((two.id, two.level, changed), (one.id, LEVEL_HARD_IRQ, false));
        let (thread, changed) = all.of(1, &running(5, 4, 0x201));
        assert_eq!((thread.level, changed), (LEVEL_THREAD, true));
        let (soft, _) = all.of(1, &running(5, 4, 0x101));
        assert_eq!((soft.level, soft.running.thread), (LEVEL_SOFT_IRQ, 0));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut all = activators();
        let ids: HashSet<_> =
            (0..3 * MOST as u32).map(|thread| all.of(1, &running(1, thread, 0)).0.id).collect();
        assert_eq!(ids.len(), 3 * MOST);
        assert!(all.known.len() <= MOST);
    }
}
