//! What the probe sends, taken apart.

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
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A suspend phase.
    Phase {
        /// Its name, without NUL.
        action: Text<ACTION_ROOM>,
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
    Edge {
        /// Kernel address of its name.
        name_pointer: u64,
        /// The tracepoint's `state`.
        state: u32,
        /// Activated, else deactivated.
        active: bool,
    },
    /// What edges with this pointer mean from here on.
    Name {
        /// Kernel address of the name.
        name_pointer: u64,
        /// The name, without NUL; empty where it could not be read.
        name: Text<NAME_ROOM>,
        /// The name goes on beyond that, or could not be read.
        cut: bool,
    },
    /// A thread began to wait in `pm_get_wakeup_count`.
    WaitBegin {
        /// Its id.
        thread: u32,
    },
    /// It came out.
    WaitEnd {
        /// Its id.
        thread: u32,
        /// No source was active.
        idle: bool,
    },
    /// `pm_save_wakeup_count` returned.
    Save {
        /// The thread's id.
        thread: u32,
        /// What it returned.
        saved: bool,
    },
    /// An interrupt woke the system.
    Wake {
        /// Linux's number of it.
        irq: u32,
    },
}

/// Text of at most `N` bytes, kept in place: there may be thousands of events in a second.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
}

impl<const N: usize> Text<N> {
    /// The bytes before the NUL.
    pub fn bytes(&self) -> &[u8] {
        let length = self.bytes.iter().position(|b| *b == 0);
        &self.bytes[..length.unwrap_or(N)]
    }
}

impl<const N: usize> std::fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.bytes().escape_ascii())
    }
}

impl ProbeEvent {
    /// Takes one record of the ring buffer apart ([`sleepwalk_trace::abi`]); `None` for one that this
    /// build's probe does not send.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let (head, rest) = record.split_at_checked(16)?;
        let (time, head) = head.split_first_chunk()?;
        let (kind, value) = head.split_first_chunk()?;
        let value = u32::from_ne_bytes(value.try_into().ok()?);
        let kind = u32::from_ne_bytes(*kind);
        let what = match kind {
            EVENT_PHASE_BEGIN | EVENT_PHASE_END => What::Phase {
                action: Text { bytes: *rest.first_chunk()? },
                value: value as i32,
                begin: kind == EVENT_PHASE_BEGIN,
            },
            EVENT_SUSPEND_RETURN => What::Return { errno: value as i32 },
            EVENT_ACTIVATE | EVENT_DEACTIVATE => What::Edge {
                name_pointer: u64::from_ne_bytes(*rest.first_chunk()?),
                state: value,
                active: kind == EVENT_ACTIVATE,
            },
            EVENT_NAME => {
                let (pointer, name) = rest.split_first_chunk()?;
                // The length counts the NUL, is one more than there is room for where the name goes on,
                // and a negative errno where the read failed.
                let whole = (1..=NAME_ROOM as i32).contains(&(value as i32));
                What::Name {
                    name_pointer: u64::from_ne_bytes(*pointer),
                    name: Text { bytes: *name.first_chunk()? },
                    cut: !whole,
                }
            }
            EVENT_WAIT_BEGIN => What::WaitBegin { thread: value },
            EVENT_WAIT_IDLE | EVENT_WAIT_BROKEN => {
                What::WaitEnd { thread: value, idle: kind == EVENT_WAIT_IDLE }
            }
            EVENT_SAVED | EVENT_NOT_SAVED => {
                What::Save { thread: value, saved: kind == EVENT_SAVED }
            }
            EVENT_WAKE => What::Wake { irq: value },
            _ => return None,
        };
        Some(Self { at: BootNanos(u64::from_ne_bytes(*time)), what })
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
    fn records_are_taken_apart() {
        let mut action = *b"suspend_enter\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
        let event = ProbeEvent::parse(&record(EVENT_PHASE_BEGIN, 3, &action)).unwrap();
        assert_eq!(event.at, BootNanos(7));
        action[14..].fill(0);
        let What::Phase { action, value: 3, begin: true } = event.what else { panic!("{event:?}") };
        assert_eq!(action.bytes(), b"suspend_enter");

        let event = ProbeEvent::parse(&record(EVENT_SUSPEND_RETURN, -16i32 as u32, &[])).unwrap();
        assert_eq!(event.what, What::Return { errno: -16 });
        let edge = ProbeEvent::parse(&record(EVENT_DEACTIVATE, 9, &5u64.to_ne_bytes())).unwrap();
        assert_eq!(edge.what, What::Edge { name_pointer: 5, state: 9, active: false });
    }

    #[test]
    fn a_name_that_goes_on_is_cut_and_an_unreadable_one_too() {
        let cut = |length: i32| {
            let rest = [&5u64.to_ne_bytes()[..], &[b'x'; NAME_ROOM]].concat();
            let event = ProbeEvent::parse(&record(EVENT_NAME, length as u32, &rest)).unwrap();
            matches!(event.what, What::Name { cut: true, .. })
        };
        assert!(!cut(1) && !cut(128) && cut(129) && cut(-14));
    }

    #[test]
    fn what_no_probe_sends_is_nothing() {
        assert_eq!(ProbeEvent::parse(&[]), None);
        assert_eq!(ProbeEvent::parse(&record(99, 0, &[])), None);
        assert_eq!(ProbeEvent::parse(&record(EVENT_ACTIVATE, 0, &[1, 2])), None);
    }
}
