//! A trace for scripts: one JSON object a line, in the order of time, with names. Its keys are
//! described in `docs/jsonl.md`: none is renamed or removed under one `schema`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use sleepwalk_trace::record::{PowerSupply, STATE_AUTOSLEEP};
use sleepwalk_trace::snapshot::SourceState;
use sleepwalk_trace::time::MonoNanos;

use super::ExportError;
use super::order::{Changes, Timed, What, in_order};
use crate::analyze::Analysis;
use crate::render::json::harmless;
use crate::render::records::reason;
use crate::report::{self, Attempt, By, Name, Session};
use crate::session::decode::Model;

/// Names the keys and their meaning.
pub const SCHEMA: &str = "sleepwalk.events/1";

/// Writes the trace in `bytes`, which comes to `analysis`.
pub fn write(bytes: &[u8], analysis: &Analysis, out: impl Write) -> Result<(), ExportError> {
    let report = report::build(analysis, By::Instance, Some(0));
    let mut export = Export {
        model: &analysis.model,
        out,
        attempts: report.attempts.iter(),
        waits: BTreeMap::new(),
    };
    export.line(&Line::Session { schema: SCHEMA, session: &report.session })?;
    in_order(bytes, |event| export.event(event))?;
    export.close()?;
    Ok(())
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
    Edge {
        at_ns: u64,
        #[serde(flatten)]
        source: Who,
        active: bool,
        shared: bool,
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
        start_ns: Option<u64>,
        end_ns: Option<u64>,
        idle: Option<bool>,
    },
    Save {
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
    Supply {
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
    /// Since when threads wait.
    waits: BTreeMap<u32, u64>,
}

impl<W: Write> Export<'_, W> {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        let text = serde_json::to_string(line).map_err(io::Error::other)?;
        writeln!(self.out, "{}", harmless(&text))
    }

    /// Attempts that ended before `at`: each stands at its end.
    fn ended(&mut self, at: u64) -> io::Result<()> {
        while let Some(attempt) = self.attempts.as_slice().first().filter(|a| a.end_ns.0 < at) {
            self.attempts.next();
            self.line(&Line::Attempt { at_ns: attempt.end_ns.0, attempt })?;
        }
        Ok(())
    }

    fn event(&mut self, Timed { at, what }: Timed) -> io::Result<()> {
        let at_ns = at.0;
        self.ended(at_ns)?;
        let line = match what {
            What::Snapshot(changes) => return self.snapshot(at_ns, &changes),
            What::Phase { action, value, begin } => {
                let action = String::from_utf8_lossy(&action).into_owned();
                Line::Phase { at_ns, action, value, begin }
            }
            What::Return { errno } => Line::Return { at_ns, errno },
            What::Edge { source, active, shared } => {
                Line::Edge { at_ns, source: self.who(source), active, shared }
            }
            What::WaitBegin { thread } => {
                let Some(start) = self.waits.insert(thread, at_ns) else { return Ok(()) };
                // Its end was lost.
                let start_ns = Some(start);
                Line::Wait { at_ns, thread, start_ns, end_ns: None, idle: None }
            }
            What::WaitEnd { thread, idle } => {
                let start_ns = self.waits.remove(&thread);
                Line::Wait { at_ns, thread, start_ns, end_ns: Some(at_ns), idle: Some(idle) }
            }
            What::Save { thread, saved } => Line::Save { at_ns, thread, saved },
            What::Wake { irq } => {
                let known = self.model.irqs.get(&irq);
                let name = Name::new(known.map_or(&[], |irq| self.model.text(irq.name)));
                let chip = known.map_or_else(String::new, |irq| self.text(irq.chip));
                Line::Wake { at_ns, irq, name, chip }
            }
            What::Supply(supply) => self.supply(at_ns, &supply),
            What::Lost { events } => Line::Lost { at_ns, events },
            What::Gap => Line::Gap { at_ns },
        };
        self.line(&line)
    }

    fn snapshot(&mut self, at_ns: u64, changes: &Changes) -> io::Result<()> {
        self.line(&Line::Snapshot {
            at_ns,
            mono_ns: changes.now.0,
            reason: reason(changes.reason),
            took_ns: changes.took_ns,
            whole: changes.whole,
            full: changes.full,
            changed: changes.changed.len(),
            gone: changes.gone.len(),
        })?;
        for (instance, state) in &changes.changed {
            let source = self.source(at_ns, changes.now, *instance, state);
            self.line(&Line::Source(Box::new(source)))?;
        }
        for instance in &changes.gone {
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
        Line::Supply {
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

    fn close(mut self) -> io::Result<()> {
        let at_ns = self.model.end.0;
        for (thread, start) in std::mem::take(&mut self.waits) {
            let start_ns = Some(start);
            self.line(&Line::Wait { at_ns, thread, start_ns, end_ns: None, idle: None })?;
        }
        for attempt in std::mem::take(&mut self.attempts) {
            self.line(&Line::Attempt { at_ns: attempt.end_ns.0, attempt })?;
        }
        let reason = self.model.finish.as_ref().map(|end| end.reason.as_str());
        self.line(&Line::End { at_ns, reason })?;
        self.out.flush()
    }

    fn who(&self, instance: u32) -> Who {
        Who { name: Name::new(self.model.name(instance)), instance }
    }

    fn text(&self, id: u32) -> String {
        String::from_utf8_lossy(self.model.text(id)).into_owned()
    }
}
