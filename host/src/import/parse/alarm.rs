//! `dumpsys alarm`: what each package's alarms cost since boot (`AlarmManagerService.dump`, Android 5 to 16).

use super::super::facts::{Alarm, Facts};
use super::values::{duration, uid};
use super::{Parser, Read, used};

/// Reads the section `Alarm Stats:`.
#[derive(Default)]
pub struct Dump {
    stats: bool,
    /// A blank line came after the last line that belongs to it.
    gap: bool,
    /// The package whose alarms follow.
    package: Option<(Option<u32>, String)>,
    /// An alarm whose tag is on the next line.
    open: Option<Alarm>,
}

impl Parser for Dump {
    fn line(&mut self, line: &str, facts: &mut Facts) -> Read {
        let bare = line.trim();
        let bare = bare.strip_prefix("*ACTIVE* ").unwrap_or(bare);
        if bare == "Alarm Stats:" {
            (self.stats, self.gap) = (true, false);
            facts.alarms.clear();
            return Read::Used;
        }
        if !self.stats {
            return Read::Skipped;
        }
        if let Some(mut alarm) = self.open.take() {
            alarm.tag = Some(bare.to_owned());
            facts.alarms.push(alarm);
            return Read::Used;
        }
        if bare.ends_with(" wakeups:") && bare.contains(" running, ") {
            self.gap = false;
            return used(self.package(bare, facts));
        }
        if bare.contains(" wakes ") && bare.contains(" alarms, last ") {
            self.gap = false;
            return used(self.alarm(bare, facts));
        }
        // The section has no end of its own.
        if self.gap || bare.ends_with(':') {
            self.stats = false;
            return Read::Skipped;
        }
        Read::Unclear
    }

    fn blank(&mut self, _line: &str) {
        self.gap = true;
    }

    fn end(&mut self) -> u64 {
        u64::from(self.open.take().is_some())
    }
}

impl Dump {
    /// `u0a86:com.android.systemui +1s281ms running, 13 wakeups:`.
    fn package(&mut self, line: &str, facts: &mut Facts) -> Option<()> {
        self.package = None;
        let (head, wakeups) = line.strip_suffix(" wakeups:")?.rsplit_once(" running, ")?;
        let (owner, running) = head.rsplit_once(' ')?;
        let (id, package) = owner.split_once(':')?;
        let alarm = Alarm {
            uid: uid(id),
            package: package.to_owned(),
            tag: None,
            wakeups: Some(wakeups.parse().ok()?),
            alarms: None,
            running_ns: Some(duration(running)?),
        };
        self.package = Some((alarm.uid, alarm.package.clone()));
        facts.alarms.push(alarm);
        Some(())
    }

    /// `+30s12ms 12 wakes 12 alarms, last -3m22s105ms:`, and the tag there or on the next line.
    fn alarm(&mut self, line: &str, facts: &mut Facts) -> Option<()> {
        let (uid, package) = self.package.clone()?;
        let (running, rest) = line.split_once(' ')?;
        let (wakeups, rest) = rest.split_once(" wakes ")?;
        let (alarms, rest) = rest.split_once(" alarms, last ")?;
        let (last, tag) = rest.split_once(':')?;
        duration(last)?;
        let alarm = Alarm {
            uid,
            package,
            tag: Some(tag.trim().to_owned()).filter(|tag| !tag.is_empty()),
            wakeups: Some(wakeups.parse().ok()?),
            alarms: Some(alarms.parse().ok()?),
            running_ns: Some(duration(running)?),
        };
        match alarm.tag {
            Some(_) => facts.alarms.push(alarm),
            None => self.open = Some(alarm),
        }
        Some(())
    }
}
