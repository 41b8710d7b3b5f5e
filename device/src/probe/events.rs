//! The probe's events, parsed.

use sleepwalk_trace::abi::{
    ACTION_ROOM, EVENT_ACTIVATE, EVENT_DEACTIVATE, EVENT_NAME, EVENT_NOT_SAVED, EVENT_PHASE_BEGIN,
    EVENT_PHASE_END, EVENT_SAVED, EVENT_SUSPEND_RETURN, EVENT_WAIT_BEGIN, EVENT_WAIT_BROKEN,
    EVENT_WAIT_IDLE, EVENT_WAKE, NAME_ROOM,
};
use sleepwalk_trace::time::BootNanos;

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
}

/// A string of at most `N` bytes without an allocation: there may be thousands of events in a
/// second.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InlineStr<const N: usize> {
    bytes: [u8; N],
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
            EVENT_ACTIVATE | EVENT_DEACTIVATE => EventKind::Edge(ProbeEdge {
                name_pointer: u64::from_ne_bytes(*rest.first_chunk()?),
                state: value,
                active: code == EVENT_ACTIVATE,
            }),
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
            EventKind::Edge(ProbeEdge { name_pointer: 5, state: 9, active: false })
        );
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
