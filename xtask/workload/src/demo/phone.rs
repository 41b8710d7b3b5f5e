//! The demo's wakeup sources.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::event::{self, Event};
use crate::fifo::Source;
use crate::timer::{self, TimerSource};

/// The sources that are there all the time, named as on a phone.
const NAMES: [&str; 10] = [
    "modem_rx",
    "wlan_rx",
    "sensor_hub",
    "audio_dsp",
    "alarm_service",
    "bluetooth_timer",
    "touchscreen",
    "charger",
    "nfc",
    "fingerprint",
];

/// Those that are active for a moment each time the phone is awake, and for how long.
const CHATTER: [(&str, Duration); 4] = [
    ("bluetooth_timer", Duration::from_millis(40)),
    ("touchscreen", Duration::from_millis(70)),
    ("sensor_hub", Duration::from_millis(25)),
    ("charger", Duration::from_millis(15)),
];

/// The phone's reaction to the alarm that woke it.
const ALARM_WORK: Duration = Duration::from_millis(90);
/// The screen is on; user space does not try to suspend.
const IDLE: Duration = Duration::from_millis(250);

/// The sources, each in a set of its own, so that one can be held without a gap while others move.
pub struct Phone {
    folder: PathBuf,
    sources: Vec<(&'static str, Source)>,
    /// Fires whether or not user space is frozen.
    pub timer: TimerSource,
    /// How often the phone was busy.
    rounds: AtomicUsize,
}

impl Phone {
    /// Registers all of them.
    pub fn new(folder: PathBuf) -> Result<Phone> {
        let sources = NAMES
            .into_iter()
            .map(|name| Ok((name, Source::new(&folder, OsStr::new(name))?)))
            .collect::<Result<_>>()?;
        let timer = TimerSource::new()?;
        event::now(Event::Born { source: timer::NAME })?;
        Ok(Phone { folder, sources, timer, rounds: AtomicUsize::new(0) })
    }

    /// One that is there all the time.
    pub fn source(&self, name: &str) -> Result<&Source> {
        let found = self.sources.iter().find(|(known, _)| *known == name);
        found.map(|(_, source)| source).with_context(|| format!("the demo has no source {name}"))
    }

    /// Holds one for that long.
    pub fn hold(&self, name: &str, time: Duration) -> Result<()> {
        let source = self.source(name)?;
        source.activate()?;
        thread::sleep(time);
        source.relax()
    }

    /// One that lives only that long.
    pub fn short_life(&self, name: &str, time: Duration) -> Result<()> {
        let source = Source::new(&self.folder, OsStr::new(name))?;
        source.activate()?;
        thread::sleep(time);
        source.relax()?;
        source.end()
    }

    /// Awake with some activity; user space does not try to suspend.
    pub fn busy(&self) -> Result<()> {
        let round = self.rounds.fetch_add(1, Ordering::Relaxed);
        self.hold("alarm_service", ALARM_WORK)?;
        for offset in 0..2 {
            let (name, time) = CHATTER[(round + offset) % CHATTER.len()];
            self.hold(name, time)?;
        }
        thread::sleep(IDLE);
        Ok(())
    }

    /// Ends all of them.
    pub fn end(self) -> Result<()> {
        self.sources.into_iter().try_for_each(|(_, source)| source.end())?;
        drop(self.timer);
        event::now(Event::Dead { source: timer::NAME })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_chatters_is_there() {
        assert!(CHATTER.iter().all(|(name, _)| NAMES.contains(name)));
    }
}
