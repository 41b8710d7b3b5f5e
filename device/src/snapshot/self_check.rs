//! Holds a walk that guesses the places of the members to the numbers that the kernel prints in sysfs.
//!
//! Two walks enclose a reading of sysfs. A source that both walks found alike did not change between them, so
//! sysfs has to have printed the same numbers, in ms. Sources that were registered before sysfs had the class
//! (`autosleep`, in `pm_init`, `kernel/power/main.c`, 5.10) are not in it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use sleepwalk_trace::snapshot::{Counters, SourceState};

use super::{Sample, SnapshotSource};

const NS_PER_MS: u64 = 1_000_000;

/// One snapshot by the kernel's ids: the name and the state.
type Sources = BTreeMap<u32, (Vec<u8>, SourceState)>;

/// Whether `walk` reads what `printed` has, for every source of `printed` that does not change meanwhile. Returns how
/// many sources that is.
pub fn check(walk: &mut dyn SnapshotSource, printed: &mut dyn SnapshotSource) -> Result<usize> {
    let before = sources(walk)?;
    let printed = sources(printed)?;
    let after = sources(walk)?;
    agree(&before, &printed, &after)
}

fn sources(of: &mut dyn SnapshotSource) -> Result<Sources> {
    let mut sources = Sources::new();
    let mut twice = None;
    let summary = of.take_snapshot(&mut |sample: &Sample<'_>| {
        let id = sample.id.unwrap_or_default();
        let room = sample.name.len().min(ENOUGH);
        if sources.insert(id, (sample.name[..room].to_vec(), sample.state)).is_some() {
            twice = Some(id);
        }
    })?;
    if let Some(id) = twice {
        bail!("{} has wakeup{id} twice", of.name());
    }
    ensure!(summary.whole(), "{} does not have every source", of.name());
    Ok(sources)
}

/// Names are compared up to here: the walk cuts those that are longer than its room.
const ENOUGH: usize = 64;

fn agree(before: &Sources, printed: &Sources, after: &Sources) -> Result<usize> {
    let unknown = printed.keys().find(|id| !before.contains_key(id) && !after.contains_key(id));
    if let Some(id) = unknown {
        bail!("the walk does not find wakeup{id}");
    }
    let (mut confirmed, mut proven) = (0, false);
    for (id, (name, first)) in before {
        // One that died meanwhile shows nothing; another one may have its id.
        let Some((_, second)) = after.get(id).filter(|(same, _)| same == name) else { continue };
        for state in [first, second] {
            let open = u64::from(state.active());
            let counters = &state.counters;
            let relaxed = counters.relax_count.wrapping_add(open);
            ensure!(
                state.torn() || relaxed == counters.active_count,
                "wakeup{id}: {} activations ended of {}",
                counters.relax_count,
                counters.active_count
            );
        }
        let Some((other, state)) = printed.get(id) else { continue };
        ensure!(name == other, "wakeup{id} has another name");
        if first == second && !first.torn() && !state.torn() {
            equal(first, state).with_context(|| format!("wakeup{id} differs"))?;
            proven |= first.counters.active_count > 0 && first.counters.last_ns >= NS_PER_MS;
            confirmed += 1;
        }
    }
    ensure!(proven, "no source was active yet and at rest during the check: try again later");
    Ok(confirmed)
}

/// Fails with the first number that differs.
fn equal(walked: &SourceState, printed: &SourceState) -> Result<()> {
    let of = |c: &Counters| {
        let ms = |ns: u64| ns / NS_PER_MS;
        [
            ("active_count", c.active_count),
            ("event_count", c.event_count),
            ("wakeup_count", c.wakeup_count),
            ("expire_count", c.expire_count),
            ("last_change_ms", ms(c.last_ns)),
            // Those of an active source grow on while they are printed.
            ("total_time_ms", ms(c.total_ns)),
            ("max_time_ms", ms(c.max_ns)),
            ("prevent_suspend_time_ms", ms(c.prevent_ns)),
        ]
    };
    let count = if walked.active() { 5 } else { 8 };
    let numbers = of(&walked.counters).into_iter().zip(of(&printed.counters));
    for ((name, walked), (_, printed)) in numbers.take(count) {
        ensure!(walked == printed, "{name} is {walked} by the walk and {printed} in sysfs");
    }
    // In its first ms, an active source is printed as one at rest.
    ensure!(walked.active() || !printed.active(), "it is active in sysfs and not by the walk");
    Ok(())
}

#[cfg(test)]
mod tests {
    use sleepwalk_trace::record::STATE_ACTIVE;

    use super::*;

    fn at_rest() -> SourceState {
        let counters = Counters {
            active_count: 4,
            event_count: 5,
            wakeup_count: 1,
            expire_count: 2,
            relax_count: 4,
            total_ns: 7_400_000,
            max_ns: 3_900_000,
            last_ns: 81_500_000,
            prevent_ns: 0,
            ..Counters::default()
        };
        SourceState { state: 0, counters }
    }

    /// As sysfs prints it.
    fn in_ms(mut state: SourceState) -> SourceState {
        let c = &mut state.counters;
        for ns in [&mut c.total_ns, &mut c.max_ns, &mut c.last_ns, &mut c.prevent_ns] {
            *ns -= *ns % NS_PER_MS;
        }
        state
    }

    fn snapshot(state: SourceState) -> Sources {
        let never = SourceState { state: 0, counters: Counters::default() };
        let sources = [(1, "alarmtimer", never), (2, "wlan", state)];
        sources.map(|(id, name, state)| (id, (name.as_bytes().to_vec(), state))).into()
    }

    fn refused(before: &Sources, printed: &Sources, after: &Sources) -> String {
        format!("{:#}", agree(before, printed, after).expect_err("they differ"))
    }

    #[test]
    fn equal_numbers_hold() {
        let walk = snapshot(at_rest());
        let printed = snapshot(in_ms(at_rest()));
        assert_eq!(agree(&walk, &printed, &walk).unwrap(), 2);
        let mut active = at_rest();
        (active.state, active.counters.relax_count) = (STATE_ACTIVE, 3);
        let walk = snapshot(active);
        let mut longer = in_ms(active);
        longer.counters.max_ns += 500 * NS_PER_MS;
        assert_eq!(agree(&walk, &snapshot(longer), &walk).unwrap(), 2);
    }

    #[test]
    fn each_number_is_compared() {
        let printed = snapshot(in_ms(at_rest()));
        type Change = fn(&mut Counters);
        let changes: [(&str, Change); 8] = [
            ("active_count", |c| (c.active_count, c.relax_count) = (9, 9)),
            ("event_count", |c| c.event_count += 1),
            ("wakeup_count", |c| c.wakeup_count = 0),
            ("expire_count", |c| c.expire_count = 0),
            ("last_change_ms", |c| c.last_ns += NS_PER_MS),
            ("total_time_ms", |c| c.total_ns = 0),
            ("max_time_ms", |c| c.max_ns += NS_PER_MS),
            ("prevent_suspend_time_ms", |c| c.prevent_ns = NS_PER_MS),
        ];
        for (name, change) in changes {
            let mut state = at_rest();
            change(&mut state.counters);
            let walk = snapshot(state);
            let text = refused(&walk, &printed, &walk);
            assert!(text.contains("wakeup2") && text.contains(name), "{text}");
        }
        let mut state = at_rest();
        state.counters.relax_count = 1;
        let walk = snapshot(state);
        assert!(refused(&walk, &printed, &walk).contains("1 activations ended of 4"));
    }

    #[test]
    fn a_source_that_changes_meanwhile_shows_nothing() {
        let mut later = at_rest();
        later.counters.active_count += 1;
        later.counters.relax_count += 1;
        let (before, after) = (snapshot(at_rest()), snapshot(later));
        let text = refused(&before, &snapshot(SourceState::default()), &after);
        assert!(text.contains("no source was active yet"), "{text}");
    }

    #[test]
    fn sources_and_names_are_the_same() {
        let walk = snapshot(at_rest());
        let printed = snapshot(in_ms(at_rest()));
        let mut other = printed.clone();
        other.get_mut(&1).unwrap().0 = b"rtc".to_vec();
        assert!(refused(&walk, &other, &walk).contains("wakeup1 has another name"));
        let mut fewer = printed.clone();
        fewer.remove(&1);
        assert_eq!(agree(&walk, &fewer, &walk).unwrap(), 1);
        let mut walked = walk.clone();
        walked.remove(&1);
        assert!(refused(&walked, &printed, &walked).contains("does not find wakeup1"));
        // One that died during the check.
        assert_eq!(agree(&walk, &fewer, &walked).unwrap(), 1);
    }
}
