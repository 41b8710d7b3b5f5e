//! The functions, threads and interrupts that activated the most costly sources.

use crate::render::labels;
use crate::render::page::{Cell, Column, Page, Piece, Row, Section, Text, UNKNOWN, quote, words};
use crate::report::{Activator, Level, Source};
use crate::units::many;

/// Activators of each source; the others are summed up.
const EACH: usize = 3;

/// The section, for the first `top` of the sources, or for all.
pub fn activators(page: &mut Page, sources: &[Source], top: Option<usize>) {
    let with = |source: &&Source| source.activators.as_ref().is_some_and(|all| !all.is_empty());
    let shown = sources.iter().take(top.unwrap_or(usize::MAX)).filter(with);
    let rows: Vec<Row> = shown.flat_map(of_source).collect();
    if rows.is_empty() {
        return;
    }
    page.section(Section::Other, "Activated by");
    let columns = [
        Column::text("source"),
        Column::text("function")
            .meaning("the kernel's function that activated it, and the module that has it"),
        Column::text("in").meaning("the thread or the interrupt in which that ran"),
        Column::number("activations"),
        Column::number("held").meaning("in the holds that these activations began"),
    ];
    page.table(&columns, rows);
}

fn of_source(source: &Source) -> Vec<Row> {
    let all = source.activators.as_deref().unwrap_or_default();
    // A sum over a single one would say less than that one.
    let each = if all.len() == EACH + 1 { all.len() } else { EACH };
    let (first, others) = all.split_at(each.min(all.len()));
    let name = |index: usize| if index == 0 { labels::source(source) } else { words("") };
    let mut rows: Vec<Row> = first
        .iter()
        .enumerate()
        .map(|(index, one)| {
            [
                Cell::Text(name(index)),
                Cell::Folded(function(one), one.stacks.clone()),
                Cell::Text(place(one)),
                Cell::count(one.activations),
                Cell::time(one.held_ns),
            ]
            .into()
        })
        .collect();
    if !others.is_empty() {
        rows.push(
            [
                Cell::words(""),
                Cell::words(format!("{} more", many(others.len() as u64))),
                Cell::words(""),
                Cell::count(others.iter().map(|one| one.activations).sum()),
                Cell::time(others.iter().map(|one| one.held_ns).sum()),
            ]
            .into(),
        );
    }
    rows
}

/// `gpio_keys_gpio_isr [gpio_keys]`.
pub fn function(one: &Activator) -> Text {
    let Some(function) = &one.function else { return words(UNKNOWN) };
    let mut text = quote(function.as_str());
    if let Some(module) = &one.module {
        text.push(Piece::Words(" [".to_owned()));
        text.extend(quote(module.as_str()));
        text.push(Piece::Words("]".to_owned()));
    }
    text
}

/// `cnss-daemon, pid 812`, or an interrupt.
pub fn place(one: &Activator) -> Text {
    let mut text = match one.level {
        Level::Hardirq => return words("interrupt"),
        Level::Softirq => return words("soft interrupt"),
        Level::Nmi => return words("non-maskable interrupt"),
        Level::Unknown if one.comm.is_none() => return words(UNKNOWN),
        Level::Thread | Level::Unknown => Text::new(),
    };
    if one.level == Level::Unknown {
        text.push(Piece::Words("perhaps ".to_owned()));
    }
    text.extend(one.comm.iter().map(|comm| Piece::Name(comm.bytes.to_vec())));
    match (one.process, one.thread) {
        (Some(process), Some(thread)) if process != thread => {
            text.push(Piece::Words(format!(", thread {thread} of pid {process}")));
        }
        (Some(process), _) => text.push(Piece::Words(format!(", pid {process}"))),
        (None, _) => {}
    }
    text
}
