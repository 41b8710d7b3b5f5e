//! The ranking: a table that works without the script, which sorts and filters its rows.

use maud::{Markup, html};

use super::blocks::shown;
use crate::render::page::{Align, Cell, Column, Kind, Table};
use crate::render::terminal::plain;

/// The controls above the ranking.
pub(super) fn filter() -> Markup {
    html! {
        label.field {
            span.unseen { "Filter sources by name" }
            input #filter type="search" placeholder="Filter by name  ( / )" autocomplete="off" spellcheck="false";
        }
        label.check { input #idle type="checkbox"; " never active" }
        output #count aria-live="polite" {}
    }
}

/// The ranking, which the script sorts and filters.
pub(super) fn ranking(table: &Table) -> Markup {
    let most = |at: usize| {
        let values = table.rows.iter().map(|row| match row.cells[at] {
            Cell::Number(_, value) => value,
            _ => 0,
        });
        values.max().unwrap_or(0)
    };
    let fills = table.columns.iter().enumerate().map(|(at, column)| match column.head {
        "cost" | "held" => most(at),
        _ => 0,
    });
    let wholes: Vec<u64> = fills.collect();
    html! {
        div.scroll {
            table #sources {
                thead { tr {
                    @for (at, column) in table.columns.iter().enumerate() {
                        th scope="col" class=[(column.align == Align::Left).then_some("name")]
                            aria-sort=[(at == 0).then_some("ascending")] {
                            button type="button" title=(column.meaning) { (column.head) }
                        }
                    }
                } }
                tbody {
                    @for (index, row) in table.rows.iter().enumerate() {
                        tr data-row=(index) class=[(row.kind == Kind::Idle).then_some("idle")] {
                            @for ((cell, column), whole) in row.cells.iter().zip(&table.columns).zip(&wholes) {
                                (ranked(cell, column, *whole))
                            }
                        }
                    }
                }
            }
        }
        p.more { button #more.quiet type="button" hidden {} }
        @if !table.rest.is_empty() { p.note { (table.rest) } }
        p.note { (Table::legend(&table.columns)) }
    }
}

/// `whole` fills the bar of the cell; 0 for none.
fn ranked(cell: &Cell, column: &Column, whole: u64) -> Markup {
    html! {
        @match cell {
            Cell::Number(shown, value) => {
                td data-v=(value) class=[(*value == 0 && column.head != "#").then_some("nil")] {
                    @if whole > 0 && *value > 0 {
                        svg class={ "meter m-" (column.head) } viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
                            rect width=(format!("{:.1}", (*value as f64 / whole as f64 * 100.0).max(0.5))) height="4" {}
                        }
                    }
                    (shown)
                }
            }
            Cell::Text(label) => {
                @let label = plain(label);
                th.name scope="row" {
                    button.pick type="button" aria-pressed="false" title=(label) { (label) }
                }
            }
            _ => td { (shown(cell)) },
        }
    }
}
