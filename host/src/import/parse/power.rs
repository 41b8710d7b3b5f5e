//! `dumpsys power`: the wakelocks of apps that are held (`PowerManagerService.dumpInternal`, Android 10 to 17).

use super::super::facts::{AppWakelock, Blocker, Facts};
use super::values::{duration, uid};
use super::{Parser, Read, used};

/// Reads the sections `Wake Locks:` and `Suspend Blockers:`.
#[derive(Default)]
pub struct Dump {
    section: Section,
}

#[derive(Default, PartialEq, Eq)]
enum Section {
    #[default]
    Other,
    WakeLocks,
    Blockers,
}

impl Parser for Dump {
    fn line(&mut self, line: &str, facts: &mut Facts) -> Read {
        let bare = line.trim();
        if bare.starts_with("Wake Locks: size=") {
            self.section = Section::WakeLocks;
            facts.held.clear();
            return Read::Used;
        }
        if bare.starts_with("Suspend Blockers: size=") {
            self.section = Section::Blockers;
            facts.blockers.clear();
            return Read::Used;
        }
        // The rows of both are indented; the next heading is not.
        if !line.starts_with([' ', '\t']) {
            self.section = Section::Other;
        }
        match self.section {
            Section::Other => Read::Skipped,
            Section::WakeLocks => used(wakelock(bare, facts)),
            Section::Blockers => used(blocker(bare, facts)),
        }
    }

    fn blank(&mut self, _line: &str) {
        self.section = Section::Other;
    }
}

/// `PARTIAL_WAKE_LOCK  'tag' DISABLED ACQ=-1m40s873ms LONG (uid=10219 pid=1210 ws=WorkSource{10219 com.a})`.
fn wakelock(line: &str, facts: &mut Facts) -> Option<()> {
    let (level, rest) = line.split_once(' ')?;
    if !level.ends_with("_WAKE_LOCK") && !level.ends_with("_OFF_WAKE_LOCK") && level != "???" {
        return None;
    }
    // The tag may hold quotes and brackets.
    let (head, owner) = rest.rsplit_once(" (uid=")?;
    let (tag, flags) = head.trim_start().strip_prefix('\'')?.rsplit_once('\'')?;
    let owner = format!("uid={}", owner.trim_end().strip_suffix(')')?);
    let (owner, source) = match owner.split_once(" ws=") {
        Some((before, source)) => (before.to_owned(), Some(source.to_owned())),
        None => (owner, None),
    };
    let of = |key: &str| {
        let pairs = owner.split_ascii_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    };
    let holder_uid = uid(of("uid")?);
    let charged = source.as_deref().map(work_source).unwrap_or_default();
    let acquired = flags.split_ascii_whitespace().find_map(|flag| flag.strip_prefix("ACQ="));
    facts.held.push(AppWakelock {
        level: level.to_owned(),
        tag: tag.to_owned(),
        uid: charged.first().map(|(uid, _)| *uid).or(holder_uid),
        holder_uid,
        pid: of("pid").and_then(|pid| pid.parse().ok()),
        packages: charged
            .into_iter()
            .map(|(_, package)| package)
            .filter(|p| !p.is_empty())
            .collect(),
        since_ns: acquired.and_then(duration),
        disabled: flags.split_ascii_whitespace().any(|flag| flag == "DISABLED"),
    });
    Some(())
}

/// `WorkSource{10219 com.google.android.gms, 10086 com.a}`, with chains behind it in some.
fn work_source(text: &str) -> Vec<(u32, String)> {
    let Some(inner) = text.strip_prefix("WorkSource{").and_then(|rest| rest.split('}').next())
    else {
        return Vec::new();
    };
    let one = |part: &str| {
        let mut words = part.split_ascii_whitespace();
        let id = words.next()?.parse().ok()?;
        Some((id, words.next().unwrap_or_default().to_owned()))
    };
    inner.split(',').filter_map(one).collect()
}

/// `PowerManagerService.WakeLocks: ref count=1 [holding display: (05-23 15:37:30.646)]`.
fn blocker(line: &str, facts: &mut Facts) -> Option<()> {
    let (name, count) = line.rsplit_once(": ref count=")?;
    let count = count.split_ascii_whitespace().next()?.parse().ok()?;
    facts.blockers.push(Blocker { name: name.to_owned(), holders: count });
    Some(())
}
