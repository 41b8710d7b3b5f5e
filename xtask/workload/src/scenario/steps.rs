//! The steps.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::errno::Errno;

use super::hold::while_waiting;
use super::hung_mount::HungMount;
use super::phases::{Phases, Seen};
use super::setting::Setting;
use super::stats::Stats;
use crate::clock::boot_ns;
use crate::event::{self, Event};
use crate::fifo::Source;
use crate::suspend::{self, Power};
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

/// The root hub of dummy_hcd, without the driver of hubs and with a gadget at its port. As long as it
/// may wake the device it refuses to suspend, because nobody takes note of the connection
/// (`hcd_bus_suspend`, drivers/usb/core/hcd.c, 6.1 to 7.3).
const HUB_WAKES: &str = "/sys/devices/platform/dummy_hcd.0/usb1/power/wakeup";
const FREEZE_LIMIT: &str = "/sys/power/pm_freeze_timeout";
/// In ms.
const SHORT_FREEZE: &str = "500";
const USUAL_FREEZE: &str = "20000";

/// Android's user space is not ready for so long: it holds a wakelock of its own.
const USER_SPACE_HOLD: Duration = Duration::from_secs(1);
/// The first pause of Android's loop after an attempt that failed (`SystemSuspend`, Android 12 to 16:
/// `suspend.base_sleep_time_millis`). It doubles with each that follows.
const BACK_OFF: Duration = Duration::from_millis(100);
const BACK_OFFS: u32 = 3;

const EBUSY: i32 = -(Errno::EBUSY as i32);
const EPERM: i32 = -(Errno::EPERM as i32);
const ETIMEDOUT: i32 = -(Errno::ETIMEDOUT as i32);

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
        let steps: [(&str, Step); 15] = [
            ("born and dead", Scenario::born_and_dead),
            ("refused by a notifier", Scenario::refused),
            ("blocked by one, cut short at freezer", Scenario::blocked_by_one),
            ("blocked by two, cut short at devices", Scenario::blocked_by_two),
            ("aborted in the sync", Scenario::aborted_in_the_sync),
            ("aborted in the freeze", Scenario::aborted_in_the_freeze),
            ("aborted among the devices", Scenario::aborted_among_devices),
            ("unarmed, slept under an active source", Scenario::unarmed),
            ("unarmed, a notifier and a device busy", Scenario::unarmed_and_refused),
            ("a device busy", Scenario::device_busy),
            ("tasks that do not freeze", Scenario::frozen_too_late),
            ("user space not ready, a notifier too late", Scenario::user_space_holds),
            ("armed by an earlier write", Scenario::armed_before),
            ("the count refused, then back-off", Scenario::backs_off),
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
            let (errno, seen) = self.attempt(|power| {
                power.attempt(ALARM_S, || {
                    armed_ns = boot_ns();
                    timer.arm(delay)
                })
            })?;
            thread::sleep(HOLD);
            timer.relax()?;
            match (errno, seen.began_ns("dpm_suspend")) {
                (EBUSY, Some(_)) => return Ok(()),
                // It was too late and the attempt slept: now it is known when it should have been.
                (_, Some(began)) => delay = Duration::from_nanos(began.saturating_sub(armed_ns)),
                (_, None) => delay = delay * 3 / 2,
            }
        }
        bail!("{DEVICES_TRIES} attempts, and none was aborted there; the last delay: {delay:?}")
    }

    /// Nobody has written the count since the last attempt, so the kernel looks at no source. Another
    /// thread does it, like someone in a shell, while this one backs off.
    fn unarmed(&mut self) -> Result<()> {
        let source = self.source("ignored")?;
        source.activate()?;
        self.sleep(|power| {
            let unarmed = || power.attempt_unarmed(ALARM_S, || Ok(()));
            let done = thread::scope(|scope| scope.spawn(unarmed).join());
            done.map_err(|_| anyhow!("the thread that suspends panicked"))?
        })?;
        source.relax()?;
        source.end()
    }

    /// The source is active here too, and has no part in it.
    fn unarmed_and_refused(&mut self) -> Result<()> {
        let source = self.source("innocent")?;
        source.activate()?;
        let unarmed = |power: &Power| power.attempt_unarmed(MISSED_ALARM_S, || Ok(()));
        let refuse = Setting::put(REFUSE, &EBUSY.to_string(), "0")?;
        self.no_sleep(EBUSY, unarmed)?;
        drop(refuse);
        let hub = Setting::put(HUB_WAKES, "enabled", "disabled")?;
        self.no_sleep(EBUSY, unarmed)?;
        drop(hub);
        source.relax()?;
        source.end()
    }

    fn device_busy(&mut self) -> Result<()> {
        let _hub = Setting::put(HUB_WAKES, "enabled", "disabled")
            .context("the modules dummy_hcd and g_serial are needed")?;
        self.expect(EBUSY, || Ok(())).map(drop)
    }

    fn frozen_too_late(&mut self) -> Result<()> {
        let _short = Setting::put(FREEZE_LIMIT, SHORT_FREEZE, USUAL_FREEZE)?;
        let _hung = HungMount::new(&self.folder.join("hung"))?;
        self.expect(EBUSY, || Ok(())).map(drop)
    }

    fn user_space_holds(&mut self) -> Result<()> {
        let _refuse = Setting::put(REFUSE, &ETIMEDOUT.to_string(), "0")?;
        self.no_sleep(ETIMEDOUT, |power| {
            let hold = || {
                thread::sleep(USER_SPACE_HOLD);
                Ok(())
            };
            power.attempt_when(MISSED_ALARM_S, hold, || Ok(()))
        })
        .map(drop)
    }

    /// The attempt before wrote the count and ended without a wakeup, so the kernel still looks.
    fn armed_before(&mut self) -> Result<()> {
        let source = self.source("seen_late")?;
        self.no_sleep(EBUSY, |power| power.attempt_unarmed(MISSED_ALARM_S, || source.activate()))?;
        source.relax()?;
        source.end()
    }

    /// As Android's loop does it: after each attempt that fails, twice as long.
    fn backs_off(&mut self) -> Result<()> {
        let source = self.source("storms")?;
        let mut raced = false;
        let race = || {
            if std::mem::replace(&mut raced, true) {
                return Ok(());
            }
            source.activate()?;
            source.relax()
        };
        self.no_sleep(EBUSY, |power| {
            power.attempt_when(MISSED_ALARM_S, race, || source.activate())
        })?;
        let mut pause = BACK_OFF;
        for _ in 1..BACK_OFFS {
            source.relax()?;
            thread::sleep(pause);
            pause *= 2;
            self.expect(EBUSY, || source.activate())?;
        }
        source.relax()?;
        thread::sleep(pause);
        source.end()
    }

    fn slept(&mut self) -> Result<()> {
        self.sleep(|power| power.attempt(ALARM_S, || Ok(())))
    }

    fn source(&self, name: &str) -> Result<Source> {
        Source::new(&self.folder, OsStr::new(name))
    }

    /// An attempt that must give this errno and not sleep.
    fn expect(&mut self, errno: i32, started: impl FnOnce() -> Result<()>) -> Result<Seen> {
        self.no_sleep(errno, |power| power.attempt(MISSED_ALARM_S, started))
    }

    /// The same, by an attempt of any kind.
    fn no_sleep(
        &mut self,
        errno: i32,
        attempt: impl FnOnce(&Power) -> Result<suspend::Attempt>,
    ) -> Result<Seen> {
        let (given, seen) = self.attempt(attempt)?;
        ensure!(given == errno, "it gave {given} instead of {errno}");
        ensure!(seen.began_ns("machine_suspend").is_none(), "it slept");
        Ok(seen)
    }

    fn sleep(&mut self, attempt: impl FnOnce(&Power) -> Result<suspend::Attempt>) -> Result<()> {
        let (errno, seen) = self.attempt(attempt)?;
        ensure!(errno == 0, "it gave {errno}");
        ensure!(seen.began_ns("machine_suspend").is_some(), "it never reached the machine");
        Ok(())
    }

    fn attempt(
        &mut self,
        attempt: impl FnOnce(&Power) -> Result<suspend::Attempt>,
    ) -> Result<(i32, Seen)> {
        self.phases.clear()?;
        let before = Stats::read()?;
        let attempt = attempt(&self.power)?;
        self.attempts += 1;
        let (n, errno, attempt_ns) = (self.attempts, attempt.errno, attempt.write.ns());
        event::at(attempt.write.end_ns, Event::AttemptEnd { n, errno, attempt_ns })?;
        if let Some(step) = Stats::read()?.failed_since(&before) {
            event::now(Event::StepFailed { step })?;
        }
        Ok((errno, self.phases.seen()?))
    }
}
