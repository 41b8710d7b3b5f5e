//! What the batteries and chargers said.

use std::collections::BTreeMap;

use sleepwalk_trace::record::PowerSupply;
use sleepwalk_trace::time::BootNanos;

use super::attempts::{Attempt, Outcome};
use super::spans::Span;
use crate::session::decode::Model;

/// Supplies are read one after the other; what is nearer than this was read at one time.
const TOGETHER_NS: u64 = 200_000_000;

/// What the session tells of its power.
#[derive(Clone, Debug, Default)]
pub struct Power {
    /// Every reading, in the order of time.
    pub readings: Vec<(BootNanos, PowerSupply)>,
    /// When it was on a charger.
    pub charger: Vec<Span>,
    /// Charge that left the batteries off the charger.
    pub drain: Option<Drain>,
}

/// Charge that left, told apart by what the device did mostly between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// Time between readings of which it slept more than half.
    pub asleep_ns: u64,
    /// µAh that went in it.
    pub asleep_uah: i64,
    /// The rest.
    pub awake_ns: u64,
    /// µAh that went in it.
    pub awake_uah: i64,
}

impl Power {
    /// Out of the readings, in any order.
    pub fn new(
        mut readings: Vec<(BootNanos, PowerSupply)>,
        model: &Model,
        attempts: &[Attempt],
    ) -> Self {
        readings.sort_by_key(|(at, _)| *at);
        let sleeps = Sleeps::new(attempts);
        let mut power = Self { readings, ..Self::default() };
        let mut supplies = BTreeMap::<u32, PowerSupply>::new();
        // The last reading of each battery since it was off a charger.
        let mut charges = BTreeMap::<u32, (BootNanos, i64)>::new();
        let mut before: Option<(BootNanos, bool)> = None;
        let mut rest = &power.readings[..];
        while let Some((at, _)) = rest.first() {
            let together = rest.partition_point(|(other, _)| other.since(*at) <= TOGETHER_NS);
            let (now, later) = rest.split_at(together);
            rest = later;
            supplies.extend(now.iter().map(|(_, supply)| (supply.name, *supply)));
            let fed = supplies.values().any(|supply| feeds(supply, model));
            if let Some((since, true)) = before.filter(|_| fed) {
                match power.charger.last_mut() {
                    Some(last) if last.1 == since => last.1 = *at,
                    _ => power.charger.push((since, *at)),
                }
            }
            before = Some((*at, fed));
            if fed {
                charges.clear();
                continue;
            }
            for (_, supply) in now.iter().filter(|(_, s)| model.text(s.kind) == b"Battery") {
                let Some(charge) = supply.charge_uah else { continue };
                let Some((since, had)) = charges.insert(supply.name, (*at, charge)) else {
                    continue;
                };
                power.drain.get_or_insert_default().add(
                    since,
                    *at,
                    had.saturating_sub(charge),
                    &sleeps,
                );
            }
        }
        power
    }

    /// How long it was on a charger; `None` where nothing was read.
    pub fn charger_ns(&self) -> Option<u64> {
        let whole = self.charger.iter().map(|(start, end)| end.since(*start)).sum();
        (!self.readings.is_empty()).then_some(whole)
    }
}

impl Drain {
    fn add(&mut self, start: BootNanos, end: BootNanos, gone_uah: i64, sleeps: &Sleeps) {
        let whole_ns = end.since(start);
        let (ns, uah) = if sleeps.between(start, end) > whole_ns / 2 {
            (&mut self.asleep_ns, &mut self.asleep_uah)
        } else {
            (&mut self.awake_ns, &mut self.awake_uah)
        };
        *ns = ns.saturating_add(whole_ns);
        *uah = uah.saturating_add(gone_uah);
    }
}

/// Whether the device is fed: a charger delivers, or a battery is being charged.
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
        let slept = attempts.iter().filter(|attempt| attempt.outcome == Outcome::Slept);
        let until = slept.map(|attempt| {
            sum = sum.saturating_add(attempt.stayed_ns);
            (attempt.start, attempt.end, sum)
        });
        Self { until: until.collect() }
    }

    /// Attempts that lie within, or began within, count whole: readings are taken around them.
    fn between(&self, start: BootNanos, end: BootNanos) -> u64 {
        let up_to = |at: BootNanos| {
            let place = self.until.partition_point(|(begin, _, _)| *begin < at);
            place.checked_sub(1).map_or(0, |place| self.until[place].2)
        };
        // One that was under way at the first reading has its sleep after it.
        let place = self.until.partition_point(|(begin, _, _)| *begin < start);
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
