//! The devices behind the most costly sources.

use crate::render::labels;
use crate::render::page::{Cell, Column, Page, Row, Section, UNKNOWN, quote};
use crate::report::Source;

/// The section, for the first `top` of the sources that did anything, or for all of them.
pub fn devices(page: &mut Page, sources: &[Source], top: Option<usize>) {
    let busy = sources.iter().filter(|source| source.sum.busy());
    let with = busy.take(top.unwrap_or(usize::MAX)).filter_map(|source| {
        let device = source.device.as_ref()?;
        let known = |text: &Option<String>| match text {
            Some(text) => Cell::Text(quote(text.as_str())),
            None => Cell::words(UNKNOWN),
        };
        let cells = [
            Cell::Text(labels::source(source)),
            Cell::Text(quote(device.path.as_str())),
            known(&device.driver),
            known(&device.compatible),
        ];
        Some(Row::from(cells))
    });
    let rows: Vec<Row> = with.collect();
    if rows.is_empty() {
        return;
    }
    page.section(Section::Other, "Devices of sources");
    let columns = [
        Column::text("source"),
        Column::text("device").meaning("its path below /sys/devices"),
        Column::text("driver").meaning("its own, or that of the nearest parent with one"),
        Column::text("compatible").meaning("by the device tree").spare(),
    ];
    page.table(&columns, rows);
}
