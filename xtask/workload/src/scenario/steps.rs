//! The steps.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;

use super::hold::while_waiting;
use super::phases::{Phases, Seen};
use super::setting::Setting;
use crate::clock::boot_ns;
use crate::event::{self, Event};
use crate::fifo::Source;
use crate::suspend::Power;
use crate::timer::TimerSource;

/// Until the alarm: the RTC counts whole seconds, so it is at least one.
const ALARM_S: u64 = 2;
/// An attempt that is not to sleep ends by this if it does all the same.
const MISSED_ALARM_S: u64 = 10;
/// How long sources hold what they hold.
const HOLD: Duration = Duration::from_millis(150);

/// From the write of `mem` to the timer that aborts among the devices, at first.
const DEVICES_AFTER: Duration = Duration::from_millis(25);
/// How often that is tried. On an idle machine it takes two or three.
const DEVICES_TRIES: u32 = 25;

const SYNC: &str = "/sys/power/sync_on_suspend";
const PM_TEST: &str = "/sys/power/pm_test";
const PM_TEST_DELAY: &str = "/sys/module/suspend/parameters/pm_test_delay";
/// The devices suspend one after the other, each with a message: that takes longer, and is easier to hit.
const PM_ASYNC: &str = "/sys/power/pm_async";
const PM_PRINT_TIMES: &str = "/sys/power/pm_print_times";
/// A file of the module pm-notifier-error-inject.
const REFUSE: &str = "/sys/kernel/debug/notifier-error-inject/pm/actions/PM_SUSPEND_PREPARE/error";

const EBUSY: i32 = -(Errno::EBUSY as i32);
const EPERM: i32 = -(Errno::EPERM as i32);

/// The state that the steps share.
pub struct Scenario {
    power: Power,
    folder: PathBuf,
    phases: Phases,
    attempts: u32,
}

impl Scenario {
    /// Nothing is done yet.
    pub fn new(power: Power, folder: PathBuf) -> Result<Scenario> {
        Ok(Scenario { power, folder, phases: Phases::watch()?, attempts: 0 })
    }

    /// All steps.
    pub fn perform(mut self) -> Result<()> {
        type Step = fn(&mut Scenario) -> Result<()>;
        let steps: [(&str, Step); 8] = [
            ("born and dead", Scenario::born_and_dead),
            ("refused by a notifier", Scenario::refused),
            ("blocked by one, cut short at freezer", Scenario::blocked_by_one),
            ("blocked by two, cut short at devices", Scenario::blocked_by_two),
            ("aborted in the sync", Scenario::aborted_in_the_sync),
            ("aborted in the freeze", Scenario::aborted_in_the_freeze),
            ("aborted among the devices", Scenario::aborted_among_devices),
            ("slept", Scenario::slept),
        ];
        let twins = self.twins()?;
        for (name, step) in steps {
            event::now(Event::Step { step: name })?;
            step(&mut self).with_context(|| format!("step `{name}`"))?;
        }
        // They lived long enough for many a snapshot.
        twins.into_iter().try_for_each(Source::end)
    }

    /// Two sources of one name, at the same time, active by themselves and together.
    fn twins(&self) -> Result<[Source; 2]> {
        let twin = |folder: &str| {
            let folder = self.folder.join(folder);
            fs::create_dir(&folder).with_context(|| format!("{folder:?}"))?;
            Source::new(&folder, OsStr::new("twin"))
        };
        let twins = [twin("first")?, twin("second")?];
        let [first, second] = &twins;
        for source in [first, second, second] {
            source.activate()?;
            source.relax()?;
        }
        first.activate()?;
        second.activate()?;
        first.relax()?;
        second.relax()?;
        Ok(twins)
    }

    fn born_and_dead(&mut self) -> Result<()> {
        let source = self.source("mayfly")?;
        source.activate()?;
        thread::sleep(HOLD);
        source.relax()?;
        source.end()
    }

    fn refused(&mut self) -> Result<()> {
        let _refuse = Setting::put(REFUSE, &EPERM.to_string(), "0")
            .context("the module pm-notifier-error-inject is needed")?;
        self.expect(EPERM, || Ok(())).map(drop)
    }

    fn blocked_by_one(&mut self) -> Result<()> {
        let source = self.source("blocks_alone")?;
        source.activate()?;
        self.cut_short("freezer", || {
            thread::sleep(HOLD);
            source.relax()
        })?;
        source.end()
    }

    fn blocked_by_two(&mut self) -> Result<()> {
        let (first, second) = (self.source("blocks_first")?, self.source("blocks_second")?);
        first.activate()?;
        self.cut_short("devices", || {
            thread::sleep(HOLD);
            second.activate()?;
            thread::sleep(HOLD);
            first.relax()?;
            thread::sleep(HOLD);
            second.relax()
        })?;
        first.end()?;
        second.end()
    }

    /// An attempt that the kernel's own test mode ends at `level`: it reports success, but does not sleep.
    fn cut_short(
        &mut self,
        level: &str,
        meanwhile: impl FnOnce() -> Result<()> + Send,
    ) -> Result<()> {
        let _delay = Setting::put(PM_TEST_DELAY, "1", "5")?;
        let _level = Setting::put(PM_TEST, level, "none")?;
        while_waiting(|| self.expect(0, || Ok(())), meanwhile).map(drop)
    }

    /// A source that is active when the attempt begins aborts the sync of the file systems, on kernels
    /// that let it be aborted (`pm_sleep_fs_sync`, kernel/power/main.c, 6.19), and the freeze on others.
    fn aborted_in_the_sync(&mut self) -> Result<()> {
        let source = self.source("aborts_sync")?;
        self.expect(EBUSY, || source.activate())?;
        thread::sleep(HOLD);
        source.relax()?;
        source.end()
    }

    /// The same without a sync: the next to look for wakeups is the freezer.
    fn aborted_in_the_freeze(&mut self) -> Result<()> {
        let _no_sync = Setting::put(SYNC, "0", "1")?;
        let source = self.source("aborts_freeze")?;
        let seen = self.expect(EBUSY, || source.activate())?;
        ensure!(seen.began_ns("freeze_processes").is_some(), "it did not come to the freeze");
        thread::sleep(HOLD);
        source.relax()?;
        source.end()
    }

    /// A timer, because user space is frozen by then. When to set it follows from how the attempt
    /// before went.
    fn aborted_among_devices(&mut self) -> Result<()> {
        let _slowly = Setting::put(PM_ASYNC, "0", "1")?;
        let _verbosely = Setting::put(PM_PRINT_TIMES, "1", "0")?;
        let timer = TimerSource::new()?;
        let mut delay = DEVICES_AFTER;
        for _ in 0..DEVICES_TRIES {
            let mut armed_ns = 0;
            let (errno, seen) = self.attempt(ALARM_S, || {
                armed_ns = boot_ns();
                timer.arm(delay)
            })?;
            thread::sleep(HOLD);
            timer.relax()?;
            match (errno, seen.began_ns("dpm_suspend")) {
                (EBUSY, Some(_)) => return Ok(()),
                // It was too late and the attempt slept: now it is known when it should have been.
                (_, Some(began)) => delay = Duration::from_nanos(began.saturating_sub(armed_ns)),
                (_, None) => delay = delay * 5 / 4,
            }
        }
        bail!("{DEVICES_TRIES} attempts, and none was aborted there; the last delay: {delay:?}")
    }

    fn slept(&mut self) -> Result<()> {
        let (errno, seen) = self.attempt(ALARM_S, || Ok(()))?;
        ensure!(errno == 0, "it gave {errno}");
        ensure!(seen.began_ns("machine_suspend").is_some(), "it never reached the machine");
        Ok(())
    }

    fn source(&self, name: &str) -> Result<Source> {
        Source::new(&self.folder, OsStr::new(name))
    }

    /// An attempt that must give this errno and not sleep.
    fn expect(&mut self, errno: i32, started: impl FnOnce() -> Result<()>) -> Result<Seen> {
        let (given, seen) = self.attempt(MISSED_ALARM_S, started)?;
        ensure!(given == errno, "it gave {given} instead of {errno}");
        ensure!(seen.began_ns("machine_suspend").is_none(), "it slept");
        Ok(seen)
    }

    fn attempt(
        &mut self,
        alarm_s: u64,
        started: impl FnOnce() -> Result<()>,
    ) -> Result<(i32, Seen)> {
        self.phases.clear()?;
        let attempt = self.power.attempt(alarm_s, started)?;
        self.attempts += 1;
        let (n, errno, attempt_ns) = (self.attempts, attempt.errno, attempt.write.ns());
        event::at(attempt.write.end_ns, Event::AttemptEnd { n, errno, attempt_ns })?;
        Ok((errno, self.phases.seen()?))
    }
}
