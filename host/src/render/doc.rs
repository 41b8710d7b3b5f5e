//! A page made of headings, lines, lists and tables, which the terminal and Markdown show each in
//! their way. What is said is decided once; how it is made harmless is each form's own.

use unicode_width::UnicodeWidthStr as _;

use crate::report::Name;
use crate::text::{escape, fit, one_line};

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Words. They may hold what a device said, and no form trusts them.
    Words(String),
    /// The name of a source.
    Name(Vec<u8>),
}

/// Pieces that follow each other without a gap.
pub type Text = Vec<Piece>;

/// Words alone.
pub fn words(text: impl Into<String>) -> Text {
    vec![Piece::Words(text.into())]
}

/// A name alone.
pub fn name(name: &Name) -> Text {
    vec![Piece::Name(name.bytes.clone())]
}

/// On which side a column's cells are flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells under a head.
#[derive(Clone, Debug)]
pub struct Table {
    /// The columns.
    pub head: Vec<(&'static str, Align)>,
    /// The rows, each as long as the head.
    pub rows: Vec<Vec<Text>>,
    /// The column that is cut first where the table is too wide.
    pub gives_way: usize,
}

/// A part of a page.
#[derive(Clone, Debug)]
pub enum Block {
    /// What the page is about.
    Title(Text),
    /// Begins a section.
    Heading(Text),
    /// A paragraph.
    Line(Text),
    /// A list.
    Items(Vec<Text>),
    /// A table.
    Table(Table),
}

/// A page.
#[derive(Clone, Debug, Default)]
pub struct Doc {
    /// Its parts.
    pub blocks: Vec<Block>,
}

impl Doc {
    /// Begins a section.
    pub fn heading(&mut self, heading: impl Into<String>) {
        self.blocks.push(Block::Heading(words(heading)));
    }

    /// A paragraph.
    pub fn line(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Line(words(text)));
    }

    /// A section that is a list; none without items.
    pub fn list(&mut self, heading: &str, items: Vec<Text>) {
        if !items.is_empty() {
            self.heading(heading);
            self.blocks.push(Block::Items(items));
        }
    }

    /// A table; none without rows.
    pub fn table<const N: usize>(
        &mut self,
        head: [(&'static str, Align); N],
        gives_way: usize,
        rows: Vec<[Text; N]>,
    ) {
        if !rows.is_empty() {
            let rows = rows.into_iter().map(Vec::from).collect();
            self.blocks.push(Block::Table(Table { head: head.to_vec(), rows, gives_way }));
        }
    }
}

/// Columns of a terminal that everything fits in.
const WIDTH: usize = 80;
/// A column that is cut keeps at least this.
const NARROWEST: usize = 8;

/// The page for a terminal, with a line end.
pub fn terminal(doc: &Doc, color: bool) -> String {
    let mut out = String::new();
    let paint = |style: &str, text: &str| match color {
        true if !text.is_empty() => format!("\x1b[{style}m{text}\x1b[0m"),
        _ => text.to_owned(),
    };
    for block in &doc.blocks {
        match block {
            Block::Title(text) => {
                out += &paint("1", &fit(&plain(text), WIDTH));
                out.push('\n');
            }
            Block::Heading(text) => {
                out.push('\n');
                out += &paint("1", &fit(&plain(text), WIDTH));
                out.push('\n');
            }
            Block::Line(text) => wrap(&mut out, "", &plain(text)),
            Block::Items(items) => {
                items.iter().for_each(|item| wrap(&mut out, "  · ", &plain(item)));
            }
            Block::Table(table) => {
                for (index, line) in lines(table).iter().enumerate() {
                    out += &if index == 0 { paint("2", line) } else { line.clone() };
                    out.push('\n');
                }
            }
        }
    }
    out
}

fn plain(text: &[Piece]) -> String {
    let pieces = text.iter().map(|piece| match piece {
        Piece::Words(words) => one_line(words),
        Piece::Name(bytes) if bytes.is_empty() => "(no name)".to_owned(),
        Piece::Name(bytes) => escape(bytes),
    });
    pieces.collect()
}

/// Lines of at most [`WIDTH`]: the first begins with `sign`, the others are as far in.
fn wrap(out: &mut String, sign: &str, text: &str) {
    let blank = " ".repeat(sign.width());
    let mut line = sign.to_owned();
    let mut empty = true;
    for word in text.split(' ') {
        // A word that no line has room for loses its middle.
        let word = fit(word, WIDTH - blank.len());
        if !empty && line.width() + 1 + word.width() > WIDTH {
            *out += line.trim_end();
            out.push('\n');
            line.clone_from(&blank);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line += &word;
        empty = false;
    }
    *out += line.trim_end();
    out.push('\n');
}

fn lines(table: &Table) -> Vec<String> {
    let head = table.head.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let rows = table.rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect());
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let mut widths = vec![0; table.head.len()];
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = cell.width().max(*widest);
        }
    }
    // Two columns before each. What gives way is cut first, and then the other texts; numbers never.
    let mut excess = widths.iter().map(|width| width + 2).sum::<usize>().saturating_sub(WIDTH);
    let texts = (0..widths.len()).filter(|at| table.head[*at].1 == Align::Left);
    for at in std::iter::once(table.gives_way).chain(texts) {
        let cut = excess.min(widths[at].saturating_sub(NARROWEST));
        widths[at] -= cut;
        excess -= cut;
    }
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for ((cell, &width), (_, align)) in row.iter().zip(&widths).zip(&table.head) {
            let cell = fit(cell, width);
            let blank = " ".repeat(width.saturating_sub(cell.width()));
            line.push_str("  ");
            match align {
                Align::Left => line.extend([cell, blank]),
                Align::Right => line.extend([blank, cell]),
            }
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
