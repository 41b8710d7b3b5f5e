//! The state of a source in a snapshot. A trace where sources change often has millions: serde is too
//! slow for them.

use sleepwalk_trace::record::STATE_AUTOSLEEP;
use sleepwalk_trace::snapshot::SourceState;
use sleepwalk_trace::time::MonoNanos;

/// Appends the rest of a source's line, whose snapshot was taken at `now`.
pub fn put(text: &mut Vec<u8>, now: MonoNanos, state: &SourceState) {
    flag(text, b",\"active\":", state.active());
    if state.torn() {
        text.extend_from_slice(b",\"torn\":true");
    }
    if state.state & STATE_AUTOSLEEP != 0 {
        text.extend_from_slice(b",\"autosleep\":true");
    }
    let counters = &state.counters;
    number(text, b",\"held_ns\":", state.held_ns(now));
    number(text, b",\"active_count\":", counters.active_count);
    number(text, b",\"event_count\":", counters.event_count);
    number(text, b",\"wakeup_count\":", counters.wakeup_count);
    number(text, b",\"expire_count\":", counters.expire_count);
    number(text, b",\"relax_count\":", counters.relax_count);
    number(text, b",\"total_ns\":", counters.total_ns);
    number(text, b",\"max_ns\":", counters.max_ns);
    number(text, b",\"last_mono_ns\":", counters.last_ns);
    number(text, b",\"prevent_ns\":", counters.prevent_ns);
    text.extend_from_slice(b"}\n");
}

/// Appends a key, whose length the compiler knows, and a number.
#[inline(always)]
fn number<const N: usize>(text: &mut Vec<u8>, key: &[u8; N], value: u64) {
    text.extend_from_slice(key);
    text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a key and a bool.
#[inline(always)]
fn flag<const N: usize>(text: &mut Vec<u8>, key: &[u8; N], value: bool) {
    text.extend_from_slice(key);
    text.extend_from_slice(if value { b"true" } else { b"false" });
}
