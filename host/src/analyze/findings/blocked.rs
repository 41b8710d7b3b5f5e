//! Blocked time.

use std::cmp::Reverse;

use super::Rules;
use crate::analyze::overlaps::Together;
use crate::report::{Finding, FindingKind, Name, Severity};

impl Rules<'_> {
    /// The source that blocked suspend the longest, and the group of sources whose fixing gains most.
    pub fn blocked(&self) -> Vec<Finding> {
        let Some(blocked_ns) = self.analysis.ledger.blocked_ns else { return Vec::new() };
        let blocker = self.blocker(blocked_ns);
        let group = self.blocking_group(blocked_ns, blocker.as_ref());
        blocker.into_iter().chain(group).collect()
    }

    fn blocker(&self, blocked_ns: u64) -> Option<Finding> {
        let yielding = self.analysis.yielding();
        // A source that yields is chosen only where no other has a share.
        let blocked = self.sources.iter().filter_map(|(name, source)| {
            let sum = &source.sum;
            let (share_ns, alone_ns) = (sum.blocked_share_ns?, sum.blocked_sole_ns?);
            let named = share_ns > 0 && !yielding.contains(name);
            Some((named, share_ns, alone_ns, Reverse(*name)))
        });
        let (_, share_ns, alone_ns, Reverse(name)) = blocked.max()?;
        (share_ns > 0).then(|| Finding {
            // Many small blockers matter together, and the largest is the one to fix first.
            severity: self.severity(share_ns).min(match self.severity(blocked_ns) {
                Severity::Low => Severity::Low,
                _ => Severity::Medium,
            }),
            kind: FindingKind::Blocker { source: Name::new(name), share_ns, alone_ns, blocked_ns },
            gain_ns: Some(alone_ns),
        })
    }

    /// Sources that blocked suspend together. The gain of `blocker` counts there.
    fn blocking_group(&self, blocked_ns: u64, blocker: Option<&Finding>) -> Option<Finding> {
        let sole_ns = |name: u32| self.analysis.names.get(&name).map_or(0, |facts| facts.sole_ns);
        let overlaps = &self.analysis.overlaps;
        let Together { names, gain_ns } = overlaps.best(sole_ns)?;
        let alone_ns = names.iter().copied().map(sole_ns).sum();
        let sources: Vec<_> =
            names.iter().map(|name| Name::new(self.analysis.model.text(*name))).collect();
        let counted_ns = match blocker.map(|finding| (&finding.kind, finding.gain_ns)) {
            Some((FindingKind::Blocker { source, .. }, Some(ns))) if sources.contains(source) => ns,
            _ => 0,
        };
        let severity = self.severity(gain_ns);
        let matters = severity != Severity::Low && gain_ns >= blocked_ns / 10;
        let left_out_ns = overlaps.left_out_ns;
        matters.then_some(Finding {
            severity,
            kind: FindingKind::BlockingGroup { sources, gain_ns, alone_ns, left_out_ns },
            gain_ns: Some(gain_ns.saturating_sub(counted_ns)),
        })
    }
}
