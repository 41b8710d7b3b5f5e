//! `scenario`: each way in which a suspend attempt can end, and each thing that can come before
//! it, once.
//!
//! A step goes by the kernel's state, not by the clock: a holder lets go when the other thread
//! waits in the kernel, and what must hit a certain stage is tried until the kernel's own trace shows
//! that it did. A step that cannot be done is an error.
//!
//! Missing is an s2idle that is entered again within one attempt. That takes a platform whose wake
//! hook takes a wakeup back (`s2idle_loop` in kernel/power/suspend.c, 7.3: `s2idle_ops->wake`, which
//! only ACPI on x86 sets); elsewhere the loop ends at the first interrupt that wakes.

mod hold;
mod hung_mount;
mod phases;
mod setting;
mod stats;
mod steps;

use std::path::PathBuf;

use anyhow::Result;

use crate::scratch::Scratch;
use crate::stop::Stop;
use crate::suspend::Power;
use crate::worker;
use steps::Scenario;

/// Runs it.
pub fn run() -> Result<()> {
    let stop = Stop::new()?;
    let power = Power::open()?;
    let _alarm_off = power.alarm_off();
    let scratch = Scratch::new()?;
    let folder = scratch.path().to_owned();
    worker::run(&stop, move || perform(power, folder))
}

fn perform(power: Power, folder: PathBuf) -> Result<()> {
    Scenario::new(power, folder)?.perform()
}
