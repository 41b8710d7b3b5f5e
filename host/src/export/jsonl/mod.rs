//! A trace for scripts: one JSON object a line, in the order of time, with names. Its keys are
//! described in `docs/jsonl.md`: none is renamed or removed under one `schema`.

mod lines;
mod stamps;
mod state;

use std::collections::HashSet;
use std::io::{self, Write};

use sleepwalk_trace::record::{PowerSupply, SuspendStats};
use sleepwalk_trace::time::BootNanos;

use self::lines::{Counter, Line, Who};
use self::stamps::Stamps;
use super::pipe::{self, Pipe};
use super::{ExportError, Sink};
use crate::analyze::Analysis;
use crate::render::json::harmless;
use crate::render::records::reason;
use crate::report::Wait;
use crate::report::{self, Attempt, By, Level, Name};
use crate::session::decode::{Event, Model, View};
use crate::session::slots::Slots;
use crate::session::stretch::{Hold, HoldKind};

/// Names the keys and their meaning.
pub const SCHEMA: &str = "sleepwalk.events/2";

/// Writes the trace in `bytes`, which comes to `analysis`.
pub fn write(bytes: &[u8], analysis: &Analysis, out: impl Write) -> Result<(), ExportError> {
    let report = report::build(analysis, By::Instance, Some(0));
    let mut waits: Vec<_> = analysis.waits.iter().collect();
    waits.sort_by_key(|wait| wait.end_ns);
    pipe::through(out, |pipe| {
        let mut export = Export {
            model: &analysis.model,
            pipe,
            attempts: report.attempts.iter(),
            waits: waits.into_iter(),
            next_end: 0,
            slots: Slots::default(),
            sources: Vec::new(),
            edge_at: Stamps::new("{\"kind\":\"edge\",\"at_ns\":"),
            hold_at: Stamps::new("{\"kind\":\"hold\",\"at_ns\":"),
            source_at: Stamps::new("{\"kind\":\"source\",\"at_ns\":"),
            starts: Stamps::new(",\"start_ns\":"),
            ends: Stamps::new(",\"end_ns\":"),
            hold: Vec::new(),
            activators: HashSet::new(),
        };
        export.line(&Line::Session { schema: SCHEMA, session: &report.session })?;
        super::stream(bytes, export)
    })
}

struct Export<'a> {
    model: &'a Model,
    pipe: Pipe,
    /// Those that have not ended.
    attempts: std::slice::Iter<'a, Attempt>,
    /// Those that have not ended, by their end.
    waits: std::vec::IntoIter<&'a Wait>,
    /// The first end among those, or an earlier stamp.
    next_end: u64,
    /// The places of `sources`.
    slots: Slots,
    sources: Vec<Holding>,
    edge_at: Stamps,
    hold_at: Stamps,
    source_at: Stamps,
    starts: Stamps,
    ends: Stamps,
    /// The start of the lines of all holds that became final at once.
    hold: Vec<u8>,
    /// The activators that have their lines.
    activators: HashSet<u32>,
}

/// A source with an edge or a hold.
struct Holding {
    /// Its keys in a line.
    keys: Box<[u8]>,
    /// The same and the rest of the line, for a deactivation and an activation.
    edges: [Box<[u8]>; 2],
    /// Since when it is held, and whether that is exact.
    since: (u64, bool),
}

impl Sink for Export<'_> {
    fn event(&mut self, at: BootNanos, event: &Event, holds: &[Hold]) -> io::Result<()> {
        if let Event::Edge { source, active, shared, by } = *event {
            self.edge(at.0, source, (active, shared, by))?;
        } else {
            self.rare(at.0, event)?;
        }
        self.holds(at.0, holds)
    }

    fn finish(mut self, holds: &[Hold]) -> io::Result<()> {
        let at_ns = self.model.end.0;
        self.ended(at_ns)?;
        self.holds(at_ns, holds)?;
        self.ended(u64::MAX)?;
        let reason = self.model.finish.as_ref().map(|end| end.reason.as_str());
        self.line(&Line::End { at_ns, reason })?;
        self.pipe.flush()
    }
}

impl Export<'_> {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        let text = serde_json::to_string(line).map_err(io::Error::other)?;
        self.pipe.buffer.extend_from_slice(harmless(&text).as_bytes());
        self.pipe.buffer.push(b'\n');
        self.pipe.flush_full()
    }

    /// Attempts and waits that ended before `at`: each is listed at its end.
    fn ended(&mut self, at: u64) -> io::Result<()> {
        while self.next_end < at {
            let attempt = self.attempts.as_slice().first();
            let wait = self.waits.as_slice().first();
            let ends = (attempt.map(|a| a.end_ns.0), wait.map(|wait| wait.end_ns.0));
            let wait_first =
                ends.1.is_some_and(|wait| ends.0.is_none_or(|attempt| wait <= attempt));
            self.next_end = if wait_first { ends.1 } else { ends.0 }.unwrap_or(u64::MAX);
            if self.next_end >= at {
                break;
            }
            match (attempt, wait) {
                (_, Some(wait)) if wait_first => {
                    let Wait { start_ns, end_ns, thread, idle, .. } = **wait;
                    self.waits.next();
                    let (start_ns, end_ns) = (start_ns.0, end_ns.0);
                    self.line(&Line::Wait { at_ns: end_ns, thread, start_ns, end_ns, idle })?;
                }
                (Some(attempt), _) => {
                    self.attempts.next();
                    self.line(&Line::Attempt { at_ns: attempt.end_ns.0, attempt })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A trace has millions of these lines: serde is too slow for them.
    fn edge(
        &mut self,
        at_ns: u64,
        source: u32,
        (active, shared, by): (bool, bool, Option<u32>),
    ) -> io::Result<()> {
        self.ended(at_ns)?;
        let slot = self.slot(source)?;
        if let Some(by) = by.filter(|by| !self.activators.contains(by)) {
            self.activator(at_ns, by)?;
        }
        let text = &mut self.pipe.buffer;
        self.edge_at.put(text, at_ns);
        let Holding { keys, edges, .. } = &self.sources[slot];
        if shared || by.is_some() {
            text.extend_from_slice(keys);
            text.extend_from_slice(edge_rest(active, shared, by).as_bytes());
        } else {
            text.extend_from_slice(&edges[usize::from(active)]);
        }
        self.pipe.flush_full()
    }

    /// The holds that became final.
    fn holds(&mut self, at_ns: u64, holds: &[Hold]) -> io::Result<()> {
        if holds.is_empty() {
            return Ok(());
        }
        self.hold.clear();
        self.hold_at.put(&mut self.hold, at_ns);
        for hold in holds {
            let slot = self.slot(hold.instance)?;
            let Holding { keys, since, .. } = &mut self.sources[slot];
            match hold.kind {
                HoldKind::Began { .. } => *since = (hold.at.0, hold.exact),
                HoldKind::Ended { .. } => {
                    let text = &mut self.pipe.buffer;
                    text.extend_from_slice(&self.hold);
                    text.extend_from_slice(keys);
                    self.starts.put(text, since.0);
                    self.ends.put(text, hold.at.0);
                    text.extend_from_slice(match since.1 && hold.exact {
                        true => b"}\n",
                        false => b",\"exact\":false}\n",
                    });
                    self.pipe.flush_full()?;
                }
                HoldKind::Appeared | HoldKind::Removed => {}
            }
        }
        Ok(())
    }

    /// The place of a source, which may be new.
    #[inline]
    fn slot(&mut self, instance: u32) -> io::Result<usize> {
        self.slots.get(instance).map_or_else(|| self.add(instance), Ok)
    }

    fn add(&mut self, instance: u32) -> io::Result<usize> {
        let text = serde_json::to_string(&self.who(instance)).map_err(io::Error::other)?;
        let keys = harmless(&text);
        let keys = format!(",{}", keys.trim_start_matches('{').trim_end_matches('}'));
        let edges = [false, true].map(|active| keys.clone() + &edge_rest(active, false, None));
        self.sources.push(Holding {
            keys: keys.into_bytes().into(),
            edges: edges.map(|edge| edge.into_bytes().into()),
            since: (0, false),
        });
        Ok(self.slots.add(instance))
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
            Event::WakeReason(reason) => Line::WakeReason {
                at_ns,
                irq: reason.irq,
                reason: String::from_utf8_lossy(&reason.reason).into_owned(),
                freeze_timeout_ms: reason.freeze_timeout_ms,
            },
            Event::SuspendStats(stats) => self.suspend_stats(at_ns, stats),
            Event::Lost { events } => Line::Lost { at_ns, events: *events },
            Event::Gap | Event::PrologueEnd => Line::Gap { at_ns },
            Event::Edge { .. }
            | Event::WaitBegin { .. }
            | Event::WaitEnd { .. }
            | Event::Waiters { .. }
            | Event::Clocks { .. } => return Ok(()),
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
            let slot = self.slot(*instance)?;
            let text = &mut self.pipe.buffer;
            self.source_at.put(text, at_ns);
            text.extend_from_slice(&self.sources[slot].keys);
            state::put(text, view.now, state);
            self.pipe.flush_full()?;
        }
        for instance in &view.gone {
            let source = self.who(*instance);
            self.line(&Line::Gone { at_ns, source })?;
        }
        Ok(())
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

    fn suspend_stats(&self, at_ns: u64, stats: &SuspendStats) -> Line<'static> {
        let counters = stats.counters.iter();
        let counters = counters.map(|&(name, value)| {
            let name = Name::new(self.model.text(name));
            Counter { name, value }
        });
        Line::SuspendStats {
            at_ns,
            counters: counters.collect(),
            last_device: self.text(stats.last_device),
            last_errno: stats.last_errno,
            last_step: self.text(stats.last_step),
        }
    }

    /// The line of an activator, before the first edge that names it.
    fn activator(&mut self, at_ns: u64, id: u32) -> io::Result<()> {
        self.activators.insert(id);
        let Some(record) = self.model.activators.get(&id) else { return Ok(()) };
        let known = |id| Some(self.text(id)).filter(|text| !text.is_empty());
        let comm = self.model.text(record.comm);
        let comm = Some(Name::new(comm)).filter(|_| !comm.is_empty());
        let line = Line::Activator {
            at_ns,
            id,
            function: known(record.function),
            module: known(record.module),
            level: Level::of(record.level),
            comm,
            process: record.process,
            thread: record.thread,
            uid: record.uid,
            stack: record.frames.clone(),
        };
        self.line(&line)
    }

    fn who(&self, instance: u32) -> Who {
        Who { name: Name::new(self.model.name(instance)), instance }
    }

    fn text(&self, id: u32) -> String {
        String::from_utf8_lossy(self.model.text(id)).into_owned()
    }
}

/// The end of an edge's line. `shared` is seldom true, and is left out else; so is an activator that is not known.
fn edge_rest(active: bool, shared: bool, by: Option<u32>) -> String {
    let shared = if shared { ",\"shared\":true" } else { "" };
    let by = by.map_or_else(String::new, |by| format!(",\"activator\":{by}"));
    format!(",\"active\":{active}{shared}{by}}}\n")
}
