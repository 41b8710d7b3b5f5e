//! Analysis → report: resolves names, rolls sources up and ranks them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sleepwalk_trace::record;
use sleepwalk_trace::time::BootNanos;

use super::activators::{self, Activator};
use super::candidates;
use super::sources::rank;
use super::{
    By, Clock, Culprit, Device, Hook, Known, Name, Note, Overhead, Report, SCHEMA, Session, Source,
    SourceKind, Sum, UserSpace, Walks,
};
use crate::analyze::{Analysis, findings, ledger};
use crate::session::decode::Model;
use crate::session::held::has_edges;
use crate::session::hooks::hook_state;

/// The report with the `top` most costly sources, or all.
pub fn build(analysis: &Analysis, by: By, top: Option<usize>) -> Report {
    let model = &analysis.model;
    let mut names = Names { model, known: HashMap::new() };
    let mut sources = match by {
        By::Instance => by_instance(analysis, &mut names),
        By::Name => by_name(analysis),
    };
    let sources_left_out =
        rank(&mut sources, top, |s| (&s.sum, (s.kind, s.name.clone(), s.instance, s.irq)));
    let (mut attempts, mut waits) = (analysis.attempts.clone(), analysis.waits.clone());
    for attempt in &mut attempts {
        for cause in &mut attempt.causes {
            cause.name = names.of(cause.instance);
        }
        attempt.irq_name = attempt.irq.and_then(|irq| irq_name(model, irq));
        let Some(wake) = &mut attempt.wake else { continue };
        wake.irq_name = wake.irq.and_then(|irq| irq_name(model, irq));
        if let Some(source) = &mut wake.source {
            source.name = names.of(source.instance);
        }
    }
    for blocker in waits.iter_mut().flat_map(|wait| &mut wait.blockers) {
        blocker.name = names.of(blocker.instance);
    }
    Report {
        schema: SCHEMA,
        session: session(analysis),
        ledger: analysis.ledger,
        attempts,
        waits,
        sources,
        sources_left_out,
        user_space: UserSpace::of(analysis),
        power: analysis.power.clone(),
        overhead: model.overhead.map(|o| Overhead {
            agent_cpu_ns: o.cpu_ns,
            agent_start_cpu_ns: model.started.unwrap_or(o).cpu_ns.min(o.cpu_ns),
            snapshots: Walks {
                count: o.snapshots,
                total_ns: o.snapshots_ns,
                max_ns: o.snapshot_max_ns,
            },
            bytes_written: o.bytes_written,
        }),
        findings: findings::findings(analysis, &by_name(analysis)),
    }
}

/// The names of sources, each in memory once.
struct Names<'a> {
    model: &'a Model,
    known: HashMap<u32, Name>,
}

impl Names<'_> {
    fn of(&mut self, instance: u32) -> Name {
        let name = || Name::new(self.model.name(instance));
        self.known.entry(instance).or_insert_with(name).clone()
    }
}

/// An interrupt's name: its handlers', else its controller's.
fn irq_name(model: &Model, irq: u32) -> Option<String> {
    let known = model.irqs.get(&irq)?;
    let names = [model.text(known.name), model.text(known.chip)];
    let name = names.into_iter().find(|name| !name.is_empty())?;
    Some(String::from_utf8_lossy(name).into_owned())
}

fn session(analysis: &Analysis) -> Session {
    let model = &analysis.model;
    let header = model.session.clone().unwrap_or_default();
    Session {
        start_ns: model.start,
        end_ns: model.end,
        duration_ns: model.duration_ns(),
        start_realtime_ns: model.start_real(),
        clock: model.dated.map(|clocks| Clock { at_ns: clocks.boot, realtime_ns: clocks.real }),
        device: header.device,
        kernel: header.kernel,
        machine: header.machine,
        boot_id: header.boot_id,
        fingerprint: header.fingerprint,
        serial: header.serial,
        agent: header.agent,
        source: header.source,
        notes: notes(model),
        hooks: hooks(model),
        edges: has_edges(model),
        snapshots: model.snapshots,
        records: model.records,
        lost_events: model.lost_events,
        dropped_chunks: model.dropped_chunks,
        truncated_snapshots: model.truncated_snapshots,
        orphaned_snapshots: model.orphaned_snapshots,
        late_snapshots: analysis.late_snapshots,
        torn_states: analysis.torn_states,
        clock_conflict_ns: analysis.clock_conflict_ns,
        damaged_bytes: model.damage.bytes,
        missing_chunks: model.damage.missing_chunks,
        bad_records: model.damage.bad_records,
        unknown_records: model.damage.unknown_records,
        end_reason: model.finish.as_ref().map(|end| end.reason.clone()),
        attempt_counts: analysis.counted,
        complete: model.complete(),
    }
}

fn notes(model: &Model) -> Vec<Note> {
    let note = |note: &record::Note| Note { about: note.about.clone(), text: note.text.clone() };
    model.notes.iter().map(note).collect()
}

fn hooks(model: &Model) -> Vec<Hook> {
    let hooks = model.session.iter().flat_map(|session| &session.hooks);
    let hook = |hook: &record::Hook| Hook {
        what: hook.what.clone().into(),
        how: hook.how.clone(),
        why: hook.why.clone(),
        state: hook_state(model, &hook.what),
        missed: model.hook_runs.iter().find(|run| run.what == hook.what).and_then(|run| run.missed),
    };
    hooks.map(hook).collect()
}

fn by_instance(analysis: &Analysis, names: &mut Names<'_>) -> Vec<Source> {
    let mut addresses = BTreeMap::new();
    let sources = analysis.sources.iter().map(|(&instance, source)| {
        let known = analysis.model.sources.get(&instance);
        let next = addresses.len() as u32;
        Source {
            name: names.of(instance),
            name_cut: known.is_some_and(|def| def.name_cut),
            instance: Some(instance),
            address_id: known.map(|def| *addresses.entry(def.address).or_insert(next)),
            known: Known::of(&names.of(instance)),
            device: Device::of(&analysis.model, instance),
            candidates: candidates::of(&analysis.model, analysis.model.name(instance)),
            activators: activators_of(analysis, instance),
            ..source.clone()
        }
    });
    sources.chain(others(analysis, By::Instance)).collect()
}

/// The activators of a source; `None` where the trace has nothing of that.
fn activators_of(analysis: &Analysis, instance: u32) -> Option<Vec<Activator>> {
    let none = BTreeMap::new();
    let parts = analysis.activators.get(&instance).unwrap_or(&none);
    (!analysis.activators.is_empty()).then(|| activators::of(&analysis.model, parts))
}

/// The interrupts that bear the cost of wakes, those of one name as one, or each; and the devices that
/// failed attempts.
fn others(analysis: &Analysis, by: By) -> impl Iterator<Item = Source> + '_ {
    let (model, attempts) = (&analysis.model, &analysis.attempts);
    let known = analysis.ledger.knows_blocked();
    let key = move |culprit: Culprit<'_>| {
        Some(match culprit {
            Culprit::Source(_) => return None,
            Culprit::Interrupt(irq) => {
                let apart = (by == By::Instance).then_some(irq);
                (SourceKind::Interrupt, handlers(model, irq), apart)
            }
            Culprit::Device(name) => (SourceKind::Device, Name::new(name.as_bytes()), None),
        })
    };
    let costs = ledger::costs_by(attempts, &[], key);
    let mut rows = BTreeMap::<_, (BTreeSet<Culprit<'_>>, BootNanos, BootNanos)>::new();
    for attempt in attempts {
        for culprit in attempt.woken_by().into_iter().chain(attempt.ended_by()) {
            let Some(key) = key(culprit) else { continue };
            let end = attempt.end_ns;
            let (culprits, _, last) = rows.entry(key).or_insert((BTreeSet::new(), end, end));
            culprits.insert(culprit);
            *last = end;
        }
    }
    rows.into_iter().map(move |(key, (culprits, first_ns, last_ns))| {
        let mut sum = costs.get(&key).copied().unwrap_or_default();
        sum.instances = culprits.len() as u64;
        sum.blocked_share_ns = known.then_some(0);
        sum.blocked_sole_ns = known.then_some(0);
        sum.total();
        let irq = match culprits.first() {
            Some(Culprit::Interrupt(irq)) if culprits.len() == 1 => Some(*irq),
            _ => None,
        };
        let (kind, name, _) = key;
        Source { name, kind, irq, first_ns, last_ns, sum, ..Source::default() }
    })
}

/// The names of an interrupt's handlers, else its number.
fn handlers(model: &Model, irq: u32) -> Name {
    let name = model.irqs.get(&irq).map_or(&[][..], |known| model.text(known.name));
    if name.is_empty() { Name::new(format!("irq {irq}").as_bytes()) } else { Name::new(name) }
}

/// All sources by name, with interrupts and devices, ranked. A name's costs are not the sums of its instances': an attempt
/// that two sources of one name aborted is one abort of the name.
pub fn by_name(analysis: &Analysis) -> Vec<Source> {
    let mut sources = BTreeMap::<&[u8], Source>::new();
    for (instance, source) in &analysis.sources {
        let name = analysis.model.name(*instance);
        let name_cut = analysis.model.sources.get(instance).is_some_and(|def| def.name_cut);
        let activators = activators_of(analysis, *instance);
        let name_of = Name::new(name);
        let known = Known::of(&name_of);
        let device = Device::of(&analysis.model, *instance);
        let candidates = candidates::of(&analysis.model, name);
        let one = Source {
            name: name_of,
            device,
            candidates,
            known,
            name_cut,
            activators,
            ..source.clone()
        };
        match sources.get_mut(name) {
            Some(sum) => sum.add(one),
            None => drop(sources.insert(name, one)),
        }
    }
    let costs = analysis.costs_by_name();
    let facts = analysis.names.iter().map(|(id, facts)| (analysis.model.text(*id), facts));
    let facts: BTreeMap<_, _> = facts.collect();
    for (name, source) in &mut sources {
        let Sum { instances, held_ns, held_at_least, activations, events, expiries, .. } =
            source.sum;
        let facts = facts.get(name).copied().copied().unwrap_or_default();
        let cost = costs.get(name).copied().unwrap_or_default();
        let activations = facts.activations.unwrap_or(activations);
        let longest_hold_ns = source.sum.longest_hold_ns;
        source.sum = Sum {
            instances,
            // A source may have got its name only after it had been held.
            held_ns: held_ns.max(facts.held_ns),
            held_at_least,
            longest_hold_ns,
            activations,
            events: events.max(activations),
            expiries,
            ..cost
        };
        if facts.longest.is_some_and(|span| span.end_ns.since(span.start_ns) >= longest_hold_ns) {
            source.set_longest(facts.longest);
        }
    }
    let mut sources = sources.into_values().chain(others(analysis, By::Name)).collect();
    rank(&mut sources, None, |s| (&s.sum, (s.kind, s.name.clone(), s.irq)));
    sources
}
