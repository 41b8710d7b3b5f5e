//! The conclusions, the most important first.

use crate::render::findings::sentence;
use crate::render::page::{Block, Item, Mark, Page, Piece, Section};
use crate::report::Report;

/// Findings shown at once: a longer list hides the first ones.
const AT_ONCE: usize = 10;

/// The section: the findings of each session, after its name where there are several.
pub fn findings<'a>(page: &mut Page, sessions: impl IntoIterator<Item = (&'a str, &'a Report)>) {
    let mut items = Vec::new();
    for (session, report) in sessions {
        for finding in &report.findings {
            let mut text = Vec::new();
            if !session.is_empty() {
                text.push(Piece::Quote(session.to_owned()));
                text.push(Piece::Words(": ".to_owned()));
            }
            text.extend(sentence(finding, report.session.duration_ns));
            let mark = Mark::Finding(finding.severity);
            items.push(Item { mark, text, gain_ns: finding.gain_ns });
        }
    }
    // The sort is stable: each session's order stays.
    items.sort_by_key(|item| item.mark);
    page.section(Section::Findings, "Findings");
    match items.is_empty() {
        true => page.line("Nothing stands out."),
        false => page.blocks.push(Block::Items(items, AT_ONCE)),
    }
}
