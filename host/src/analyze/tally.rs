//! Holds added up as the tracker of holds hands them over, which it does in the order of their stamps.

use crate::report::{Source, Span};
use crate::session::held::Held;
use crate::session::stretch::HoldKind;

use super::spans::Spans;
use super::union::Union;

/// When each source, and each name, was held.
#[derive(Debug, Default)]
pub struct Tally {
    /// By the source's place in [`Held`].
    sources: Vec<Union>,
    /// By its group's place there.
    names: Vec<Union>,
    /// By the source's place; `None` unless it is drawn.
    spans: Option<Vec<Spans>>,
}

impl Tally {
    /// To be `drawn`, it keeps when each source was held.
    pub fn new(drawn: bool) -> Self {
        Self { spans: drawn.then(Vec::new), ..Self::default() }
    }

    /// Takes the holds that became final.
    pub fn take(&mut self, held: &mut Held) {
        if held.holds().is_empty() {
            return;
        }
        let mut holds = std::mem::take(held.holds());
        self.sources.resize(held.sources.len(), Union::default());
        self.names.resize(held.groups.len(), Union::default());
        if let Some(spans) = &mut self.spans {
            spans.resize_with(held.sources.len(), Spans::default);
        }
        for hold in &holds {
            let slot = hold.slot as usize;
            let name = &mut self.names[held.sources[slot].group as usize];
            let source = &mut self.sources[slot];
            let spans = self.spans.as_mut().map(|spans| &mut spans[slot]);
            match hold.kind {
                HoldKind::Began { .. } => {
                    source.begin(hold.at);
                    name.begin(hold.at);
                    spans.into_iter().for_each(|spans| spans.begin(hold.at));
                }
                HoldKind::Ended { .. } => {
                    source.end(hold.at);
                    name.end(hold.at);
                    spans.into_iter().for_each(|spans| spans.end(hold.at));
                }
                HoldKind::Appeared | HoldKind::Removed => {}
            }
        }
        holds.clear();
        *held.holds() = holds;
    }

    /// Gives a source its longest hold, and its spans where it is drawn in a session of this length.
    pub fn finish(&mut self, slot: usize, source: &mut Source, session_ns: u64) {
        source.set_longest(self.sources.get(slot).and_then(Union::longest));
        let spans = self.spans.as_mut().and_then(|spans| spans.get_mut(slot));
        source.spans = spans.map_or(Vec::new(), |spans| std::mem::take(spans).finish(session_ns));
    }

    /// How long the sources of a group were held, any of them, and the longest hold.
    pub fn of_name(&self, group: usize) -> (u64, Option<Span>) {
        self.names.get(group).map_or((0, None), |name| (name.held_ns(), name.longest()))
    }
}
