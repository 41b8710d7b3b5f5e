//! Next steps for sources with well-known names.

use std::collections::BTreeSet;

use crate::render::labels;
use crate::render::page::{Mark, Page, Piece, Text, quote, words};
use crate::report::{Known, Source};

/// The section, for the first `top` of the sources that did anything, or for all of them.
pub fn next_steps(page: &mut Page, sources: &[Source], top: Option<usize>) {
    let mut names = BTreeSet::new();
    let busy = sources.iter().filter(|source| source.sum.busy());
    let known = busy.take(top.unwrap_or(usize::MAX)).filter_map(|source| {
        let known = source.known.as_ref()?;
        names.insert(&source.name).then(|| (labels::source(source), known.clone()))
    });
    list(page, known);
}

/// The section, for names and what is known of them.
pub fn list(page: &mut Page, known: impl Iterator<Item = (Text, Known)>) {
    let steps = known.map(|(mut text, known)| {
        text.extend(words(format!(": {}", known.meaning)));
        if let Some(owner) = &known.owner {
            text.extend(words(" ("));
            text.extend(quote(owner.as_str()));
            text.extend(words(")"));
        }
        text.extend([Piece::Words("; ".to_owned()), Piece::Quote(known.command.to_owned())]);
        text
    });
    let steps = steps.collect();
    page.list("Next steps", Mark::Plain, steps);
}
