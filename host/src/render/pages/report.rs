//! One report as a page.

use super::ranking::{self, Ranked};
use super::{
    activators, attempts, candidates, capture, devices, findings, ledger, next_steps, user_space,
    warnings,
};
use crate::render::labels;
use crate::render::page::{Block, Mark, Page};
use crate::report::Report;

/// The page with the `top` most costly sources, or with every source.
pub fn page(report: &Report, top: Option<usize>) -> Page {
    let mut page = Page::default();
    page.title(capture::title(&report.session));
    page.blocks.push(Block::Line(capture::extent(&report.session)));
    page.line(labels::attempts(|outcome| report.count(outcome)));
    findings::findings(&mut page, [("", report)]);
    page.list("Warnings", Mark::Doubt, warnings::warnings(&report.session));
    let whole_ns = report.session.duration_ns;
    ledger::ledger(&mut page, &report.ledger, whole_ns);
    let ranked: Vec<_> =
        report.sources.iter().map(|s| Ranked::source(s, report.session.start_ns)).collect();
    ranking::ranking(&mut page, &ranked, top, report.sources_left_out, whole_ns);
    activators::activators(&mut page, &report.sources, top);
    candidates::candidates(&mut page, &report.sources, top);
    devices::devices(&mut page, &report.sources, top);
    user_space::user_space(&mut page, report, top);
    next_steps::next_steps(&mut page, &report.sources, top);
    attempts::attempts(&mut page, &report.attempts);
    attempts::wakes(&mut page, &report.attempts);
    capture::battery(&mut page, report.power.drain);
    capture::capture(&mut page, report);
    page
}
