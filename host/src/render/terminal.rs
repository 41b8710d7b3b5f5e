//! What all pages for a terminal share: 80 columns, words that wrap, columns that give way. (Table
//! libraries wrap a cell that is too wide; a name is better cut in its middle.)

use unicode_width::UnicodeWidthStr as _;

use crate::text::fit;

/// Columns of a terminal that everything fits in.
pub const WIDTH: usize = 80;

/// A column that is cut keeps at least this.
const NARROWEST: usize = 8;

/// On which side a column's cells are flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// The lines of a table, the head first. Column `gives_way` is cut where the table is too wide, then
/// the other texts; numbers never, but that no line is longer than [`WIDTH`]. Cells are escaped
/// already.
pub fn columns(
    head: &[(&str, Align)],
    rows: impl IntoIterator<Item = Vec<String>>,
    gives_way: usize,
) -> Vec<String> {
    let names = head.iter().map(|(name, _)| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(names).chain(rows).collect();
    let mut widths = vec![0; head.len()];
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = cell.width().max(*widest);
        }
    }
    // Two columns before each.
    let mut excess = widths.iter().map(|width| width + 2).sum::<usize>().saturating_sub(WIDTH);
    let texts = (0..widths.len()).filter(|at| head[*at].1 == Align::Left);
    for at in std::iter::once(gives_way).chain(texts) {
        let cut = excess.min(widths[at].saturating_sub(NARROWEST));
        widths[at] -= cut;
        excess -= cut;
    }
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for ((cell, &width), (_, align)) in row.iter().zip(&widths).zip(head) {
            let cell = fit(cell, width);
            let blank = " ".repeat(width.saturating_sub(cell.width()));
            line.push_str("  ");
            match align {
                Align::Left => line.extend([cell, blank]),
                Align::Right => line.extend([blank, cell]),
            }
        }
        fit(line.trim_end(), WIDTH)
    };
    rows.iter().map(line).collect()
}

/// `text` in lines of at most [`WIDTH`]: the first begins with `sign`, the others are as far in. It
/// breaks at spaces, but not before a unit; a word that no line has room for loses its middle.
pub fn wrap(sign: &str, text: &str) -> Vec<String> {
    let blank = " ".repeat(sign.width());
    let room = WIDTH - blank.len();
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in words(text) {
        let word = fit(&word, room);
        if !line.is_empty() && line.width() + 1 + word.width() > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += &word;
    }
    lines.push(line);
    let signs = std::iter::once(sign).chain(std::iter::repeat(blank.as_str()));
    let whole = signs.zip(&lines).map(|(sign, line)| format!("{sign}{line}").trim_end().to_owned());
    whole.collect()
}

/// The words of `text`, a number and its unit as one.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let number =
            |w: &&mut String| w.trim_start_matches('(').starts_with(|c: char| c.is_ascii_digit());
        let unit = ["ns", "µs", "ms", "s", "m", "h", "d", "%"]
            .contains(&word.trim_end_matches([',', ';', ':', '.', ')']));
        match words.last_mut().filter(number) {
            Some(last) if unit => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_break_at_spaces_and_not_before_a_unit() {
        let sign = " ".repeat(WIDTH - 8) + "! ";
        let told = |text| {
            let lines = wrap(&sign, text);
            assert!(lines[0].starts_with(sign.trim_end()));
            lines
                .iter()
                .map(|line| line[sign.len().min(line.len())..].to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(told("a bc def g"), ["a bc", "def g"]);
        assert_eq!(told("took 5 s."), ["took", "5 s."]);
        assert_eq!(told(""), [""]);
        assert_eq!(told("far too long"), ["far", "too", "long"]);
        assert_eq!(told("muchlongerthan that"), ["muc…an", "that"]);
    }

    #[test]
    fn texts_give_way_before_numbers() {
        let head = [("#", Align::Right), ("name", Align::Left), ("other", Align::Left)];
        let row = vec!["1234567890".to_owned(), "n".repeat(60), "o".repeat(30)];
        let lines = columns(&head, [row], 1);
        assert_eq!(lines[1].width(), WIDTH);
        assert!(lines[1].contains("1234567890") && lines[1].contains(&"o".repeat(30)));
    }

    proptest! {
        #[test]
        fn no_line_is_longer_than_a_terminal(
            cells in proptest::collection::vec(proptest::collection::vec("[ -~ß名😀]{0,60}", 6), 0..4),
            text in "[ -~ß名😀]{0,300}", gives_way in 0usize..6
        ) {
            let aligns = [Align::Left, Align::Right].into_iter().cycle();
            let head: Vec<_> = std::iter::repeat("head").zip(aligns).take(6).collect();
            for line in columns(&head, cells, gives_way).iter().chain(&wrap("  · ", &text)) {
                prop_assert!(line.width() <= WIDTH, "{}", line);
            }
        }
    }
}
