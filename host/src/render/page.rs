//! A page made of headings, lines, lists and tables, which every skin draws in its own way: the
//! terminal, Markdown and HTML show the same sections, columns and words.

use crate::report::{Line, Name, Severity};
use crate::units::{many, time};

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Our own words, which every skin trusts.
    Words(String),
    /// Text from a device, a file or a policy, which no skin trusts.
    Quote(String),
    /// The name of a source.
    Name(Vec<u8>),
}

/// Pieces that follow each other without a gap.
pub type Text = Vec<Piece>;

/// Our own words alone.
pub fn words(text: impl Into<String>) -> Text {
    vec![Piece::Words(text.into())]
}

/// Text from outside alone; nothing where it is empty.
pub fn quote(text: impl Into<String>) -> Text {
    Some(text.into()).filter(|text| !text.is_empty()).map(Piece::Quote).into_iter().collect()
}

/// A name alone.
pub fn name(name: &Name) -> Text {
    vec![Piece::Name(name.bytes.to_vec())]
}

/// How much an item of a list matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// A finding.
    Finding(Severity),
    /// A broken limit.
    Broken,
    /// A reason to doubt the numbers.
    Doubt,
    /// Neither.
    Plain,
}

impl Mark {
    /// The word for it.
    pub fn word(self) -> String {
        match self {
            Self::Finding(severity) => severity.to_string(),
            Self::Doubt => "doubt".to_owned(),
            Self::Broken | Self::Plain => String::new(),
        }
    }
}

/// An item of a list.
#[derive(Clone, Debug)]
pub struct Item {
    /// How much it matters.
    pub mark: Mark,
    /// The sentence.
    pub text: Text,
    /// The time that a fix would save.
    pub gain_ns: Option<u64>,
}

/// On which side a column's cells are flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its head.
    pub head: &'static str,
    /// An explanation for the reader; empty where the head needs none.
    pub meaning: &'static str,
    /// The side of its cells.
    pub align: Align,
    /// The terminal leaves the column out where the table would be too wide with it.
    pub spare: bool,
}

impl Column {
    /// A column of text.
    pub const fn text(head: &'static str) -> Self {
        Self { head, meaning: "", align: Align::Left, spare: false }
    }

    /// A column of numbers.
    pub const fn number(head: &'static str) -> Self {
        Self { align: Align::Right, ..Self::text(head) }
    }

    /// The column with an explanation.
    pub const fn meaning(self, meaning: &'static str) -> Self {
        Self { meaning, ..self }
    }

    /// The column as one that may be left out.
    pub const fn spare(self) -> Self {
        Self { spare: true, ..self }
    }
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Text.
    Text(Text),
    /// A number: as it reads, and as it sorts.
    Number(String, u64),
    /// The first names of a list, and how many more there are.
    Names(Vec<Text>, usize),
    /// A text, and lists of lines behind it, for the skins that can unfold them.
    Folded(Text, Vec<Vec<String>>),
    /// A bar: the part of the whole, from 0 to 1, that a line of the ledger is.
    Bar(f64, Line),
}

/// A value that the trace does not have.
pub const UNKNOWN: &str = "–";

impl Cell {
    /// Our own words.
    pub fn words(text: impl Into<String>) -> Self {
        Self::Text(words(text))
    }

    /// Our own words; `None` where the trace does not have the value.
    pub fn known(text: Option<String>) -> Self {
        Self::words(text.as_deref().unwrap_or(UNKNOWN))
    }

    /// A count; a zero is only a dot, so that the others stand out.
    pub fn count(n: u64) -> Self {
        Self::Number(if n == 0 { "·".to_owned() } else { many(n) }, n)
    }

    /// A time, likewise.
    pub fn time(ns: u64) -> Self {
        Self::shown(time(ns), ns)
    }

    /// A time that is rounded already.
    pub fn shown(shown: String, ns: u64) -> Self {
        Self::Number(if ns == 0 { "·".to_owned() } else { shown }, ns)
    }

    /// A time that may be unknown.
    pub fn known_time(ns: Option<u64>) -> Self {
        ns.map_or_else(|| Self::Number(UNKNOWN.to_owned(), 0), Self::time)
    }
}

/// How a row differs from the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Not at all.
    #[default]
    Plain,
    /// Nothing happened.
    Idle,
    /// The sum of the rows above it, or a part of them.
    Sum,
}

/// A row of a table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its cells, one for each column.
    pub cells: Vec<Cell>,
    /// How it differs.
    pub kind: Kind,
    /// An explanation, for the skins that have room for it.
    pub meaning: &'static str,
}

impl<const N: usize> From<[Cell; N]> for Row {
    fn from(cells: [Cell; N]) -> Self {
        Self { cells: cells.into(), kind: Kind::Plain, meaning: "" }
    }
}

/// Rows of cells under a head.
#[derive(Clone, Debug)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, each as long as the head.
    pub rows: Vec<Row>,
    /// The rows that are left out, in words; empty for none.
    pub rest: String,
}

/// A part of a page.
#[derive(Clone, Debug)]
pub enum Block {
    /// The subject of the page.
    Title(Text),
    /// The start of a section.
    Heading(Section, Text),
    /// A paragraph.
    Line(Text),
    /// A remark.
    Note(Text),
    /// A list, and how many of its items are shown at first.
    Items(Vec<Item>, usize),
    /// A table.
    Table(Table),
}

/// The sections that a skin may add to; the others are alike to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Section {
    /// The conclusions.
    Findings,
    /// Where the time went.
    Ledger,
    /// The sources by their cost.
    Ranking,
    /// Any other.
    #[default]
    Other,
}

/// A page.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Its parts.
    pub blocks: Vec<Block>,
}

impl Page {
    /// The subject of the page.
    pub fn title(&mut self, text: Text) {
        self.blocks.push(Block::Title(text));
    }

    /// Starts a section.
    pub fn heading(&mut self, heading: impl Into<String>) {
        self.section(Section::Other, heading);
    }

    /// Starts a section that skins know.
    pub fn section(&mut self, section: Section, heading: impl Into<String>) {
        self.blocks.push(Block::Heading(section, words(heading)));
    }

    /// A paragraph of our own words.
    pub fn line(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Line(words(text)));
    }

    /// A list; none without items.
    pub fn items(&mut self, mark: Mark, sentences: impl IntoIterator<Item = Text>) {
        let item = |text| Item { mark, text, gain_ns: None };
        let items: Vec<_> = sentences.into_iter().map(item).collect();
        if !items.is_empty() {
            self.blocks.push(Block::Items(items, usize::MAX));
        }
    }

    /// A section that is a list; none without items.
    pub fn list(&mut self, heading: &str, mark: Mark, sentences: Vec<Text>) {
        if !sentences.is_empty() {
            self.heading(heading);
            self.items(mark, sentences);
        }
    }

    /// A table; none without rows.
    pub fn table(&mut self, columns: &[Column], rows: impl IntoIterator<Item = impl Into<Row>>) {
        let rows: Vec<Row> = rows.into_iter().map(Into::into).collect();
        if !rows.is_empty() {
            let (columns, rest) = (columns.to_vec(), String::new());
            self.blocks.push(Block::Table(Table { columns, rows, rest }));
        }
    }

    /// The rows that the table just added leaves out; a remark where it has no rows at all.
    pub fn rest(&mut self, rest: &[String]) {
        let text = format!("… {}", rest.join(", "));
        match self.blocks.last_mut() {
            _ if rest.is_empty() => {}
            Some(Block::Table(table)) => table.rest = text,
            _ => self.blocks.push(Block::Note(words(text))),
        }
    }
}

impl Table {
    /// The explanations of `columns` as one remark.
    pub fn legend<'a>(columns: impl IntoIterator<Item = &'a Column>) -> String {
        let explained = columns.into_iter().filter(|column| !column.meaning.is_empty());
        let explained: Vec<_> =
            explained.map(|column| format!("{}: {}", column.head, column.meaning)).collect();
        explained.join("; ")
    }
}
