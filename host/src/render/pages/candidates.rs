//! Processes that may be behind the most costly sources.

use std::collections::BTreeSet;

use crate::render::labels;
use crate::render::page::{Mark, Page, Piece, words};
use crate::report::Source;
use crate::units::many;

/// Processes that are named; more are counted.
const EACH: usize = 5;

/// The section, for the first `top` of the sources that did anything, or for all of them.
pub fn candidates(page: &mut Page, sources: &[Source], top: Option<usize>) {
    let mut names = BTreeSet::new();
    let busy = sources.iter().filter(|source| source.sum.busy());
    let with = busy.take(top.unwrap_or(usize::MAX)).filter(|s| !s.candidates.is_empty());
    let sentences = with.filter(|source| names.insert(&source.name)).map(|source| {
        let all = &source.candidates;
        let mut text = labels::source(source);
        text.extend(words(if all.len() == 1 { ": only " } else { ": one of " }));
        for (index, one) in all.iter().take(EACH).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            text.push(Piece::Words(comma.to_owned()));
            text.push(Piece::Name(one.comm.bytes.to_vec()));
            text.push(Piece::Words(format!(" (pid {})", one.process)));
        }
        if all.len() > EACH {
            text.extend(words(format!(" and {} more", many((all.len() - EACH) as u64))));
        }
        text.extend(words(
            " waited for a file of this name with EPOLLWAKEUP when the capture started",
        ));
        text
    });
    let sentences = sentences.collect();
    page.list("Processes that may be behind sources", Mark::Plain, sentences);
}
