//! Batteries and chargers: when the device was on a charger, and how fast the battery drained off it.

use std::collections::BTreeMap;

use sleepwalk_trace::record::PowerSupply;
use sleepwalk_trace::time::BootNanos;

use crate::report::{Attempt, Drain, Name, Power, Reading, Span};
use crate::session::decode::Model;

/// Power supplies are read one after the other; readings closer together than this are one.
const TOGETHER_NS: u64 = 200_000_000;

/// From readings in any order.
pub fn power(
    mut recorded: Vec<(BootNanos, PowerSupply)>,
    model: &Model,
    attempts: &[Attempt],
) -> Power {
    recorded.sort_by_key(|(at, _)| *at);
    let mut power = Power {
        readings: recorded.iter().map(|(at, supply)| reading(*at, supply, model)).collect(),
        ..Power::default()
    };
    let sleeps = Sleeps::new(attempts);
    let mut latest = BTreeMap::<u32, PowerSupply>::new();
    // The last reading of each battery since it was off a charger.
    let mut charges = BTreeMap::<u32, (BootNanos, i64)>::new();
    let mut before: Option<(BootNanos, bool)> = None;
    let mut rest = &recorded[..];
    while let Some((at, _)) = rest.first() {
        let together = rest.partition_point(|(other, _)| other.since(*at) <= TOGETHER_NS);
        let (now, later) = rest.split_at(together);
        rest = later;
        latest.extend(now.iter().map(|(_, supply)| (supply.name, *supply)));
        let fed = latest.values().any(|supply| feeds(supply, model));
        if let Some((since, true)) = before.filter(|_| fed) {
            match power.charger.last_mut() {
                Some(last) if last.end_ns == since => last.end_ns = *at,
                _ => power.charger.push(Span { start_ns: since, end_ns: *at }),
            }
        }
        before = Some((*at, fed));
        if fed {
            charges.clear();
            continue;
        }
        for (_, supply) in now.iter().filter(|(_, s)| model.text(s.kind) == b"Battery") {
            let Some(charge) = supply.charge_uah else { continue };
            let Some((since, had)) = charges.insert(supply.name, (*at, charge)) else { continue };
            let used_uah = had.saturating_sub(charge);
            add(power.drain.get_or_insert_default(), since, *at, used_uah, &sleeps);
        }
    }
    let charger_ns = power.charger.iter().map(|span| span.end_ns.since(span.start_ns)).sum();
    power.charger_ns = (!power.readings.is_empty()).then_some(charger_ns);
    power
}

fn reading(at_ns: BootNanos, supply: &PowerSupply, model: &Model) -> Reading {
    let text = |id| String::from_utf8_lossy(model.text(id)).into_owned();
    Reading {
        at_ns,
        name: Name::new(model.text(supply.name)),
        kind: text(supply.kind),
        status: text(supply.status),
        capacity: supply.capacity,
        charge_uah: supply.charge_uah,
        current_ua: supply.current_ua,
        online: supply.online.map(|online| online > 0),
    }
}

/// Adds what a battery lost between two readings.
fn add(drain: &mut Drain, start: BootNanos, end: BootNanos, used_uah: i64, sleeps: &Sleeps) {
    let whole_ns = end.since(start);
    let (ns, uah) = if sleeps.between(start, end) > whole_ns / 2 {
        (&mut drain.asleep_ns, &mut drain.asleep_uah)
    } else {
        (&mut drain.awake_ns, &mut drain.awake_uah)
    };
    *ns = ns.saturating_add(whole_ns);
    *uah = uah.saturating_add(used_uah);
}

/// Whether a charger is online or a battery is charging.
fn feeds(supply: &PowerSupply, model: &Model) -> bool {
    let battery = model.text(supply.kind) == b"Battery";
    let online = !battery && supply.online.is_some_and(|online| online > 0);
    online || model.text(supply.status) == b"Charging"
}

/// How long it slept up to the end of each attempt.
struct Sleeps {
    until: Vec<(BootNanos, BootNanos, u64)>,
}

impl Sleeps {
    fn new(attempts: &[Attempt]) -> Self {
        let mut sum = 0u64;
        let slept = attempts.iter().filter(|attempt| attempt.wake.is_some());
        let until = slept.map(|attempt| {
            sum = sum.saturating_add(attempt.slept_ns);
            (attempt.start_ns, attempt.end_ns, sum)
        });
        Self { until: until.collect() }
    }

    /// Attempts that started within count whole: readings are taken around them.
    fn between(&self, start: BootNanos, end: BootNanos) -> u64 {
        let up_to = |at: BootNanos| {
            let place = self.until.partition_point(|(from, _, _)| *from < at);
            place.checked_sub(1).map_or(0, |place| self.until[place].2)
        };
        // If an attempt is in progress at the first reading, its sleep comes after the reading.
        let place = self.until.partition_point(|(from, _, _)| *from < start);
        let under_way = place.checked_sub(1).map(|place| self.until[place]);
        let base = match under_way {
            Some((_, over, _)) if over > start => {
                place.checked_sub(2).map_or(0, |place| self.until[place].2)
            }
            _ => up_to(start),
        };
        up_to(end).saturating_sub(base).min(end.since(start))
    }
}
