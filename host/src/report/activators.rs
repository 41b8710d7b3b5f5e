//! The activators of a source: functions, threads and interrupts.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;
use sleepwalk_trace::record::{
    Activator as Record, LEVEL_HARD_IRQ, LEVEL_NMI, LEVEL_SOFT_IRQ, LEVEL_THREAD,
};

use super::Name;
use crate::analyze::activators::Part;
use crate::session::decode::Model;

/// The threads of the kernel's work queues are many, and any of them may run any work.
const WORKER: &[u8] = b"kworker/";

/// The kind of context in which an activation ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// A thread.
    Thread,
    /// A soft interrupt.
    Softirq,
    /// An interrupt.
    Hardirq,
    /// An interrupt that cannot be masked.
    Nmi,
    /// One of these.
    #[default]
    Unknown,
}

displays_key!(Level);

impl Level {
    /// By one of the trace's `LEVEL_*` values.
    pub fn of(level: u8) -> Self {
        match level {
            LEVEL_THREAD => Self::Thread,
            LEVEL_SOFT_IRQ => Self::Softirq,
            LEVEL_HARD_IRQ => Self::Hardirq,
            LEVEL_NMI => Self::Nmi,
            _ => Self::Unknown,
        }
    }
}

/// Something that activated a source, and the part of the source's activity that it caused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Activator {
    /// The function that called the core of wakeup sources; null where it is not known.
    pub function: Option<String>,
    /// The module that has the function; null for the kernel itself.
    pub module: Option<String>,
    /// The context.
    pub level: Level,
    /// The thread's name; null in an interrupt.
    pub comm: Option<Name>,
    /// The process' id; null in an interrupt, and for the workers of several threads.
    pub process: Option<u32>,
    /// The thread's id, likewise; null also where several threads of the process did it.
    pub thread: Option<u32>,
    /// The process' user; null in an interrupt.
    pub uid: Option<u32>,
    /// Activations.
    pub activations: u64,
    /// Time held, in the holds that they began.
    pub held_ns: u64,
    /// The stacks that the trace has of it, each with the innermost function first.
    pub stacks: Vec<Vec<String>>,
}

impl Activator {
    fn new(model: &Model, record: Option<&Record>, part: Part) -> Self {
        let Part { activations, held_ns } = part;
        let Some(record) = record else {
            return Self { activations, held_ns, ..Self::default() };
        };
        let text = |id| {
            let text = String::from_utf8_lossy(model.text(id)).into_owned();
            Some(text).filter(|text| !text.is_empty())
        };
        let level = Level::of(record.level);
        let has_thread = matches!(level, Level::Thread | Level::Unknown);
        let comm = model.text(record.comm);
        let function = text(record.function);
        let worker = function.is_some() && comm.starts_with(WORKER);
        let comm = if worker { &WORKER[..WORKER.len() - 1] } else { comm };
        Self {
            function,
            module: text(record.module),
            level,
            comm: has_thread.then(|| Name::new(comm)),
            process: Some(record.process).filter(|_| has_thread && !worker),
            thread: Some(record.thread).filter(|_| has_thread && !worker),
            uid: Some(record.uid).filter(|_| has_thread),
            activations,
            held_ns,
            stacks: Some(record.frames.clone()).filter(|f| !f.is_empty()).into_iter().collect(),
        }
    }

    /// Whether both are one in a report: the same function in the same process or interrupt.
    fn same(&self, other: &Self) -> bool {
        let key = |one: &Self| {
            (
                one.level,
                one.function.clone(),
                one.module.clone(),
                one.comm.clone(),
                one.process,
                one.uid,
            )
        };
        key(self) == key(other)
    }

    fn add(&mut self, more: Self) {
        self.activations = self.activations.saturating_add(more.activations);
        self.held_ns = self.held_ns.saturating_add(more.held_ns);
        self.thread = self.thread.filter(|thread| more.thread == Some(*thread));
        for stack in more.stacks {
            if !self.stacks.contains(&stack) {
                self.stacks.push(stack);
            }
        }
    }
}

/// The activators of one source, those that held it longest first.
pub fn of(model: &Model, parts: &BTreeMap<Option<u32>, Part>) -> Vec<Activator> {
    let mut all = Vec::new();
    for (id, part) in parts {
        let record = id.and_then(|id| model.activators.get(&id));
        add(&mut all, Activator::new(model, record, *part));
    }
    sort(&mut all);
    all
}

/// Those of several sources as of one.
pub fn merge(all: &mut Vec<Activator>, more: Vec<Activator>) {
    more.into_iter().for_each(|one| add(all, one));
    sort(all);
}

fn add(all: &mut Vec<Activator>, one: Activator) {
    match all.iter_mut().find(|other| other.same(&one)) {
        Some(same) => same.add(one),
        None => all.push(one),
    }
}

fn sort(all: &mut [Activator]) {
    all.sort_by_key(|one| (Reverse((one.held_ns, one.activations)), one.function.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        let strings = [
            (1, "ep_poll_callback"),
            (2, ""),
            (3, "cnss-daemon"),
            (4, "kworker/0:1"),
            (5, "kworker/u9:2"),
            (6, "wlan"),
        ];
        let strings = strings.map(|(id, text)| (id, text.as_bytes().to_vec()));
        let record = |id, module, level, process, comm| {
            let frames = vec![format!("f+{id}")];
            Record { id, function: 1, module, level, process, thread: id, uid: 7, comm, frames }
        };
        let records = [
            record(10, 2, LEVEL_THREAD, 812, 3),
            record(11, 2, LEVEL_THREAD, 812, 3),
            record(12, 6, LEVEL_THREAD, 40, 4),
            record(13, 6, LEVEL_THREAD, 41, 5),
            record(14, 2, LEVEL_HARD_IRQ, 0, 2),
        ];
        let activators = records.into_iter().map(|record| (record.id, record)).collect();
        let mut model = Model::default();
        (model.strings, model.activators) = (strings.into(), activators);
        model
    }

    #[test]
    fn threads_of_a_process_and_workers_are_one() {
        let part = |activations, held_ns| Part { activations, held_ns };
        let parts = [10, 11, 12, 13, 14].map(|id| (Some(id), part(1, u64::from(id))));
        let parts = parts.into_iter().chain([(None, part(2, 0)), (Some(99), part(1, 0))]).collect();
        let all = of(&model(), &parts);
        let rows: Vec<_> = all
            .iter()
            .map(|a| {
                let comm = a.comm.as_ref().map(|comm| comm.text().into_owned());
                (a.held_ns, a.activations, comm, a.process, a.thread, a.stacks.len())
            })
            .collect();
        let comm = |text: &str| Some(text.to_owned());
        assert_eq!(
            rows,
            [
                (25, 2, comm("kworker"), None, None, 2),
                (21, 2, comm("cnss-daemon"), Some(812), None, 2),
                (14, 1, None, None, None, 1),
                // Neither the activator that the trace lacks nor the one without context is guessed.
                (0, 3, None, None, None, 0),
            ]
        );
        assert_eq!(all[0].module.as_deref(), Some("wlan"));
        assert_eq!((all[3].function.as_ref(), all[3].level), (None, Level::Unknown));
    }
}
