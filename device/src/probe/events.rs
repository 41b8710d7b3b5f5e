//! The probe's events, parsed.

use sleepwalk_trace::abi::{
    ACTION_ROOM, COMM_ROOM, EVENT_ACTIVATE, EVENT_DEACTIVATE, EVENT_NAME, EVENT_NOT_SAVED,
    EVENT_PHASE_BEGIN, EVENT_PHASE_END, EVENT_SAVED, EVENT_SUSPEND_RETURN, EVENT_WAIT_BEGIN,
    EVENT_WAIT_BROKEN, EVENT_WAIT_IDLE, EVENT_WAKE, NAME_ROOM, NO_PREEMPT_COUNT,
};
use sleepwalk_trace::record::{
    LEVEL_HARD_IRQ, LEVEL_NMI, LEVEL_SOFT_IRQ, LEVEL_THREAD, LEVEL_UNKNOWN,
};
use sleepwalk_trace::time::BootNanos;

use super::btf::Kernel;

/// A function of the kernels that count in `preempt_count` how often interrupts were disabled
/// (`kernel/locking/spinlock.c`, 7.3).
pub const COUNTED_DISABLES: &str = "_raw_spin_lock_irq_disable";

/// An event and when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeEvent {
    /// CLOCK_BOOTTIME.
    pub at: BootNanos,
    /// The event.
    pub kind: EventKind,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A suspend phase.
    Phase {
        /// Its name, without NUL.
        action: InlineStr<ACTION_ROOM>,
        /// The tracepoint's `val`.
        value: i32,
        /// It began, else it ended.
        begin: bool,
    },
    /// `pm_suspend` returned.
    Return {
        /// 0 or a negative errno.
        errno: i32,
    },
    /// A source was activated or deactivated.
    Edge(ProbeEdge),
    /// The name at a pointer, from here on.
    Name {
        /// Kernel address of the name.
        name_pointer: u64,
        /// The name, without NUL; empty if it could not be read.
        name: InlineStr<NAME_ROOM>,
        /// The name is longer than that, or could not be read.
        cut: bool,
    },
    /// A thread entered `pm_get_wakeup_count` to wait.
    WaitBegin {
        /// Its id.
        thread: u32,
    },
    /// The wait ended.
    WaitEnd {
        /// The thread's id.
        thread: u32,
        /// It ended because no source was active.
        idle: bool,
    },
    /// `pm_save_wakeup_count` returned.
    CountWrite {
        /// The thread's id.
        thread: u32,
        /// The return value.
        saved: bool,
    },
    /// An interrupt woke the system.
    Wake {
        /// Its number.
        irq: u32,
    },
}

/// An activation or a deactivation of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeEdge {
    /// Kernel address of the source's name.
    pub name_pointer: u64,
    /// The tracepoint's `state`.
    pub state: u32,
    /// Activated, else deactivated.
    pub active: bool,
    /// The context of an activation, if activators are recorded.
    pub running: Option<Running>,
}

/// The context of an activation, as the probe saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Running {
    /// The stack's key in the probe's map; 0 if there is none.
    pub stack: u64,
    /// The thread's id.
    pub thread: u32,
    /// The process' id.
    pub process: u32,
    /// The process' user.
    pub uid: u32,
    /// The thread's `preempt_count`; `None` if its place is not known.
    pub preempt_count: Option<u32>,
    /// The thread's name, without NUL.
    pub comm: InlineStr<COMM_ROOM>,
}

impl Running {
    /// Reads the part of an `ActivationEvent` after the name's pointer.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (stack, rest) = bytes.split_first_chunk()?;
        let (ids, comm) = rest.split_first_chunk::<16>()?;
        let [thread, process, uid, count] = [0, 4, 8, 12]
            .map(|at| u32::from_ne_bytes([ids[at], ids[at + 1], ids[at + 2], ids[at + 3]]));
        Some(Self {
            stack: u64::from_ne_bytes(*stack),
            thread,
            process,
            uid,
            preempt_count: (count != NO_PREEMPT_COUNT).then_some(count),
            comm: InlineStr { bytes: *comm.first_chunk()? },
        })
    }
}

/// Which bits of `preempt_count` count interrupts (`include/linux/preempt.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PreemptBits {
    /// 16 to 19, and 20 to 23 for those that cannot be masked (5.10 to 6.12).
    #[default]
    From16,
    /// 24 to 27, and above for those that cannot be masked: 16 to 23 count how often interrupts were disabled (7.3).
    From24,
}

impl PreemptBits {
    /// Those of this kernel.
    pub fn of(kernel: Option<&Kernel>) -> Self {
        match kernel.is_some_and(|kernel| kernel.ids.contains_key(COUNTED_DISABLES)) {
            true => Self::From24,
            false => Self::From16,
        }
    }

    /// One of the `LEVEL_*` values. A soft interrupt counts if it is being handled, not just held off.
    pub fn level(self, preempt_count: Option<u32>) -> u8 {
        let (nmi, hard) = match self {
            Self::From16 => (0x00f0_0000, 0x0f0f_0000),
            Self::From24 => (0x7000_0000, 0x0f00_0000),
        };
        match preempt_count {
            None => LEVEL_UNKNOWN,
            Some(count) if count & nmi != 0 => LEVEL_NMI,
            Some(count) if count & hard != 0 => LEVEL_HARD_IRQ,
            Some(count) if count & 0x0000_0100 != 0 => LEVEL_SOFT_IRQ,
            Some(_) => LEVEL_THREAD,
        }
    }
}

/// A string of at most `N` bytes without an allocation: there may be thousands of events in a
/// second.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InlineStr<const N: usize> {
    bytes: [u8; N],
}

impl<const N: usize> Default for InlineStr<N> {
    fn default() -> Self {
        Self { bytes: [0; N] }
    }
}

impl<const N: usize> InlineStr<N> {
    /// The first `N` bytes of `bytes`.
    #[cfg(test)]
    pub fn new(bytes: &[u8]) -> Self {
        let mut room = [0; N];
        let length = bytes.len().min(N);
        room[..length].copy_from_slice(&bytes[..length]);
        Self { bytes: room }
    }

    /// The bytes before the NUL.
    pub fn bytes(&self) -> &[u8] {
        let length = self.bytes.iter().position(|b| *b == 0);
        &self.bytes[..length.unwrap_or(N)]
    }
}

impl<const N: usize> std::fmt::Debug for InlineStr<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.bytes().escape_ascii())
    }
}

impl ProbeEvent {
    /// Parses one entry of the ring buffer ([`sleepwalk_trace::abi`]); `None` for one that this
    /// build's probe does not send.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let (head, rest) = record.split_at_checked(16)?;
        let (time, head) = head.split_first_chunk()?;
        let (code, value) = head.split_first_chunk()?;
        let value = u32::from_ne_bytes(value.try_into().ok()?);
        let code = u32::from_ne_bytes(*code);
        let kind = match code {
            EVENT_PHASE_BEGIN | EVENT_PHASE_END => EventKind::Phase {
                action: InlineStr { bytes: *rest.first_chunk()? },
                value: value as i32,
                begin: code == EVENT_PHASE_BEGIN,
            },
            EVENT_SUSPEND_RETURN => EventKind::Return { errno: value as i32 },
            EVENT_ACTIVATE | EVENT_DEACTIVATE => {
                let (pointer, rest) = rest.split_first_chunk()?;
                EventKind::Edge(ProbeEdge {
                    name_pointer: u64::from_ne_bytes(*pointer),
                    state: value,
                    active: code == EVENT_ACTIVATE,
                    running: Running::parse(rest),
                })
            }
            EVENT_NAME => {
                let (pointer, name) = rest.split_first_chunk()?;
                // The length includes the NUL. It is one more than there is room for if the name is
                // longer, and a negative errno if the read failed.
                let whole = (1..=NAME_ROOM as i32).contains(&(value as i32));
                EventKind::Name {
                    name_pointer: u64::from_ne_bytes(*pointer),
                    name: InlineStr { bytes: *name.first_chunk()? },
                    cut: !whole,
                }
            }
            EVENT_WAIT_BEGIN => EventKind::WaitBegin { thread: value },
            EVENT_WAIT_IDLE | EVENT_WAIT_BROKEN => {
                EventKind::WaitEnd { thread: value, idle: code == EVENT_WAIT_IDLE }
            }
            EVENT_SAVED | EVENT_NOT_SAVED => {
                EventKind::CountWrite { thread: value, saved: code == EVENT_SAVED }
            }
            EVENT_WAKE => EventKind::Wake { irq: value },
            _ => return None,
        };
        Some(Self { at: BootNanos(u64::from_ne_bytes(*time)), kind })
    }
}

#[cfg(test)]
mod tests {
    use super::super::btf::{KIND_FUNC, Named};
    use super::*;

    fn record(kind: u32, value: u32, rest: &[u8]) -> Vec<u8> {
        let mut bytes = 7u64.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value.to_ne_bytes());
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn entries_are_parsed() {
        let mut action = *b"suspend_enter\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
        let event = ProbeEvent::parse(&record(EVENT_PHASE_BEGIN, 3, &action)).unwrap();
        assert_eq!(event.at, BootNanos(7));
        action[14..].fill(0);
        let EventKind::Phase { action, value: 3, begin: true } = event.kind else {
            panic!("{event:?}")
        };
        assert_eq!(action.bytes(), b"suspend_enter");

        let event = ProbeEvent::parse(&record(EVENT_SUSPEND_RETURN, -16i32 as u32, &[])).unwrap();
        assert_eq!(event.kind, EventKind::Return { errno: -16 });
        let edge = ProbeEvent::parse(&record(EVENT_DEACTIVATE, 9, &5u64.to_ne_bytes())).unwrap();
        assert_eq!(
            edge.kind,
            EventKind::Edge(ProbeEdge { name_pointer: 5, state: 9, active: false, running: None })
        );
    }

    #[test]
    fn an_activation_has_what_ran() {
        let mut rest = [5u64, 77].map(u64::to_ne_bytes).concat();
        rest.extend([12u32, 11, 1000, 0x0001_0101].map(u32::to_ne_bytes).concat());
        rest.extend(b"kworker/0:1\0\0\0\0\0");
        let event = ProbeEvent::parse(&record(EVENT_ACTIVATE, 9, &rest)).unwrap();
        let EventKind::Edge(ProbeEdge { running: Some(running), .. }) = event.kind else {
            panic!("{event:?}")
        };
        assert_eq!((running.stack, running.thread, running.process), (77, 12, 11));
        assert_eq!((running.uid, running.comm.bytes()), (1000, &b"kworker/0:1"[..]));
        assert_eq!(running.preempt_count, Some(0x0001_0101));
    }

    #[test]
    fn the_count_sets_interrupts_apart() {
        let level = |count| PreemptBits::From16.level(count);
        assert_eq!(level(Some(0x0001_0101)), LEVEL_HARD_IRQ);
        assert_eq!(level(Some(0x0001_0101)), LEVEL_HARD_IRQ);
        // Soft interrupts are held off, and one is handled.
        assert_eq!(level(Some(0x0000_0201)), LEVEL_THREAD);
        assert_eq!(level(Some(0x0000_0101)), LEVEL_SOFT_IRQ);
        assert_eq!(level(Some(0x0010_0000)), LEVEL_NMI);
        assert_eq!(level(None), LEVEL_UNKNOWN);
        let level = |count| PreemptBits::From24.level(Some(count));
        // Interrupts are disabled, once and twice.
        assert_eq!((level(0x0001_0004), level(0x0002_0101)), (LEVEL_THREAD, LEVEL_SOFT_IRQ));
        assert_eq!((level(0x0100_0004), level(0x1100_0000)), (LEVEL_HARD_IRQ, LEVEL_NMI));
    }

    #[test]
    fn the_kernel_shows_which_bits_count() {
        let mut kernel = Kernel::default();
        assert_eq!(PreemptBits::of(Some(&kernel)), PreemptBits::From16);
        kernel.ids.insert(COUNTED_DISABLES, Named { id: 1, kind: KIND_FUNC });
        assert_eq!(PreemptBits::of(Some(&kernel)), PreemptBits::From24);
    }

    #[test]
    fn long_and_unreadable_names_are_cut() {
        let cut = |length: i32| {
            let rest = [&5u64.to_ne_bytes()[..], &[b'x'; NAME_ROOM]].concat();
            let event = ProbeEvent::parse(&record(EVENT_NAME, length as u32, &rest)).unwrap();
            matches!(event.kind, EventKind::Name { cut: true, .. })
        };
        assert!(!cut(1) && !cut(128) && cut(129) && cut(-14));
    }

    #[test]
    fn unknown_entries_are_refused() {
        assert_eq!(ProbeEvent::parse(&[]), None);
        assert_eq!(ProbeEvent::parse(&record(99, 0, &[])), None);
        assert_eq!(ProbeEvent::parse(&record(EVENT_ACTIVATE, 0, &[1, 2])), None);
    }
}
