//! A page made of headings, lines, lists and tables, which the terminal and Markdown show each in
//! their way. What is said is decided once; how it is made harmless is each form's own.

use super::terminal::{WIDTH, columns, wrap};
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

pub use super::terminal::Align;

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
pub struct Page {
    /// Its parts.
    pub blocks: Vec<Block>,
}

impl Page {
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

/// The page for a terminal, with a line end.
pub fn terminal(page: &Page, color: bool) -> String {
    let mut out = String::new();
    let paint = |style: &str, text: &str| match color {
        true if !text.is_empty() => format!("\x1b[{style}m{text}\x1b[0m"),
        _ => text.to_owned(),
    };
    let mut line = |line: &str| {
        out.push_str(line);
        out.push('\n');
    };
    for block in &page.blocks {
        match block {
            Block::Title(text) => line(&paint("1", &fit(&plain(text), WIDTH))),
            Block::Heading(text) => {
                line("");
                line(&paint("1", &fit(&plain(text), WIDTH)));
            }
            Block::Line(text) => wrap("", &plain(text)).iter().for_each(|text| line(text)),
            Block::Items(items) => {
                let lines = items.iter().flat_map(|item| wrap("  · ", &plain(item)));
                lines.for_each(|text| line(&text));
            }
            Block::Table(table) => {
                let rows =
                    table.rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect());
                for (index, text) in columns(&table.head, rows, table.gives_way).iter().enumerate()
                {
                    line(&if index == 0 { paint("2", text) } else { text.clone() });
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
