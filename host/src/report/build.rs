//! Analysis → report: resolves names, rolls sources up and ranks them.

use std::collections::{BTreeMap, HashMap};

use super::sources::rank;
use super::{By, Clock, Name, Overhead, Report, SCHEMA, Session, Source, Sum, Walks};
use crate::analyze::{Analysis, findings};
use crate::session::decode::Model;

/// The report with the `top` most costly sources, or all.
pub fn build(analysis: &Analysis, by: By, top: Option<usize>) -> Report {
    let model = &analysis.model;
    let mut names = Names { model, known: HashMap::new() };
    let mut sources = match by {
        By::Instance => by_instance(analysis, &mut names),
        By::Name => by_name(analysis),
    };
    let sources_left_out = rank(&mut sources, top, |s| (&s.sum, (s.name.clone(), s.instance)));
    let (mut attempts, mut waits) = (analysis.attempts.clone(), analysis.waits.clone());
    for attempt in &mut attempts {
        for cause in &mut attempt.causes {
            cause.name = names.of(cause.instance);
        }
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
        findings: findings::findings(analysis),
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
        hooks: header.hooks.into_iter().map(Into::into).collect(),
        edges: header.edges,
        snapshots: model.snapshots,
        records: model.records,
        lost_events: model.lost_events,
        dropped_chunks: model.dropped_chunks,
        truncated_snapshots: model.truncated_snapshots,
        orphaned_snapshots: model.orphaned_snapshots,
        late_snapshots: analysis.late_snapshots,
        torn_states: analysis.torn_states,
        damaged_bytes: model.damage.bytes,
        missing_chunks: model.damage.missing_chunks,
        bad_records: model.damage.bad_records,
        unknown_records: model.damage.unknown_records,
        end_reason: model.finish.as_ref().map(|end| end.reason.clone()),
        complete: model.complete(),
    }
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
            ..source.clone()
        }
    });
    sources.collect()
}

/// All sources by name, ranked. A name's costs are not the sums of its instances': an attempt
/// that two sources of one name aborted is one abort of the name.
pub fn by_name(analysis: &Analysis) -> Vec<Source> {
    let mut sources = BTreeMap::<&[u8], Source>::new();
    for (instance, source) in &analysis.sources {
        let name = analysis.model.name(*instance);
        let name_cut = analysis.model.sources.get(instance).is_some_and(|def| def.name_cut);
        let one = Source { name: Name::new(name), name_cut, ..source.clone() };
        match sources.get_mut(name) {
            Some(sum) => sum.add(one),
            None => drop(sources.insert(name, one)),
        }
    }
    let costs = analysis.costs_by_name();
    for (name, source) in &mut sources {
        let Sum { instances, held_ns, held_at_least, activations, events, expiries, .. } =
            source.sum;
        let cost = costs.get(name).copied().unwrap_or_default();
        source.sum =
            Sum { instances, held_ns, held_at_least, activations, events, expiries, ..cost };
    }
    let mut sources = sources.into_values().collect();
    rank(&mut sources, None, |s| (&s.sum, s.name.clone()));
    sources
}
