//! The source that ended each sleep.
//!
//! The interrupt is a fact (`pm_system_irq_wakeup`); which source it led to is not in the trace. The handlers
//! of interrupts that were off in the sleep run when `dpm_resume_noirq` turns them on again
//! (`resume_device_irqs`, `kernel/irq/pm.c`), threaded ones soon after. From `dpm_resume` on devices activate
//! sources as they resume, whatever woke the machine. So a source is proven if it is tied to the interrupt,
//! or if it was activated before `dpm_resume` and no other was before it. See `docs/decisions/0040`.

use std::collections::{BTreeMap, BTreeSet};

use super::attempts::Activated;
use crate::report::{Attempt, Cause, Evidence, Tie, Wake};
use crate::session::decode::Model;

/// The least number of wakes from which a pair is learnt, and of wakes by other interrupts beside them.
const LEARNT: u64 = 3;

/// The kernel appends this to the device's name for a dedicated wake interrupt
/// (`dev_pm_set_dedicated_wake_irq`, `drivers/base/power/wakeirq.c`).
const DEDICATED: &[u8] = b":wakeup";

/// The candidates for every attempt.
#[derive(Debug, Default)]
pub struct Wakes {
    attempts: Vec<Activations>,
}

/// The activations on an attempt's way back.
#[derive(Debug, Default)]
struct Activations {
    list: Vec<Activated>,
    /// No edge is missing.
    known: bool,
}

impl Wakes {
    /// An attempt ended, whether it slept or not. `known`: no edge is missing.
    pub fn ended(&mut self, list: Vec<Activated>, known: bool) {
        self.attempts.push(Activations { list, known });
    }

    /// The trace is over: names the source of each wake. Where edges show none, that of the counters stays.
    /// `yields`: a source that takes no blame from others.
    pub fn finish(self, model: &Model, attempts: &mut [Attempt], yields: impl Fn(u32) -> bool) {
        let candidates: Vec<_> = attempts
            .iter()
            .zip(self.attempts)
            .map(|(attempt, activations)| {
                let wake = attempt.wake.as_ref()?;
                Some((wake.irq, Candidates::new(wake, activations, &yields)))
            })
            .collect();
        let ties = Ties::new(model, candidates.iter().flatten());
        for (attempt, candidates) in attempts.iter_mut().zip(candidates) {
            if let (Some(wake), Some((irq, candidates))) = (&mut attempt.wake, candidates) {
                let (cause, tie) = candidates.choose(irq, model, &ties);
                *wake = Wake { tie, ..Wake::new(irq, cause) };
            }
        }
    }
}

/// The sources that may have ended one sleep.
struct Candidates {
    /// In the order of their activations, those that yield only where there is no other.
    list: Vec<Activated>,
    /// By edges, and none is missing.
    exact: bool,
}

impl Candidates {
    fn new(wake: &Wake, activations: Activations, yields: impl Fn(u32) -> bool) -> Self {
        let Activations { mut list, known } = activations;
        let exact = known && !list.is_empty();
        if list.is_empty() {
            let counted = wake.source.iter().map(|source| source.instance);
            list.extend(counted.map(|instance| Activated {
                instance,
                shared: false,
                early: false,
            }));
        }
        if list.iter().any(|source| !yields(source.instance)) {
            list.retain(|source| !yields(source.instance));
        }
        Self { list, exact }
    }

    fn choose(
        &self,
        irq: Option<u32>,
        model: &Model,
        ties: &Ties<'_>,
    ) -> (Option<Cause>, Option<Tie>) {
        let name = |source: &Activated| model.name(source.instance);
        let tie = irq.and_then(|irq| ties.of.get(&irq));
        let tied = tie.and_then(|(kind, names)| {
            let source = self.list.iter().find(|source| names.contains(name(source)))?;
            Some((source, *kind))
        });
        let Some(source) = tied.map(|(source, _)| source).or(self.list.first()) else {
            return (None, None);
        };
        // An interrupt or a source that belongs to another did not wake the device through this one.
        let free = irq.is_none() || (tie.is_none() && !ties.names.contains(name(source)));
        let proven = tied.is_some() || (source.early && free);
        let sure = proven && self.exact && !source.shared;
        let evidence = if sure { Evidence::Proven } else { Evidence::Likely };
        (Some(Cause::new(source.instance, evidence)), tied.map(|(_, kind)| kind))
    }
}

/// Which sources belong to which interrupt.
#[derive(Debug, Default)]
struct Ties<'a> {
    /// By interrupt, the names of its sources.
    of: BTreeMap<u32, (Tie, BTreeSet<&'a [u8]>)>,
    /// All those names.
    names: BTreeSet<&'a [u8]>,
}

impl<'a> Ties<'a> {
    fn new<'c>(
        model: &'a Model,
        wakes: impl Iterator<Item = &'c (Option<u32>, Candidates)> + Clone,
    ) -> Self {
        let mut ties = Self::default();
        let known: BTreeSet<&[u8]> =
            model.sources.keys().map(|instance| model.name(*instance)).collect();
        for (irq, def) in &model.irqs {
            let handlers = model.text(def.name).split(|byte| *byte == b',');
            let names = handlers.flat_map(|handler| {
                let handler = handler.trim_ascii();
                [Some(handler), handler.strip_suffix(DEDICATED)]
            });
            let names = names.flatten().filter(|name| !name.is_empty() && known.contains(name));
            ties.tie(*irq, Tie::Name, names.collect());
        }
        for (irq, names) in learnt(model, wakes) {
            if !ties.of.contains_key(&irq) {
                let free = names.into_iter().filter(|name| !ties.names.contains(name));
                let free = free.collect();
                ties.tie(irq, Tie::Learnt, free);
            }
        }
        ties
    }

    fn tie(&mut self, irq: u32, kind: Tie, names: BTreeSet<&'a [u8]>) {
        if !names.is_empty() {
            self.names.extend(&names);
            self.of.insert(irq, (kind, names));
        }
    }
}

/// Pairs of an interrupt and a source: the source was activated in three of four wakes by the interrupt, and
/// only in one of four by others, and those are few beside the former. Without wakes by others nothing
/// is learnt: a device that activates its source on each resume would look the same.
fn learnt<'a, 'c>(
    model: &'a Model,
    wakes: impl Iterator<Item = &'c (Option<u32>, Candidates)>,
) -> BTreeMap<u32, BTreeSet<&'a [u8]>> {
    let mut all = 0;
    let (mut by_irq, mut by_name) = (BTreeMap::<u32, u64>::new(), BTreeMap::<&[u8], u64>::new());
    let mut pairs = BTreeMap::<(u32, &[u8]), u64>::new();
    for (irq, candidates) in wakes {
        let Some(irq) = *irq else { continue };
        all += 1;
        *by_irq.entry(irq).or_default() += 1;
        let sources = candidates.list.iter().filter(|source| !source.shared);
        for name in sources.map(|s| model.name(s.instance)).collect::<BTreeSet<_>>() {
            *by_name.entry(name).or_default() += 1;
            *pairs.entry((irq, name)).or_default() += 1;
        }
    }
    let mut learnt = BTreeMap::<u32, BTreeSet<&[u8]>>::new();
    for ((irq, name), both) in pairs {
        let (with_irq, with_name) = (by_irq[&irq], by_name[name]);
        let (others, in_others) = (all - with_irq, with_name - both);
        let mostly = both * 4 >= with_irq * 3 && both * 4 >= with_name * 3;
        let seldom = others >= LEARNT && in_others * 4 <= others;
        if both >= LEARNT && mostly && seldom && !name.is_empty() {
            learnt.entry(irq).or_default().insert(name);
        }
    }
    learnt
}
