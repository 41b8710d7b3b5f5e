//! The sums of the counters, the edges and the holds, joined: one result per source and per name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sleepwalk_trace::time::BootNanos;

use super::NameFacts;
use super::active::Blocked;
use super::tally::Tally;
use crate::report::{Source, Sum};
use crate::session::decode::Model;
use crate::session::held::{self, Held, has_edges, has_exact_counters};

/// The facts of each name, by its number.
pub fn names(held: &Held, cost: &Blocked, tally: &Tally) -> BTreeMap<u32, NameFacts> {
    let name = |(place, group): (usize, &held::Group)| {
        let (held_ns, longest) = tally.of_name(place);
        let sole_ns = cost.sole_by_name.get(&group.name).copied().unwrap_or(0);
        let activations = group.activations;
        let facts = NameFacts { sole_ns, held_ns, longest, activations, yields: group.yields };
        (group.name, facts)
    };
    held.groups.iter().enumerate().map(name).collect()
}

/// Adds what edges have to what counters have. Edges show sources that no snapshot has met; counters
/// have activations that edges missed.
pub fn join(
    counted: &mut BTreeMap<u32, Source>,
    sources: &[held::Source],
    model: &Model,
    last_snapshot: Option<BootNanos>,
) {
    for source in sources {
        let (held_ns, activations) = (source.holder.held_ns, source.activations);
        match (counted.entry(source.instance), source.first) {
            (Entry::Occupied(counted), first) => {
                let counted = counted.into_mut();
                counted.sum.held_ns = held_ns;
                counted.sum.held_at_least = source.holder.at_least;
                let Some(first) = first else { continue };
                counted.first_ns = counted.first_ns.min(first);
                counted.last_ns = counted.last_ns.max(source.last);
                if !source.doubtful && has_edges(model) && model.edges > 0 {
                    counted.sum.activations = activations;
                    counted.sum.events = counted.sum.events.max(activations);
                }
            }
            (Entry::Vacant(unseen), Some(first_ns)) => {
                // Each activation is an event; other events are unknown.
                let events = activations;
                unseen.insert(Source {
                    first_ns,
                    last_ns: source.last,
                    born: true,
                    died: last_snapshot.is_some_and(|at| at > source.last),
                    active_at_end: source.active_at_end,
                    sum: Sum { instances: 1, held_ns, activations, events, ..Sum::default() },
                    ..Source::default()
                });
            }
            (Entry::Vacant(_), None) => {}
        }
    }
}

/// How many activations the counters have that no edge showed and nothing counted as lost. The edges
/// of a source with any are not believed.
pub fn unseen(
    counted: &BTreeMap<u32, Source>,
    held: &mut Held,
    model: &Model,
    before_end: Option<&BTreeMap<u32, u64>>,
) -> u64 {
    if !has_edges(model) || !has_exact_counters(model) {
        return 0;
    }
    let mut unseen = 0u64;
    for source in held.sources.iter_mut() {
        let instance = &source.instance;
        let Some(all) = counted.get(instance) else { continue };
        let counted = before_end
            .map_or(all.sum.activations, |before| before.get(instance).copied().unwrap_or(0));
        let group = &mut held.groups[source.group as usize];
        group.counted = group.counted.saturating_add(counted);
        let missing = counted.saturating_sub(source.activations);
        if !source.doubtful && missing > 0 {
            source.doubtful = true;
            group.activations = None;
            unseen = unseen.saturating_add(missing);
        }
    }
    for group in &mut held.groups {
        group.activations = group.activations.filter(|seen| *seen >= group.counted);
    }
    unseen
}
