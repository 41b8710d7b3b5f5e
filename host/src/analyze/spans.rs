//! When a source was held, as finely as a drawing can show.

use sleepwalk_trace::time::BootNanos;

use crate::report::Span;

/// Spans kept of one source while the session's length is not known yet.
const ROOM: usize = 8_192;

/// A drawing of a session has at most this many columns.
const COLUMNS: u64 = 16_384;

/// The spans of one source. Those nearer to each other than `grain_ns` are one; it grows with their
/// number, so that memory does not.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    list: Vec<Span>,
    grain_ns: u64,
    open: Option<BootNanos>,
}

impl Spans {
    /// It became active.
    pub fn begin(&mut self, at: BootNanos) {
        self.open = Some(at);
    }

    /// It no longer is.
    pub fn end(&mut self, at: BootNanos) {
        let Some(start) = self.open.take() else { return };
        match self.list.last_mut() {
            Some(last) if start.since(last.end_ns) <= self.grain_ns => last.end_ns = at,
            _ => self.list.push(Span { start_ns: start, end_ns: at }),
        }
        while self.list.len() >= ROOM {
            let finest = self.list.first().zip(self.list.last());
            let whole = finest.map_or(0, |(first, last)| last.end_ns.since(first.start_ns));
            let coarser = self.grain_ns.saturating_mul(2).max(whole / (2 * COLUMNS)).max(1);
            self.coarsen(coarser);
        }
    }

    fn coarsen(&mut self, grain_ns: u64) {
        self.grain_ns = self.grain_ns.max(grain_ns);
        Span::join(&mut self.list, self.grain_ns);
    }

    /// All of them, for a drawing of a session of this length.
    pub fn finish(mut self, session_ns: u64) -> Vec<Span> {
        self.coarsen(session_ns / COLUMNS);
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_spans_merge_and_none_is_left_out() {
        let mut spans = Spans::default();
        for n in 0..1_000_000u64 {
            spans.begin(BootNanos(n * 100));
            spans.end(BootNanos(n * 100 + 10));
            assert!(spans.list.len() < ROOM);
        }
        let list = spans.finish(100_000_000);
        let (first, last) = (list[0].start_ns, list[list.len() - 1].end_ns);
        assert_eq!((first, last), (BootNanos(0), BootNanos(99_999_910)));
        assert!(list.windows(2).all(|pair| pair[0].end_ns < pair[1].start_ns));
    }

    #[test]
    fn what_a_drawing_can_show_stays_apart() {
        let mut spans = Spans::default();
        for (start, end) in [(0, 10), (11, 20), (500_000, 600_000), (1_600_000, 16_000_000)] {
            spans.begin(BootNanos(start));
            spans.end(BootNanos(end));
        }
        let kept = [(0, 20), (500_000, 600_000), (1_600_000, 16_000_000)];
        let span = |(start, end)| Span { start_ns: BootNanos(start), end_ns: BootNanos(end) };
        assert_eq!(spans.finish(16_384_000), kept.map(span));
    }
}
