//! How long sources were held, by our stamps and by ftrace's.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::ftrace::{Event, Kind};

/// One hold that both saw, as the difference of our stamps and ftrace's in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Our stamp of the activation, minus ftrace's.
    pub activation_ns: i64,
    /// The same of the deactivation.
    pub deactivation_ns: i64,
}

impl Hold {
    /// Our held time, minus ftrace's.
    pub fn held_ns(self) -> i64 {
        self.deactivation_ns - self.activation_ns
    }
}

/// The holds of all sources that both saw from start to end.
///
/// Holds are matched by name and number, so every edge must be in both; an error where one is not.
pub fn holds(kernel: &[Event], ours: &[Event]) -> Result<Vec<Hold>> {
    let (kernel, ours) = (edges(kernel), edges(ours));
    let mut holds = Vec::new();
    for (name, kernel) in &kernel {
        let ours = ours.get(name).map_or(&[][..], Vec::as_slice);
        let active = |edges: &[(i64, bool)]| edges.iter().map(|(_, a)| *a).collect::<Vec<_>>();
        ensure!(active(kernel) == active(ours), "{name}: ftrace {kernel:?}, ours {ours:?}");
        let late: Vec<_> = kernel.iter().zip(ours).map(|(k, o)| (o.0 - k.0, k.1)).collect();
        let pairs = late.array_windows().filter(|[(_, start), (_, end)]| *start && !end);
        holds.extend(pairs.map(|[(activation_ns, _), (deactivation_ns, _)]| Hold {
            activation_ns: *activation_ns,
            deactivation_ns: *deactivation_ns,
        }));
    }
    Ok(holds)
}

/// Stamp and direction of each edge, by the source's name.
fn edges(events: &[Event]) -> BTreeMap<&str, Vec<(i64, bool)>> {
    let mut edges: BTreeMap<&str, Vec<(i64, bool)>> = BTreeMap::new();
    for event in events {
        if let Kind::Edge { name, active, .. } = &event.kind {
            edges.entry(name).or_default().push((event.at_ns as i64, *active));
        }
    }
    edges
}

/// The value that `percent` of `values` do not exceed; 0 of none.
pub fn percentile(values: impl Iterator<Item = i64>, percent: usize) -> i64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    values.get(last * percent / 100).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(at_ns: u64, name: &str, active: bool) -> Event {
        Event { at_ns, kind: Kind::Edge { name: name.into(), state: 0, active } }
    }

    #[test]
    fn holds_are_matched_by_name() {
        let kernel = [
            edge(10, "before", false),
            edge(20, "a", true),
            edge(30, "b", true),
            edge(40, "b", false),
            edge(50, "a", false),
            edge(60, "a", true),
        ];
        let ours = [
            edge(11, "before", false),
            edge(31, "b", true),
            edge(23, "a", true),
            edge(39, "b", false),
            edge(55, "a", false),
            edge(60, "a", true),
        ];
        let holds = holds(&kernel, &ours).unwrap();
        let expected = [(3, 5), (1, -1)];
        let expected = expected
            .map(|(activation_ns, deactivation_ns)| Hold { activation_ns, deactivation_ns });
        assert_eq!(holds, expected);
        assert_eq!(holds.iter().map(|hold| hold.held_ns()).collect::<Vec<_>>(), [2, -2]);
        assert!(super::holds(&kernel[..5], &ours).is_err(), "an edge is missing");
    }

    #[test]
    fn percentiles_are_values() {
        assert_eq!(percentile([3, 1, 2].into_iter(), 50), 2);
        assert_eq!(percentile([3, 1, 2].into_iter(), 100), 3);
        assert_eq!(percentile(std::iter::empty(), 50), 0);
    }
}
