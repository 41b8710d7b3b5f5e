//! Our events against ftrace's.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use crate::ftrace::{Event, Kind};
use crate::trace::Trace;

/// Both stamp inside one tracepoint or function, one after the other. It is some µs, but an emulated
/// CPU may be taken away in between, for as long as its host likes: what this shows is that both go by
/// one clock.
pub const TOLERANCE_NS: u64 = 250_000_000;

/// The events of one thing have one order, whichever CPU they are on; between things there is
/// none to compare.
fn by_thing(events: &[Event]) -> BTreeMap<String, Vec<&Event>> {
    let mut things: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.kind.hooked()) {
        let thing = match &event.kind {
            Kind::Phase { .. } | Kind::Return(_) => "attempts".to_owned(),
            Kind::Edge { name, .. } => format!("source {name}"),
            Kind::WaitBegin { thread } | Kind::WaitEnd { thread, .. } => format!("wait {thread}"),
            Kind::Save { thread, .. } => format!("save {thread}"),
            _ => "wakes".to_owned(),
        };
        things.entry(thing).or_default().push(event);
    }
    things
}

/// Every edge, wait, save, wake, phase and return is ftrace's, in its order and at its time, and
/// nothing was lost; an error where ftrace saw fewer than `least` of something.
pub fn same_as_ftrace(kernel: &[Event], trace: &Trace, least: &[(&str, usize)]) -> Result<()> {
    let ours = trace.events()?;
    ensure!(trace.lost() == 0, "{} events were lost", trace.lost());
    let (kernel, ours) = (by_thing(kernel), by_thing(&ours));
    let things = |events: &BTreeMap<_, _>| events.keys().cloned().collect::<Vec<String>>();
    ensure!(things(&ours) == things(&kernel), "{:?}, {:?}", things(&ours), things(&kernel));
    for (thing, kernel) in &kernel {
        let ours = ours.get(thing).with_context(|| format!("{thing} is missing"))?;
        let kinds = |events: &[&Event]| events.iter().map(|e| e.kind.clone()).collect::<Vec<_>>();
        let (our_kinds, kernel_kinds) = (kinds(ours), kinds(kernel));
        ensure!(our_kinds == kernel_kinds, "{thing}: {our_kinds:?}, ftrace {kernel_kinds:?}");
        for (our, kernel) in ours.iter().zip(kernel) {
            let apart = our.at_ns.abs_diff(kernel.at_ns);
            ensure!(apart < TOLERANCE_NS, "{our:?} and {kernel:?} are {apart} ns apart");
        }
    }
    let count = |prefix: &str| -> usize {
        kernel.iter().filter(|(thing, _)| thing.starts_with(prefix)).map(|(_, e)| e.len()).sum()
    };
    for (prefix, least) in least {
        ensure!(count(prefix) >= *least, "ftrace saw only {} of `{prefix}`", count(prefix));
    }
    Ok(())
}

/// The events that the ledger goes by, and how far our stamp of each is from ftrace's in ns.
/// [`same_as_ftrace`] has to hold.
pub fn stamps_apart(kernel: &[Event], ours: &[Event]) -> Vec<(Kind, u64)> {
    let (mut kernel, mut ours) = (by_thing(kernel), by_thing(ours));
    for events in [&mut kernel, &mut ours] {
        events.retain(|thing, _| !thing.starts_with("source ") && thing != "wakes");
    }
    let pairs = kernel.values().flatten().zip(ours.values().flatten());
    pairs.map(|(kernel, our)| (kernel.kind.clone(), our.at_ns.abs_diff(kernel.at_ns))).collect()
}
