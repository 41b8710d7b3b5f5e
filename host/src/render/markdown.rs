//! A page as Markdown, to paste into a bug.
//!
//! A name may hold anything, and the one place where GitHub's Markdown leaves text alone is a code
//! span: a backslash before `@` still mentions someone, and `www.` needs no brackets to be a link. So
//! every name and every quote is a code span with the escapes of [`crate::text`] in it, and two more:
//! a backtick, which would end the span, is `\x60`, and a pipe, which would end the cell, `\x7c`. A
//! backslash of a name is doubled, so that undoing the escapes gives its bytes back. Our own words
//! hold no markup.

use super::page::{Align, Block, Cell, Column, Item, Mark, Page, Piece, Table};
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
            Block::Heading(_, text) => out += &format!("### {}\n", inert(text)),
            Block::Line(text) | Block::Note(text) => out += &format!("{}\n", inert(text)),
            Block::Items(items, _) => out.extend(items.iter().map(item)),
            Block::Table(table) => rows(&mut out, table),
        }
    }
    out
}

fn item(item: &Item) -> String {
    let text = inert(&item.text);
    match item.mark {
        Mark::Finding(severity) => format!("- {severity}: {text}\n"),
        Mark::Broken | Mark::Doubt | Mark::Plain => format!("- {text}\n"),
    }
}

fn rows(out: &mut String, table: &Table) {
    // A bar is for the eye alone.
    let drawn = |at: &usize| !table.rows.iter().any(|row| matches!(row.cells[*at], Cell::Bar(..)));
    let columns: Vec<usize> = (0..table.columns.len()).filter(drawn).collect();
    let mut line = |cell: &dyn Fn(usize) -> String| {
        let cells: Vec<_> = columns.iter().map(|at| cell(*at)).collect();
        *out += &format!("| {} |\n", cells.join(" | "));
    };
    let column = |at: usize| -> &Column { &table.columns[at] };
    line(&|at| trusted(column(at).head));
    line(&|at| match column(at).align {
        Align::Left => ":--".to_owned(),
        Align::Right => "--:".to_owned(),
    });
    for row in &table.rows {
        line(&|at| cell(&row.cells[at]));
    }
    for remark in [&table.rest, &Table::legend(&table.columns)] {
        if !remark.is_empty() {
            *out += &format!("\n{}\n", trusted(remark));
        }
    }
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) | Cell::Folded(text, _) => inert(text),
        Cell::Number(shown, _) => trusted(shown),
        Cell::Names(names, more) => {
            let names: Vec<_> = names.iter().map(|name| inert(name)).collect();
            let more = if *more > 0 { format!(", +{more}") } else { String::new() };
            names.join(", ") + &more
        }
        Cell::Bar(..) => String::new(),
    }
}

fn inert(text: &[Piece]) -> String {
    let pieces = text.iter().map(|piece| match piece {
        Piece::Words(words) => trusted(words),
        Piece::Quote(text) => span(&one_line(text)),
        Piece::Name(bytes) if bytes.is_empty() => "(no name)".to_owned(),
        Piece::Name(bytes) => span(&escape(bytes)),
    });
    pieces.collect()
}

/// Our own words hold no markup, and no tag (`<0.1 %` is none). A pipe would end a cell.
fn trusted(words: &str) -> String {
    words.replace('|', "&#124;")
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bytes of the name in a span.
    fn back(span: &str) -> Vec<u8> {
        crate::text::inverse::unescape(&span[1..span.len() - 1]).expect("escapes")
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
    fn our_words_are_text_and_quotes_are_code() {
        let text = [Piece::Words("<0.1 % of ".to_owned()), Piece::Quote("a\n@b|".to_owned())];
        assert_eq!(inert(&text), "<0.1 % of `a\\n@b\\x7c`");
    }

    proptest! {
        #[test]
        fn a_span_gives_the_bytes_back(
            name in proptest::collection::vec(any::<u8>(), 1..40)
        ) {
            let span = shown(&name);
            let inner = &span[1..span.len() - 1];
            prop_assert!(!inner.contains(['`', '|', '\n', '\r']) && !inner.is_empty());
            prop_assert_eq!(back(&span), name);
        }

        #[test]
        fn a_quote_stays_in_its_span(text in ".{1,60}") {
            let span = inert(&[Piece::Quote(text)]);
            let inner = &span[1..span.len() - 1];
            prop_assert!(!inner.contains(['`', '|', '\n', '\r']) && !inner.is_empty());
        }
    }
}
