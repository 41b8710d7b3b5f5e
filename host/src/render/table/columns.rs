//! Columns that give way: one of them is cut so that the table fits. (Table libraries wrap a cell
//! that is too wide; a name is better cut in its middle.)

use unicode_width::UnicodeWidthStr as _;

use super::{DIM, Page};
use crate::text::fit;

/// On which side a column's cells are flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells under a head.
pub struct Columns<const N: usize> {
    align: [Align; N],
    rows: Vec<[String; N]>,
}

/// The column that gives way keeps at least this.
const NARROWEST: usize = 12;

impl<const N: usize> Columns<N> {
    /// The head.
    pub fn new(head: &[(&str, Align); N]) -> Self {
        Self {
            align: head.map(|(_, align)| align),
            rows: vec![head.map(|(name, _)| name.to_owned())],
        }
    }

    /// One row; its cells are escaped already.
    pub fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    /// Prints all rows, cutting column `gives_way` to fit `width`.
    pub(super) fn print(&mut self, out: &mut Page, gives_way: usize, width: usize) {
        let mut widths = [0; N];
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = cell.width().max(*widest);
            }
        }
        // Two columns before each.
        let others: usize = widths.iter().sum::<usize>() - widths[gives_way] + 2 * N;
        let room = width.saturating_sub(others).max(NARROWEST);
        widths[gives_way] = widths[gives_way].min(room);
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for ((cell, &width), align) in row.iter().zip(&widths).zip(self.align) {
                let cell = fit(cell, width);
                let blank = " ".repeat(width.saturating_sub(cell.width()));
                line.push_str("  ");
                match align {
                    Align::Left => line.extend([cell, blank]),
                    Align::Right => line.extend([blank, cell]),
                }
            }
            match index {
                0 => out.styled(DIM, line.trim_end()),
                _ => out.line(&line),
            }
        }
    }
}
