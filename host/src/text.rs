//! Bytes from a device → text that is safe on a terminal and never ambiguous.
//!
//! The name of a wakeup source may hold any byte except NUL. Shown raw, an escape sequence would drive the
//! terminal, a bidirectional control would turn the line around, and a zero-width character would
//! make two names look the same.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

#[cfg(test)]
#[path = "../tests/common/inverse.rs"]
pub(crate) mod inverse;

/// `bytes` with every character that could mislead written as an escape; a backslash is
/// doubled, so that different bytes never look the same.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut out, c));
        for byte in chunk.invalid() {
            push_hex(&mut out, *byte);
        }
    }
    out
}

/// A message on one line: controls are escaped, backslashes are left alone.
pub fn one_line(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for c in message.chars() {
        if c == '\\' { out.push(c) } else { push(&mut out, c) }
    }
    out
}

/// `text` in at most `width` columns, with `…` in the middle where something was left out: names
/// differ at both ends.
pub fn fit(text: &str, width: usize) -> String {
    cut(text, width, width.saturating_sub(1) / 2)
}

/// As [`fit`], with at most `tail` columns after the `…`.
pub fn cut(text: &str, width: usize, tail: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let head = width.saturating_sub(1).saturating_sub(tail);
    let head = as_many_as_fit(text.chars(), head);
    let mut tail: Vec<char> = as_many_as_fit(text.chars().rev(), tail).collect();
    tail.reverse();
    head.chain(['…']).chain(tail).collect()
}

/// The first of `chars`, in at most `room` columns.
fn as_many_as_fit(chars: impl Iterator<Item = char>, room: usize) -> impl Iterator<Item = char> {
    let mut used = 0;
    chars.take_while(move |c| {
        used += c.width().unwrap_or(0);
        used <= room
    })
}

fn push(out: &mut String, c: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0'..'\x20' | '\x7f' => push_hex(out, c as u8),
        c if hidden(c) => {
            // Writing to a String does not fail.
            let _ = write!(out, "\\u{{{:x}}}", c as u32);
        }
        c => out.push(c),
    }
}

fn push_hex(out: &mut String, byte: u8) {
    let _ = write!(out, "\\x{byte:02x}");
}

/// Controls, and characters that show nothing themselves but change how others are shown: C1,
/// bidirectional controls, zero-width and other format characters, line separators, variation
/// selectors, tags, and spaces that look like the common one.
pub fn hidden(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
        // Combining marks would attach to the character before the name.
        || (c.width() == Some(0))
}

#[cfg(test)]
mod tests {
    use super::inverse::unescape;
    use super::*;

    #[test]
    fn ordinary_names_stand_for_themselves() {
        for name in ["wlan_rx_wake", "1-0024 (usb)", "alarmtimer.0", "modem…größe", "名前"] {
            assert_eq!(escape(name.as_bytes()), name);
        }
    }

    #[test]
    fn nothing_reaches_the_terminal_that_drives_it() {
        assert_eq!(escape(b"a\x1b[31mred\x07"), "a\\x1b[31mred\\x07");
        assert_eq!(escape(b"two\nlines\r\t"), "two\\nlines\\r\\t");
        assert_eq!(escape("\u{9b}31m".as_bytes()), "\\u{9b}31m");
        assert_eq!(escape("\u{202e}evil\u{2066}".as_bytes()), "\\u{202e}evil\\u{2066}");
        assert_eq!(escape("a\u{200b}b\u{feff}".as_bytes()), "a\\u{200b}b\\u{feff}");
        assert_eq!(escape("e\u{301}".as_bytes()), "e\\u{301}");
    }

    #[test]
    fn invalid_utf8_and_backslashes_are_escaped() {
        assert_eq!(escape(b"caf\xe9 \xff"), "caf\\xe9 \\xff");
        assert_eq!(escape(b"\\xe9"), "\\\\xe9");
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(fit("short", 9), "short");
        assert_eq!(fit("a6f8800.ssusb-wakeup", 11), "a6f88…akeup");
        assert_eq!(fit("abc", 1), "…");
        assert_eq!(fit("abc", 0), "…");
        assert!(fit("名前名前名前名前", 7).width() <= 7);
    }

    #[test]
    fn escapes_can_be_undone() {
        for bytes in [&b"a\\x41\n\r\t\x1b\xff"[..], "\u{202e}名\u{e0041}\\".as_bytes(), b""] {
            assert_eq!(unescape(&escape(bytes)).as_deref(), Some(bytes));
        }
        for wrong in ["\\", "\\q", "\\x4", "\\xzz", "\\u{d800}", "\\u{41", "\\é"] {
            assert_eq!(unescape(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn errors_stay_on_one_line() {
        assert_eq!(one_line("C:\\x: a\nb\x1b"), "C:\\x: a\\nb\\x1b");
    }
}
