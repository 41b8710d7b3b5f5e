//! What ended the sleeps, and what the battery says.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Page;
use crate::render::labels::{name, unknown};
use crate::render::terminal::{Align, WIDTH};
use crate::report::{Name, Report, Wake};
use crate::text::{escape, fit};
use crate::units::{SECOND, time};

/// Wakes shown: those that came once, in great number, tell little.
const SHOWN: usize = 10;

/// Wakes by interrupt and first source.
pub(super) fn wakes(out: &mut Page, report: &Report) {
    let mut alike = BTreeMap::<_, (u64, u64, u64)>::new();
    for attempt in &report.attempts {
        let Some(Wake { irq, irq_name, source, evidence }) = &attempt.wake else { continue };
        let source = source.as_ref().map(|source| &source.name);
        let group = alike.entry((irq, irq_name, source)).or_default();
        group.0 += 1;
        group.1 = group.1.saturating_add(attempt.slept_ns);
        group.2 += u64::from(*evidence == "proven");
    }
    if alike.is_empty() {
        return;
    }
    out.heading("What woke it");
    let mut rows: Vec<_> = alike.into_iter().collect();
    rows.sort_by_key(|(_, (count, slept, _))| Reverse((*count, *slept)));
    let more = rows.len().saturating_sub(SHOWN);
    let shown = rows.into_iter().take(SHOWN);
    let row = |((irq, irq_name, source), (count, slept_ns, proven)): (_, (u64, u64, u64))| {
        let (irq, irq_name): (&Option<u32>, &Option<String>) = (irq, irq_name);
        let irq = match (irq, irq_name) {
            (Some(irq), Some(name)) => format!("{irq} {}", escape(name.as_bytes())),
            (Some(irq), None) => irq.to_string(),
            (None, _) => unknown(),
        };
        let sure = if proven == 0 { "?" } else { "" };
        let source: Option<&Name> = source;
        let source = source.map_or_else(unknown, |source| format!("{}{sure}", name(source)));
        vec![count.to_string(), time(slept_ns), irq, fit(&source, 28)]
    };
    let head = [
        ("wakes", Align::Right),
        ("after sleep of", Align::Right),
        ("interrupt", Align::Left),
        ("first source active", Align::Left),
    ];
    out.columns(&head, shown.map(row), 2);
    if more > 0 {
        out.styled(super::DIM, &format!("  … {more} more"));
    }
}

/// How fast the battery drained, asleep and awake.
pub(super) fn drain(out: &mut Page, report: &Report) {
    let Some(drain) = &report.power.drain else { return };
    out.heading("Battery, off the charger");
    let lines =
        [("asleep", drain.asleep_ns, drain.asleep_uah), ("awake", drain.awake_ns, drain.awake_uah)];
    for (what, ns, uah) in lines.into_iter().filter(|(_, ns, _)| *ns > 0) {
        let (mah, ma) = drained(ns, uah);
        let line = format!("  {what:<27} {:>10} {mah:>9.1} mAh, {ma:.1} mA on average", time(ns));
        out.line(&fit(&line, WIDTH));
    }
}

/// mAh, and mA on average.
pub(in crate::render) fn drained(ns: u64, uah: i64) -> (f64, f64) {
    let hours = ns as f64 / (3_600 * SECOND) as f64;
    (uah as f64 / 1_000.0, uah as f64 / 1_000.0 / hours)
}
