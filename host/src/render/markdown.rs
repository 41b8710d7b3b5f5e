//! A page as Markdown, to paste into a bug.
//!
//! What a device says may hold anything, and the one place where GitHub's Markdown leaves text alone
//! is a code span: a backslash before `@` still mentions someone, and `www.` needs no brackets to be a
//! link. So every name is a code span, and of other words those that hold anything but letters,
//! digits and plain punctuation. In spans stand the escapes of [`crate::text`], with two more: a
//! backtick, which would end the span, is `\x60`, and a pipe, which would end the cell, `\x7c`. As in
//! the terminal a backslash of the name is doubled, so that undoing the escapes gives its bytes back.

use super::page::{Align, Block, Page, Piece, Table};
use crate::text::{escape, one_line};

/// The page, with a line end.
pub fn render(page: &Page) -> String {
    let mut out = String::new();
    for block in &page.blocks {
        if !out.is_empty() {
            out.push('\n');
        }
        match block {
            Block::Title(text) => out += &format!("## {}\n", inert(text)),
            Block::Heading(text) => out += &format!("### {}\n", inert(text)),
            Block::Line(text) => out += &format!("{}\n", inert(text)),
            Block::Items(items) => {
                out.extend(items.iter().map(|item| format!("- {}\n", inert(item))));
            }
            Block::Table(table) => rows(&mut out, table),
        }
    }
    out
}

fn rows(out: &mut String, table: &Table) {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    *out += &line(table.head.iter().map(|(name, _)| prose(name)).collect());
    let rule = table.head.iter().map(|(_, align)| match align {
        Align::Left => ":--".to_owned(),
        Align::Right => "--:".to_owned(),
    });
    *out += &line(rule.collect());
    for row in &table.rows {
        *out += &line(row.iter().map(|cell| inert(cell)).collect());
    }
}

fn inert(text: &[Piece]) -> String {
    let pieces = text.iter().map(|piece| match piece {
        Piece::Words(words) => prose(words),
        Piece::Name(bytes) if bytes.is_empty() => "(no name)".to_owned(),
        Piece::Name(bytes) => span(&escape(bytes)),
    });
    pieces.collect()
}

/// A code span. Spaces at its ends or beside each other would get lost.
fn span(text: &str) -> String {
    let mut out = "`".to_owned();
    let mut chars = text.chars().peekable();
    let mut after_space = true;
    while let Some(c) = chars.next() {
        let lost = after_space || chars.peek().is_none();
        after_space = c == ' ';
        match c {
            '`' => out += "\\x60",
            '|' => out += "\\x7c",
            ' ' if lost => out += "\\x20",
            c => out.push(c),
        }
    }
    out.push('`');
    out
}

/// Words that are left as they are where they mean nothing in Markdown; each run of others is a
/// span.
fn prose(text: &str) -> String {
    let text = one_line(text);
    let mut out = Vec::new();
    let mut coded = Vec::new();
    for word in text.split(' ') {
        if means_nothing(word) {
            if !coded.is_empty() {
                out.push(span(&std::mem::take(&mut coded).join(" ")));
            }
            out.push(word.to_owned());
        } else {
            coded.push(word);
        }
    }
    if !coded.is_empty() {
        out.push(span(&coded.join(" ")));
    }
    out.join(" ")
}

/// Whether GitHub makes nothing of a word: no markup, no address, no reference. A point is in
/// numbers or at the end, for `www.example` is a link; and what looks like a commit's hash is one.
fn means_nothing(word: &str) -> bool {
    let body = word.trim_end_matches(['.', ',', ':', ';', ')', '?']).trim_start_matches('(');
    if body.is_empty() {
        return word.is_empty() || word == "," || word == ".";
    }
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let hash = |part: &str| part.len() >= 7 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let number = digits(body);
    if body.split('-').any(|part| hash(part) && !digits(part)) {
        return false;
    }
    // "1." at the begin of a line is a list.
    if number && body.len() < word.len() {
        return !word.ends_with(['.', ')']);
    }
    if body.strip_prefix('-').is_some_and(digits) {
        return true;
    }
    let mut before = ' ';
    let mut chars = body.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        let between = |kind: fn(&char) -> bool| kind(&before) && next.as_ref().is_some_and(kind);
        let plain = match c {
            '.' => between(char::is_ascii_digit),
            // Not `GH-12`, which is an issue.
            '-' => between(char::is_ascii_alphabetic),
            c if c.is_ascii() => c.is_ascii_alphanumeric() || c == '%' || c == '\'',
            // Letters, and signs like × and …; what is hidden is escaped already.
            _ => true,
        };
        if !plain {
            return false;
        }
        before = c;
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bytes that a name's span stands for.
    fn back(span: &str) -> Vec<u8> {
        crate::text::unescape(&span[1..span.len() - 1]).expect("escapes")
    }

    fn shown(bytes: &[u8]) -> String {
        inert(&[Piece::Name(bytes.to_vec())])
    }

    #[test]
    fn names_are_inert() {
        for (name, text) in [
            ("wlan", "`wlan`"),
            ("a`b``", r"`a\x60b\x60\x60`"),
            ("a|b", r"`a\x7cb`"),
            (r"a\|", r"`a\\\x7c`"),
            ("<img src=x onerror=alert(1)>", "`<img src=x onerror=alert(1)>`"),
            ("@torvalds #1 http://x", "`@torvalds #1 http://x`"),
            ("[a](javascript:b)", "`[a](javascript:b)`"),
            ("a\n# b\r\n- c", r"`a\n# b\r\n- c`"),
            (" a  b ", r"`\x20a \x20b\x20`"),
            (" ", r"`\x20`"),
            ("", "(no name)"),
        ] {
            assert_eq!(shown(name.as_bytes()), text);
        }
    }

    #[test]
    fn of_words_only_the_plain_stay_outside_a_span() {
        for (words, text) in [
            ("3 of 4 sleeps, 12.5 % of 1 h 02 m.", "3 of 4 sleeps, 12.5 % of 1 h 02 m."),
            ("woken by @user now", "woken by `@user` now"),
            ("see www.evil.example and http://x.y", "see `www.evil.example` and `http://x.y`"),
            ("a <b>bold</b> b|c #12", "a `<b>bold</b> b\\x7cc #12`"),
            ("commit deadbeef1 of GH-12", "commit `deadbeef1` of `GH-12`"),
            ("1. a", "`1.` a"),
            ("3 failed (2 with -19): -1 -x", "3 failed (2 with -19): -1 `-x`"),
            ("a user-space wakelock", "a user-space wakelock"),
            ("deadbeef-face -a b- c--d", "`deadbeef-face -a b- c--d`"),
            ("a\nb", "`a\\nb`"),
            ("no_sleep, *all*", "`no_sleep, *all*`"),
            ("größe × 2 … –", "größe × 2 … –"),
            ("- + # > = :", "`- + # > = :`"),
        ] {
            assert_eq!(prose(words), text);
        }
    }

    proptest! {
        #[test]
        fn a_span_is_never_left_and_gives_the_bytes_back(
            name in proptest::collection::vec(any::<u8>(), 1..40)
        ) {
            let span = shown(&name);
            let inner = &span[1..span.len() - 1];
            prop_assert!(!inner.contains(['`', '|', '\n', '\r']) && !inner.is_empty());
            prop_assert_eq!(back(&span), name);
        }

        #[test]
        fn nothing_of_words_drives_markdown(text in ".{0,60}") {
            let out = prose(&text);
            prop_assert!(!out.contains(['|', '\n', '\r']));
            // Every second part is inside a span.
            for outside in out.split('`').step_by(2) {
                prop_assert!(!outside.contains(['<', '>', '@', '#', '[', ']', '*', '_', '\\', '~', '&', '/']));
            }
        }
    }
}
