//! The lines that serde writes: those that a trace has by the thousand at most.

use serde::Serialize;

use crate::report::{Attempt, Level, Name, Session};

/// A line; its key `kind` is the variant's name.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line<'a> {
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
    Activator {
        at_ns: u64,
        id: u32,
        function: Option<String>,
        module: Option<String>,
        level: Level,
        comm: Option<Name>,
        process: u32,
        thread: u32,
        uid: u32,
        stack: Vec<String>,
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
    WakeReason {
        at_ns: u64,
        irq: Option<u32>,
        reason: String,
        freeze_timeout_ms: Option<u32>,
    },
    SuspendStats {
        at_ns: u64,
        counters: Vec<Counter>,
        last_device: String,
        last_errno: i32,
        last_step: String,
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
pub struct Who {
    #[serde(flatten)]
    pub name: Name,
    pub instance: u32,
}

/// A counter of `suspend_stats`.
#[derive(Serialize)]
pub struct Counter {
    #[serde(flatten)]
    pub name: Name,
    pub value: u64,
}
