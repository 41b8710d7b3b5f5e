//! `dump`: the records of a trace, one JSON object a line, in the order of the file.
//!
//! Lines of the kinds `chunk` (with the clocks at its commit) and `gap` mark chunks and missing ones.
//! A snapshot lists the absolute values of the sources that changed; `changed` is null if the snapshot
//! that its differences refer to is lost.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};
use sleepwalk_trace::read::{Damage, Item, Reader};
use sleepwalk_trace::record::{
    Activator, DUMP_CUT, DUMP_FAILED, DUMP_GOES_ON, DUMP_TIMED_OUT, DUMP_WHOLE, EDGE_ACTIVE,
    EDGE_SHARED, EpollWaiter, Hook, HookRun, Overhead, Reason, Record, STATE_AUTOSLEEP,
    ServiceDump, Session, Snapshot, SourceDevice, Stamped, Waiters,
};
use sleepwalk_trace::snapshot::{DeltaDecoder, SourceState};

use super::json::harmless;
use crate::report::{Level, hex};
use crate::session::decode::Unreadable;

/// Writes every record of the trace in `bytes` to `out`. Returns the damage that was skipped, or why the
/// trace is unreadable.
pub fn write(bytes: &[u8], out: &mut impl Write) -> Result<Result<Damage, Unreadable>, io::Error> {
    let mut reader = match Reader::open(bytes) {
        Ok(reader) => reader,
        Err(error) => return Ok(Err(error.into())),
    };
    let mut state = State::default();
    let mut records = 0u64;
    for item in reader.by_ref() {
        let line = match item {
            Item::Chunk(header) => json!({
                "kind": "chunk",
                "sequence": header.sequence,
                "boot_ns": header.clocks.boot.0,
                "suspended_ns": header.clocks.suspended_ns,
                "realtime_ns": header.clocks.real.0,
            }),
            Item::Gap => {
                state.deltas.forget();
                json!({"kind": "gap"})
            }
            Item::Record(stamped) => {
                records += 1;
                state.line(&stamped)
            }
        };
        writeln!(out, "{}", harmless(&line.to_string()))?;
    }
    let damage = reader.damage();
    Ok(if records == 0 { Err(Unreadable::NoRecords(damage.bytes)) } else { Ok(damage) })
}

#[derive(Default)]
struct State {
    deltas: DeltaDecoder,
    strings: BTreeMap<u32, Vec<u8>>,
}

fn overhead(o: &Overhead) -> Value {
    json!({
        "cpu_ns": o.cpu_ns, "snapshots": o.snapshots, "snapshots_ns": o.snapshots_ns,
        "snapshot_max_ns": o.snapshot_max_ns, "bytes_written": o.bytes_written,
    })
}

impl State {
    fn line(&mut self, stamped: &Stamped) -> Value {
        let mut line = Map::new();
        let (kind, body) = match &stamped.record {
            Record::Session(s) => ("session", session(s)),
            Record::String(string) => {
                self.strings.insert(string.id, string.bytes.clone());
                ("string", with_bytes(json!({"id": string.id}), "text", &string.bytes))
            }
            Record::Source(s) => {
                let body = json!({
                    "instance": s.instance, "name_id": s.name, "name_cut": s.name_cut,
                    "id": s.id, "address": s.address, "name_pointer": s.name_pointer,
                });
                ("source", self.with_string(body, "name", s.name))
            }
            Record::Snapshot(snapshot) => ("snapshot", self.snapshot(stamped, snapshot)),
            Record::Phase(p) => {
                let body = json!({"value": p.value, "begin": p.begin});
                ("phase", self.with_string(body, "action", p.action))
            }
            Record::Return(r) => ("return", json!({"errno": r.errno})),
            Record::Lost(lost) => ("lost", json!({"events": lost.events})),
            Record::Overhead(o) => ("overhead", overhead(o)),
            Record::End(end) => ("end", json!({"reason": end.reason})),
            Record::Edge(e) => (
                "edge",
                json!({
                    "instance": e.source, "active": e.flags & EDGE_ACTIVE != 0,
                    "shared": e.flags & EDGE_SHARED != 0, "state": e.state,
                }),
            ),
            Record::WaitBegin(w) => ("wait_begin", json!({"thread": w.thread})),
            Record::WaitEnd(w) => ("wait_end", json!({"thread": w.thread, "idle": w.idle})),
            Record::CountWrite(s) => ("count_write", json!({"thread": s.thread, "saved": s.saved})),
            Record::Irq(irq) => {
                let body = self.with_string(json!({"number": irq.number}), "name", irq.name);
                ("irq", self.with_string(body, "chip", irq.chip))
            }
            Record::Wake(wake) => ("wake", json!({"irq": wake.irq})),
            Record::PowerSupply(s) => {
                let body = json!({
                    "capacity": s.capacity, "charge_uah": s.charge_uah,
                    "current_ua": s.current_ua, "online": s.online,
                });
                let body = self.with_string(body, "name", s.name);
                let body = self.with_string(body, "type", s.kind);
                ("power_supply", self.with_string(body, "status", s.status))
            }
            Record::Waiters(w) => ("waiters", waiters(w)),
            Record::WakeReason(w) => {
                let body = json!({"irq": w.irq, "freeze_timeout_ms": w.freeze_timeout_ms});
                ("wake_reason", with_bytes(body, "reason", &w.reason))
            }
            Record::Note(note) => ("note", json!({"about": note.about, "text": note.text})),
            Record::Activator(a) => ("activator", self.activator(a)),
            Record::ActivatedBy(a) => {
                ("activated_by", json!({"instance": a.source, "activator": a.activator}))
            }
            Record::ServiceDump(d) => ("service_dump", service_dump(d)),
            Record::EpollWaiter(w) => ("epoll_waiter", self.epoll_waiter(w)),
            Record::SourceDevice(d) => ("source_device", self.device(d)),
            Record::HookRuns(r) => ("hook_runs", json!({"hooks": runs(&r.hooks)})),
            Record::SuspendStats(stats) => {
                let counters = stats
                    .counters
                    .iter()
                    .map(|(name, value)| self.with_string(json!({"value": value}), "name", *name));
                let body = json!({
                    "counters": counters.collect::<Vec<_>>(), "last_errno": stats.last_errno,
                });
                let body = self.with_string(body, "last_device", stats.last_device);
                ("suspend_stats", self.with_string(body, "last_step", stats.last_step))
            }
        };
        line.insert("kind".to_owned(), kind.into());
        line.insert("at_ns".to_owned(), stamped.at.0.into());
        if let Value::Object(body) = body {
            line.extend(body);
        }
        Value::Object(line)
    }

    fn epoll_waiter(&self, w: &EpollWaiter) -> Value {
        let body = self.with_string(json!({"process": w.process, "uid": w.uid}), "name", w.name);
        self.with_string(body, "comm", w.comm)
    }

    fn device(&self, d: &SourceDevice) -> Value {
        let body = self.with_string(json!({"instance": d.source, "irq": d.irq}), "path", d.path);
        let body = self.with_string(body, "driver", d.driver);
        self.with_string(body, "compatible", d.compatible)
    }

    fn activator(&self, a: &Activator) -> Value {
        let body = json!({
            "id": a.id, "level": Level::of(a.level), "process": a.process, "thread": a.thread,
            "uid": a.uid, "frames": a.frames,
        });
        let body = self.with_string(body, "function", a.function);
        let body = self.with_string(body, "module", a.module);
        self.with_string(body, "comm", a.comm)
    }

    fn with_string(&self, body: Value, key: &str, id: u32) -> Value {
        match self.strings.get(&id) {
            Some(bytes) => with_bytes(body, key, bytes),
            None => with(body, key, Value::Null),
        }
    }

    fn snapshot(&mut self, stamped: &Stamped, snapshot: &Snapshot) -> Value {
        let states = self.deltas.apply(stamped.at, snapshot).ok();
        let changed = states.map(|states| {
            let changed = snapshot.changed.iter();
            let known = changed.filter_map(|delta| {
                let state = states.get(&delta.instance)?;
                Some(source_state(delta.instance, state))
            });
            known.collect::<Vec<_>>()
        });
        json!({
            "reason": reason(snapshot.reason), "mono_ns": snapshot.mono.0, "took_ns": snapshot.took_ns,
            "seen": snapshot.seen, "stored": snapshot.stored, "broken": snapshot.broken,
            "late": snapshot.late, "full": snapshot.full, "changed": changed, "gone": snapshot.gone,
        })
    }
}

fn waiters(w: &Waiters) -> Value {
    let Waiters { how, why, took_ns, seen, threads } = w;
    json!({"how": how, "why": why, "took_ns": took_ns, "seen": seen, "threads": threads})
}

fn session(s: &Session) -> Value {
    json!({
        "agent": s.agent, "device": s.device, "kernel": s.kernel, "machine": s.machine,
        "page_size": s.page_size, "boot_id": s.boot_id, "fingerprint": s.fingerprint,
        "serial": s.serial, "source": s.source, "hooks": hooks(&s.hooks),
        "interval_ns": s.interval_ns, "edges": s.edges,
    })
}

fn hooks(hooks: &[Hook]) -> Value {
    hooks.iter().map(|h| json!({"what": h.what, "how": h.how, "why": h.why})).collect()
}

fn runs(hooks: &[HookRun]) -> Value {
    hooks.iter().map(|h| json!({"what": h.what, "runs": h.runs, "missed": h.missed})).collect()
}

fn source_state(instance: u32, state: &SourceState) -> Value {
    let c = &state.counters;
    json!({
        "instance": instance, "active": state.active(), "torn": state.torn(),
        "autosleep": state.state & STATE_AUTOSLEEP != 0,
        "active_count": c.active_count, "event_count": c.event_count,
        "wakeup_count": c.wakeup_count, "expire_count": c.expire_count,
        "relax_count": c.relax_count, "total_ns": c.total_ns, "max_ns": c.max_ns,
        "last_ns": c.last_ns, "start_prevent_ns": c.start_prevent_ns, "prevent_ns": c.prevent_ns,
    })
}

/// Bytes as text, and in hex too if they are not UTF-8, so that no byte is lost.
fn service_dump(d: &ServiceDump) -> Value {
    let status = match d.status {
        DUMP_GOES_ON => "goes_on",
        DUMP_WHOLE => "whole",
        DUMP_CUT => "cut",
        DUMP_TIMED_OUT => "timed_out",
        DUMP_FAILED => "failed",
        _ => "unknown",
    };
    json!({
        "dump": d.dump, "service": d.service, "status": status, "took_ns": d.took_ns,
        "bytes_hex": hex(&d.bytes),
    })
}

fn with_bytes(body: Value, key: &str, bytes: &[u8]) -> Value {
    let body = with(body, key, String::from_utf8_lossy(bytes).into());
    match std::str::from_utf8(bytes) {
        Ok(_) => body,
        Err(_) => with(body, &format!("{key}_hex"), hex(bytes).into()),
    }
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    if let Value::Object(body) = &mut body {
        body.insert(key.to_owned(), value);
    }
    body
}

/// The name of a snapshot's reason.
pub fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Start => "start",
        Reason::Tick => "tick",
        Reason::AttemptBegin => "attempt_begin",
        Reason::AttemptEnd => "attempt_end",
        Reason::End => "end",
        Reason::Lost => "lost",
    }
}
