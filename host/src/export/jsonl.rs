//! A trace for scripts: one JSON object a line, in the order of time, with names. Its keys are
//! described in `docs/jsonl.md`: none is renamed or removed under one `schema`.

use std::io::{self, Write};

use serde::Serialize;
use sleepwalk_trace::record::{PowerSupply, STATE_AUTOSLEEP};
use sleepwalk_trace::snapshot::SourceState;
use sleepwalk_trace::time::{BootNanos, MonoNanos};

use super::{ExportError, Sink};
use crate::analyze::Analysis;
use crate::render::json::harmless;
use crate::render::records::reason;
use crate::report::Wait;
use crate::report::{self, Attempt, By, Name, Session};
use crate::session::decode::{Event, Model, View};
use crate::session::held::Held;
use crate::session::stretch::HoldKind;

/// Lines are written when there is as much of them.
const BUFFER: usize = 1 << 18;

/// Names the keys and their meaning.
pub const SCHEMA: &str = "sleepwalk.events/2";

/// Writes the trace in `bytes`, which comes to `analysis`.
pub fn write(bytes: &[u8], analysis: &Analysis, out: impl Write) -> Result<(), ExportError> {
    let report = report::build(analysis, By::Instance, Some(0));
    let mut waits: Vec<_> = analysis.waits.iter().collect();
    waits.sort_by_key(|wait| wait.end_ns);
    let mut export = Export {
        model: &analysis.model,
        out,
        attempts: report.attempts.iter(),
        waits: waits.into_iter(),
        sources: Vec::new(),
        text: Vec::with_capacity(BUFFER + 4096),
        digits: Digits::default(),
        hold: Vec::new(),
    };
    export.line(&Line::Session { schema: SCHEMA, session: &report.session })?;
    super::stream(bytes, export)
}

/// A line; its key `kind` is the variant's name.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line<'a> {
    Session {
        schema: &'static str,
        #[serde(flatten)]
        session: &'a Session,
    },
    Phase {
        at_ns: u64,
        action: String,
        value: i32,
        begin: bool,
    },
    Return {
        at_ns: u64,
        errno: Option<i32>,
    },
    Attempt {
        at_ns: u64,
        #[serde(flatten)]
        attempt: &'a Attempt,
    },
    Wait {
        at_ns: u64,
        thread: u32,
        start_ns: u64,
        end_ns: u64,
        idle: Option<bool>,
    },
    CountWrite {
        at_ns: u64,
        thread: u32,
        saved: bool,
    },
    Wake {
        at_ns: u64,
        irq: u32,
        #[serde(flatten)]
        name: Name,
        chip: String,
    },
    Snapshot {
        at_ns: u64,
        mono_ns: u64,
        reason: &'static str,
        took_ns: u64,
        whole: bool,
        full: bool,
        changed: usize,
        gone: usize,
    },
    Source(Box<Source>),
    Gone {
        at_ns: u64,
        #[serde(flatten)]
        source: Who,
    },
    PowerSupply {
        at_ns: u64,
        #[serde(flatten)]
        name: Name,
        #[serde(rename = "type")]
        sort: String,
        status: String,
        capacity: Option<i64>,
        charge_uah: Option<i64>,
        current_ua: Option<i64>,
        online: Option<bool>,
    },
    Lost {
        at_ns: u64,
        events: u64,
    },
    Gap {
        at_ns: u64,
    },
    End {
        at_ns: u64,
        reason: Option<&'a str>,
    },
}

/// A wakeup source.
#[derive(Serialize)]
struct Who {
    #[serde(flatten)]
    name: Name,
    instance: u32,
}

/// A source in a snapshot.
#[derive(Serialize)]
struct Source {
    at_ns: u64,
    #[serde(flatten)]
    source: Who,
    active: bool,
    torn: bool,
    autosleep: bool,
    held_ns: u64,
    active_count: u64,
    event_count: u64,
    wakeup_count: u64,
    expire_count: u64,
    relax_count: u64,
    total_ns: u64,
    max_ns: u64,
    last_mono_ns: u64,
    prevent_ns: u64,
}

struct Export<'a, W> {
    model: &'a Model,
    out: W,
    /// Those that have not ended.
    attempts: std::slice::Iter<'a, Attempt>,
    /// Those that have not ended, by their end.
    waits: std::vec::IntoIter<&'a Wait>,
    /// By their places.
    sources: Vec<Holding>,
    /// Lines that are not written yet.
    text: Vec<u8>,
    digits: Digits,
    /// The start of the lines of all holds that became final at once.
    hold: Vec<u8>,
}

/// A source with an edge or a hold.
#[derive(Default)]
struct Holding {
    /// Its keys in a line.
    keys: Box<[u8]>,
    /// The same and the rest of the line, for a deactivation and an activation.
    edges: [Box<[u8]>; 2],
    /// Since when it is held, and whether that is exact.
    since: (u64, bool),
}

impl<W: Write> Sink for Export<'_, W> {
    fn event(&mut self, at: BootNanos, event: &Event, held: &mut Held) -> io::Result<()> {
        if let Event::Edge { source, active, shared } = *event {
            let slot = held.place(source).unwrap_or_default();
            self.edge(at.0, (slot, source), active, shared)?;
        } else {
            self.rare(at.0, event)?;
        }
        self.holds(at.0, held)
    }

    fn finish(mut self, held: &mut Held) -> io::Result<()> {
        let at_ns = self.model.end.0;
        self.ended(at_ns)?;
        self.holds(at_ns, held)?;
        self.ended(u64::MAX)?;
        let reason = self.model.finish.as_ref().map(|end| end.reason.as_str());
        self.line(&Line::End { at_ns, reason })?;
        self.flush()?;
        self.out.flush()
    }
}

impl<W: Write> Export<'_, W> {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        let text = serde_json::to_string(line).map_err(io::Error::other)?;
        self.text.extend_from_slice(harmless(&text).as_bytes());
        self.text.push(b'\n');
        self.flush_full()
    }

    fn flush_full(&mut self) -> io::Result<()> {
        if self.text.len() < BUFFER { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.text)?;
        self.text.clear();
        Ok(())
    }

    /// Attempts and waits that ended before `at`: each stands at its end.
    fn ended(&mut self, at: u64) -> io::Result<()> {
        loop {
            let attempt = self.attempts.as_slice().first().filter(|a| a.end_ns.0 < at);
            let wait = self.waits.as_slice().first().filter(|wait| wait.end_ns.0 < at);
            match (attempt, wait) {
                (Some(attempt), wait) if wait.is_none_or(|wait| attempt.end_ns < wait.end_ns) => {
                    self.attempts.next();
                    self.line(&Line::Attempt { at_ns: attempt.end_ns.0, attempt })?;
                }
                (_, Some(wait)) => {
                    let Wait { start_ns, end_ns, thread, idle, .. } = **wait;
                    self.waits.next();
                    let (start_ns, end_ns) = (start_ns.0, end_ns.0);
                    self.line(&Line::Wait { at_ns: end_ns, thread, start_ns, end_ns, idle })?;
                }
                _ => return Ok(()),
            }
        }
    }

    /// A trace has millions of these lines: serde is too slow for them.
    fn edge(
        &mut self,
        at_ns: u64,
        source: (usize, u32),
        active: bool,
        shared: bool,
    ) -> io::Result<()> {
        self.ended(at_ns)?;
        self.source_keys(source)?;
        self.text.extend_from_slice(b"{\"kind\":\"edge\",\"at_ns\":");
        self.digits.put(&mut self.text, at_ns);
        let Holding { keys, edges, .. } = &self.sources[source.0];
        if shared {
            self.text.extend_from_slice(keys);
            self.text.extend_from_slice(edge_rest(active, true).as_bytes());
        } else {
            self.text.extend_from_slice(&edges[usize::from(active)]);
        }
        self.flush_full()
    }

    /// The holds that became final.
    fn holds(&mut self, at_ns: u64, held: &mut Held) -> io::Result<()> {
        if held.holds().is_empty() {
            return Ok(());
        }
        self.hold.clear();
        self.hold.extend_from_slice(b"{\"kind\":\"hold\",\"at_ns\":");
        self.digits.put(&mut self.hold, at_ns);
        for hold in held.holds().iter() {
            let slot = hold.slot as usize;
            self.source_keys((slot, hold.instance))?;
            let Holding { keys, since, .. } = &mut self.sources[slot];
            match hold.kind {
                HoldKind::Began { .. } => *since = (hold.at.0, hold.exact),
                HoldKind::Ended { .. } => {
                    self.text.extend_from_slice(&self.hold);
                    self.text.extend_from_slice(keys);
                    self.text.extend_from_slice(b",\"start_ns\":");
                    self.digits.put(&mut self.text, since.0);
                    self.text.extend_from_slice(b",\"end_ns\":");
                    self.digits.put(&mut self.text, hold.at.0);
                    self.text.extend_from_slice(match since.1 && hold.exact {
                        true => b"}\n",
                        false => b",\"exact\":false}\n",
                    });
                    self.flush_full()?;
                }
                HoldKind::Appeared | HoldKind::Removed => {}
            }
        }
        held.holds().clear();
        Ok(())
    }

    fn source_keys(&mut self, (slot, instance): (usize, u32)) -> io::Result<()> {
        if self.sources.len() <= slot {
            self.sources.resize_with(slot + 1, Holding::default);
        }
        if self.sources[slot].keys.is_empty() {
            let text = serde_json::to_string(&self.who(instance)).map_err(io::Error::other)?;
            let keys = harmless(&text);
            let keys = format!(",{}", keys.trim_start_matches('{').trim_end_matches('}'));
            let edges = [false, true].map(|active| keys.clone() + &edge_rest(active, false));
            self.sources[slot].edges = edges.map(|edge| edge.into_bytes().into());
            self.sources[slot].keys = keys.into_bytes().into();
        }
        Ok(())
    }

    fn rare(&mut self, at_ns: u64, event: &Event) -> io::Result<()> {
        self.ended(at_ns)?;
        let line = match event {
            Event::Snapshot(view) => return self.snapshot(at_ns, view),
            Event::Phase { action, value, begin } => {
                let action = self.text(*action);
                Line::Phase { at_ns, action, value: *value, begin: *begin }
            }
            Event::Return { errno } => Line::Return { at_ns, errno: *errno },
            Event::CountWrite { thread, saved } => {
                Line::CountWrite { at_ns, thread: *thread, saved: *saved }
            }
            Event::Wake { irq } => {
                let known = self.model.irqs.get(irq);
                let name = Name::new(known.map_or(&[], |irq| self.model.text(irq.name)));
                let chip = known.map_or_else(String::new, |irq| self.text(irq.chip));
                Line::Wake { at_ns, irq: *irq, name, chip }
            }
            Event::PowerSupply(supply) => self.supply(at_ns, supply),
            Event::Lost { events } => Line::Lost { at_ns, events: *events },
            Event::Gap | Event::PrologueEnd => Line::Gap { at_ns },
            Event::Edge { .. } | Event::WaitBegin { .. } | Event::WaitEnd { .. } => return Ok(()),
        };
        self.line(&line)
    }

    fn snapshot(&mut self, at_ns: u64, view: &View) -> io::Result<()> {
        self.line(&Line::Snapshot {
            at_ns,
            mono_ns: view.now.0,
            reason: reason(view.reason),
            took_ns: view.took_ns,
            whole: view.whole,
            full: view.full,
            changed: view.states.len(),
            gone: view.gone.len(),
        })?;
        for (instance, state) in &view.states {
            let source = self.source(at_ns, view.now, *instance, state);
            self.line(&Line::Source(Box::new(source)))?;
        }
        for instance in &view.gone {
            let source = self.who(*instance);
            self.line(&Line::Gone { at_ns, source })?;
        }
        Ok(())
    }

    fn source(&self, at_ns: u64, now: MonoNanos, instance: u32, state: &SourceState) -> Source {
        let counters = &state.counters;
        Source {
            at_ns,
            source: self.who(instance),
            active: state.active(),
            torn: state.torn(),
            autosleep: state.state & STATE_AUTOSLEEP != 0,
            held_ns: state.held_ns(now),
            active_count: counters.active_count,
            event_count: counters.event_count,
            wakeup_count: counters.wakeup_count,
            expire_count: counters.expire_count,
            relax_count: counters.relax_count,
            total_ns: counters.total_ns,
            max_ns: counters.max_ns,
            last_mono_ns: counters.last_ns,
            prevent_ns: counters.prevent_ns,
        }
    }

    fn supply(&self, at_ns: u64, supply: &PowerSupply) -> Line<'static> {
        Line::PowerSupply {
            at_ns,
            name: Name::new(self.model.text(supply.name)),
            sort: self.text(supply.kind),
            status: self.text(supply.status),
            capacity: supply.capacity,
            charge_uah: supply.charge_uah,
            current_ua: supply.current_ua,
            online: supply.online.map(|online| online != 0),
        }
    }

    fn who(&self, instance: u32) -> Who {
        Who { name: Name::new(self.model.name(instance)), instance }
    }

    fn text(&self, id: u32) -> String {
        String::from_utf8_lossy(self.model.text(id)).into_owned()
    }
}

/// The end of an edge's line.
fn edge_rest(active: bool, shared: bool) -> String {
    format!(",\"active\":{active},\"shared\":{shared}}}\n")
}

/// Most stamps in a row are equal when divided by this.
const LOW: u64 = 100_000_000;

/// Writes stamps, of which most share their first digits with the one before.
#[derive(Default)]
struct Digits {
    high: u64,
    text: Vec<u8>,
}

impl Digits {
    fn put(&mut self, out: &mut Vec<u8>, number: u64) {
        let (high, low) = (number / LOW, number % LOW);
        let mut buffer = itoa::Buffer::new();
        if high == 0 {
            return out.extend_from_slice(buffer.format(low).as_bytes());
        }
        if high != self.high || self.text.is_empty() {
            self.high = high;
            self.text.clear();
            self.text.extend_from_slice(buffer.format(high).as_bytes());
        }
        out.extend_from_slice(&self.text);
        // With its zeros in front.
        out.extend_from_slice(&buffer.format((LOW + low) as u32).as_bytes()[1..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_the_number() {
        let mut digits = Digits::default();
        for number in [0, 7, LOW - 1, LOW, LOW + 1, 5_001_000_000_000, 5_001_000_000_001, u64::MAX]
        {
            let mut out = Vec::new();
            digits.put(&mut out, number);
            assert_eq!(String::from_utf8_lossy(&out), number.to_string());
        }
    }
}
