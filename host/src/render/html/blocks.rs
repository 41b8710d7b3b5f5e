//! The blocks of a page as HTML. Maud escapes all text. Characters that would drive a terminal or
//! reverse a line are escaped as in the terminal.

use std::collections::HashMap;

use maud::{Markup, html};

use super::ranking;
use crate::render::page::{
    Align, Block, Cell, Column, Item, Kind, Mark, Piece, Row, Section, Table,
};
use crate::render::terminal::plain;
use crate::report::Source;
use crate::text::one_line;
use crate::units::time;

/// The row of the ranking that a name has.
pub(super) struct Names<'a> {
    rows: HashMap<&'a [u8], usize>,
}

impl<'a> Names<'a> {
    pub(super) fn new(sources: &'a [Source]) -> Self {
        let mut rows = HashMap::new();
        for (row, source) in sources.iter().enumerate() {
            rows.entry(&source.name.bytes[..]).or_insert(row);
        }
        Self { rows }
    }

    /// A text in which each name leads to its row.
    fn linked(&self, text: &[Piece]) -> Markup {
        html! {
            @for piece in text {
                @let shown = plain(std::slice::from_ref(piece));
                @match piece {
                    Piece::Name(bytes) => {
                        @match self.rows.get(&bytes[..]) {
                            Some(row) => button.chip type="button" data-find=(shown) data-row=(row)
                                title="show in the ranking" { (shown) },
                            None => span.chip { (shown) },
                        }
                    }
                    _ => (shown),
                }
            }
        }
    }
}

/// Blocks that start with a heading.
pub(super) fn sections(blocks: &[Block], names: &Names<'_>) -> Markup {
    let starts = |_: &Block, next: &Block| !matches!(next, Block::Heading(..));
    html! {
        @for section in blocks.chunk_by(starts) {
            @if let [Block::Heading(kind, heading), blocks @ ..] = section {
                @match kind {
                    Section::Findings => section #findings aria-labelledby="findings-h" {
                        h2 #findings-h { (plain(heading)) }
                        @for block in blocks { (self::block(block, names)) }
                    },
                    Section::Ledger => section #ledger aria-labelledby="ledger-h" {
                        h2 #ledger-h { (plain(heading)) }
                        @for block in blocks {
                            @if let Block::Table(table) = block { (strip(table)) }
                            (self::block(block, names))
                        }
                    },
                    Section::Ranking => section #ranking aria-labelledby="ranking-h" tabindex="-1" {
                        div.bar { h2 #ranking-h { (plain(heading)) } (ranking::filter()) }
                        @for block in blocks {
                            @match block {
                                Block::Table(table) => (ranking::ranking(table)),
                                _ => (self::block(block, names)),
                            }
                        }
                    },
                    Section::Other => section {
                        h2 { (plain(heading)) }
                        @for block in blocks { (self::block(block, names)) }
                    },
                }
            }
        }
    }
}

fn block(block: &Block, names: &Names<'_>) -> Markup {
    html! {
        @match block {
            Block::Title(line) | Block::Heading(_, line) | Block::Line(line) => p { (plain(line)) },
            Block::Note(note) => p.note { (plain(note)) },
            Block::Items(items, at_once) => {
                @let (first, rest) = items.split_at(items.len().min(*at_once));
                (list(first, names))
                @if !rest.is_empty() {
                    details {
                        summary { (rest.len()) " more" }
                        (list(rest, names))
                    }
                }
            }
            Block::Table(table) => (plain_table(table)),
        }
    }
}

fn list(items: &[Item], names: &Names<'_>) -> Markup {
    let marked = items.iter().any(|item| item.mark != Mark::Plain);
    html! {
        ul class=(if marked { "findings" } else { "items" }) {
            @for item in items {
                @let word = item.mark.word();
                li class=[Some(&word).filter(|word| !word.is_empty())] {
                    @if marked { span.severity { (word) } }
                    p { (names.linked(&item.text)) }
                    @if let Some(ns) = item.gain_ns.filter(|ns| *ns > 0) {
                        span.gain title="the time that a fix would save at most" {
                            small { "up to " } (time(ns))
                        }
                    }
                }
            }
        }
    }
}

/// The class of a column's cells.
fn side(column: &Column) -> Option<&'static str> {
    (column.align == Align::Right).then_some("number")
}

fn plain_table(table: &Table) -> Markup {
    let explained = table.rows.iter().any(|row| !row.meaning.is_empty());
    let legend = Table::legend(&table.columns);
    let drawn = |at: usize| table.rows.iter().any(|row| matches!(row.cells[at], Cell::Bar(..)));
    html! {
        div.scroll {
            table.lines {
                thead { tr {
                    @for (at, column) in table.columns.iter().enumerate() {
                        @if !drawn(at) { th scope="col" class=[side(column)] { (column.head) } }
                    }
                } }
                tbody {
                    @for row in &table.rows {
                        tr class=[(row.kind == Kind::Sum).then_some("sum")] {
                            @for (cell, column) in row.cells.iter().zip(&table.columns) {
                                @match cell {
                                    Cell::Bar(..) => {}
                                    _ if std::ptr::eq(cell, &row.cells[0]) => th scope="row" class=[side(column)] {
                                        (key(row))
                                        (shown(cell))
                                    },
                                    Cell::Names(..) => td.names { (shown(cell)) },
                                    _ => td class=[side(column)] { (shown(cell)) },
                                }
                            }
                            @if explained { td.meaning { (row.meaning) } }
                        }
                    }
                }
            }
        }
        @for remark in [&table.rest, &legend] {
            @if !remark.is_empty() { p.note { (remark) } }
        }
    }
}

/// The colour of a row that has a bar.
fn key(row: &Row) -> Markup {
    html! {
        @if let Some(Cell::Bar(_, line)) = row.cells.last() {
            svg.key viewBox="0 0 10 10" aria-hidden="true" {
                rect class={ "l-" (line) } width="10" height="10" rx="2" {}
            }
        }
    }
}

/// The bars of a table end to end.
fn strip(table: &Table) -> Markup {
    let mut at = 0.0;
    let bars = table.rows.iter().filter_map(|row| match row.cells.last() {
        Some(Cell::Bar(part, line)) => {
            let (x, width) = (at, part * 1_000.0);
            at += width;
            Some((row, line, x, width))
        }
        _ => None,
    });
    html! {
        svg.whole viewBox="0 0 1000 28" preserveAspectRatio="none" aria-hidden="true" {
            @for (row, line, x, width) in bars {
                rect class={ "l-" (line) } x=(format!("{x:.3}")) y="0"
                    width=(format!("{width:.3}")) height="28" {
                    title {
                        @for cell in &row.cells[..row.cells.len() - 1] { (shown(cell)) " " }
                    }
                }
            }
        }
    }
}

/// A text that unfolds to its lists.
fn folded(content: &[Piece], lists: &[Vec<String>]) -> Markup {
    html! {
        @if lists.is_empty() {
            (plain(content))
        } @else {
            details.stacks {
                summary title="show the stack" { (plain(content)) }
                @for list in lists {
                    ol { @for line in list { li { code { (one_line(line)) } } } }
                }
            }
        }
    }
}

pub(super) fn shown(cell: &Cell) -> Markup {
    html! {
        @match cell {
            Cell::Text(content) => (plain(content)),
            Cell::Folded(content, lists) => (folded(content, lists)),
            Cell::Number(shown, _) => (shown),
            Cell::Names(names, more) => {
                @for (index, name) in names.iter().enumerate() {
                    @if index > 0 { ", " }
                    (plain(name))
                }
                @if *more > 0 { ", +" (more) }
            }
            Cell::Bar(..) => {}
        }
    }
}
