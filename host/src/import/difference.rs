//! The difference of two files of one device.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::facts::{Holder, Import, Origin, Setting, Unknown};

/// Boot times by the two files differ by less: a bug report gives the uptime in minutes, and takes minutes.
const NEAR_NS: u64 = 600_000_000_000;

/// `after` with each total as the difference to `before`. A total that fell is unknown: its counter has started again.
/// So is one of a part that `before` lacks, and every one if the two are surely not of one boot.
pub fn difference(before: &Import, after: &Import) -> Import {
    let mut out = after.clone();
    out.files = [&before.files[..], &after.files[..]].concat();
    let doubt = boots(before, after);
    let other_boot = doubt.as_ref().is_some_and(|(_, sure)| *sure);
    let old = index(&before.holders, Holder::key);
    let had: HashSet<Origin> = before.holders.iter().map(|row| row.origin).collect();
    for row in &mut out.holders {
        if other_boot || !had.contains(&row.origin) {
            *row = Holder { packages: row.packages.clone(), ..Holder::like(row) };
            continue;
        }
        // One that is new since then has counted from 0.
        let Some(old) = old.get(&row.key()) else { continue };
        let restarted = row.held_ns < old.held_ns || row.holds < old.holds;
        let minus = |new, old| if restarted { None } else { minus(new, old) };
        row.held_ns = minus(row.held_ns, old.held_ns);
        row.background_ns = minus(row.background_ns, old.background_ns);
        row.holds = minus(row.holds, old.holds);
        row.wakeups = minus(row.wakeups, old.wakeups);
        // The longest may be from before.
        if row.longest_ns == old.longest_ns || row.longest_ns > row.held_ns {
            row.longest_ns = None;
        }
    }
    out.holders.retain(|row| row.held_ns != Some(0) || row.holds.is_some_and(|holds| holds > 0));
    out.holders.sort_by(|a, b| (a.layer, b.held_ns, &a.name).cmp(&(b.layer, a.held_ns, &b.name)));

    let old = index(&before.reasons, |reason| (reason.origin, reason.text.clone()));
    let had: HashSet<Origin> = before.reasons.iter().map(|reason| reason.origin).collect();
    for reason in &mut out.reasons {
        if other_boot || !had.contains(&reason.origin) {
            (reason.count, reason.awake_ns) = (None, None);
        } else if let Some(old) = old.get(&(reason.origin, reason.text.clone())) {
            reason.count = minus(reason.count, old.count);
            reason.awake_ns = minus(reason.awake_ns, old.awake_ns);
        }
    }
    out.reasons.retain(|reason| reason.count != Some(0));
    out.reasons.sort_by(|a, b| (b.count, &a.text).cmp(&(a.count, &b.text)));

    let key = |alarm: &super::Alarm| (alarm.uid, alarm.package.clone(), alarm.tag.clone());
    let old = index(&before.alarms, key);
    for alarm in &mut out.alarms {
        if other_boot || before.alarms.is_empty() {
            (alarm.wakeups, alarm.alarms, alarm.running_ns) = (None, None, None);
        } else if let Some(old) = old.get(&key(alarm)) {
            alarm.wakeups = minus(alarm.wakeups, old.wakeups);
            alarm.alarms = minus(alarm.alarms, old.alarms);
            alarm.running_ns = minus(alarm.running_ns, old.running_ns);
        }
    }
    out.alarms.retain(|alarm| alarm.wakeups != Some(0));
    out.alarms.sort_by(|a, b| (b.wakeups, &a.package).cmp(&(a.wakeups, &b.package)));

    // The log is a ring: if it has fewer than before, some of those are gone.
    let key = |abort: &super::Abort| (abort.message.clone(), abort.source.clone());
    let old = index(&before.aborts, key);
    out.aborts.retain(|abort| {
        other_boot || old.get(&key(abort)).is_none_or(|old| old.last_ns < abort.last_ns)
    });
    for abort in &mut out.aborts {
        if other_boot {
            abort.count = None;
        } else if let Some(old) = old.get(&key(abort)) {
            abort.count = minus(abort.count, old.count).filter(|count| *count > 0);
        }
    }

    for counts in &mut out.suspends {
        let old = before.suspends.iter().find(|old| old.origin == counts.origin && !other_boot);
        let old = old.map_or(&[][..], |old| &old.values);
        // The last failures are a list, in which new ones come first.
        let last = |values: &[Setting]| -> Vec<Setting> {
            values.iter().filter(|one| one.name.starts_with("last_")).cloned().collect()
        };
        let same = last(&counts.values) == last(old);
        counts.values.retain(|one| !(same && one.name.starts_with("last_")));
        counts.values = counts.values.iter().map(|new| changed(new, old)).collect();
    }
    out.parts = [&before.parts[..], &after.parts[..]].concat();
    out.unknown.extend(doubt.map(|(doubt, _)| doubt));
    if had_both(before, after, Origin::Batterystats) {
        out.unknown.push(Unknown {
            what: "whether batterystats was reset in between",
            why: "it starts again when the device was charged, and a total may have passed its old value since",
        });
    }
    out
}

/// The difference, if both are known and nothing fell.
fn minus(new: Option<u64>, old: Option<u64>) -> Option<u64> {
    new?.checked_sub(old?)
}

fn index<T, K: Eq + Hash>(rows: &[T], key: impl Fn(&T) -> K) -> HashMap<K, &T> {
    rows.iter().map(|row| (key(row), row)).collect()
}

/// A counter as its difference; the last failures as they are.
fn changed(new: &Setting, old: &[Setting]) -> Setting {
    let old = old.iter().find(|old| old.name == new.name && !new.name.starts_with("last_"));
    let both = old.and_then(|old| number(&old.value)).zip(number(&new.value));
    let Some(((old, _), (number, unit))) = both else {
        let is_counter = number(&new.value).is_some() && !new.name.starts_with("last_");
        let value = if is_counter { "unknown".to_owned() } else { new.value.clone() };
        return Setting { name: new.name.clone(), value };
    };
    let value = match number.checked_sub(old) {
        Some(difference) => format!("{difference}{unit}"),
        None => "unknown: it has started again".to_owned(),
    };
    Setting { name: new.name.clone(), value }
}

/// The number, and the unit with its blank.
fn number(value: &str) -> Option<(u64, &str)> {
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    Some((value[..end].parse().ok()?, &value[end..]))
}

fn had_both(before: &Import, after: &Import, origin: Origin) -> bool {
    [before, after].iter().all(|import| import.holders.iter().any(|row| row.origin == origin))
}

/// A doubt whether both are of one boot, and whether they are surely not.
fn boots(before: &Import, after: &Import) -> Option<(Unknown, bool)> {
    let boot = |import: &Import| {
        let taken: jiff::civil::DateTime =
            import.device.taken.as_deref()?.replace(' ', "T").parse().ok()?;
        let taken = jiff::tz::TimeZone::UTC.to_timestamp(taken).ok()?.as_second();
        Some(i128::from(taken) * 1_000_000_000 - i128::from(import.device.uptime_ns?))
    };
    let what = "whether both are of one boot of one device";
    let (old, new) = (&before.device, &after.device);
    if old.fingerprint.is_some() && new.fingerprint.is_some() && old.fingerprint != new.fingerprint
    {
        let why = "their fingerprints differ, so no difference means anything";
        return Some((Unknown { what, why }, true));
    }
    match (boot(before), boot(after)) {
        (Some(a), Some(b)) if a.abs_diff(b) <= u128::from(NEAR_NS) => None,
        (Some(_), Some(_)) => {
            let why = "by time and uptime the device was started in between, or its clock was set, so \
                       no difference is known";
            Some((Unknown { what, why }, true))
        }
        _ => {
            let why = "one of them has no time and uptime of a bug report's head";
            Some((Unknown { what, why }, false))
        }
    }
}
