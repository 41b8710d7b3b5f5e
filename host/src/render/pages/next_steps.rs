//! Next steps for sources with well-known names.

use std::collections::BTreeSet;

use crate::render::labels;
use crate::render::page::{Mark, Page, Piece, quote, words};
use crate::report::Source;

/// The section, for the first `top` of the sources that did anything, or for all of them.
pub fn next_steps(page: &mut Page, sources: &[Source], top: Option<usize>) {
    let mut names = BTreeSet::new();
    let busy = sources.iter().filter(|source| source.sum.busy());
    let known = busy.take(top.unwrap_or(usize::MAX)).filter_map(|source| {
        let known = source.known.as_ref()?;
        names.insert(&source.name).then_some((source, known))
    });
    let steps = known.map(|(source, known)| {
        let mut text = labels::source(source);
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
