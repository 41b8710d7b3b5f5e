//! `demo`: a phone in miniature, for about the given time.
//!
//! One thread runs the suspend loop; others hold sources meanwhile, as drivers' would.

mod phone;
mod plan;
mod steps;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use sleepwalk_trace::units;

use crate::event::{self, Event};
use crate::scratch::Scratch;
use crate::stop::Stop;
use crate::suspend::Power;
use crate::worker;
use phone::Phone;
use plan::Plan;
use steps::Director;

/// Room for a sleep and an abort.
const SHORTEST: Duration = Duration::from_secs(5);

/// A phone in miniature: sleeps, aborts, long waits
///
/// Prints a JSON line for everything it does, with a CLOCK_BOOTTIME stamp in ns. Sort by it: threads
/// print when they can.
#[derive(Args, Debug, PartialEq)]
pub struct Options {
    /// How long
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = long_enough)]
    pub length: Duration,
}

fn long_enough(text: &str) -> Result<Duration, String> {
    match units::duration(text)? {
        length if length < SHORTEST => {
            Err(format!("`{text}` is too short for anything to happen: give at least 5s"))
        }
        length => Ok(length),
    }
}

/// Runs it.
pub fn run(length: Duration) -> Result<()> {
    let deadline = Instant::now() + length;
    let stop = Stop::new()?;
    let power = Power::open()?;
    let _alarm_off = power.alarm_off();
    let scratch = Scratch::new()?;
    let folder = scratch.path().to_owned();
    worker::run(&stop, move || perform(power, folder, deadline))
}

fn perform(power: Power, folder: PathBuf, deadline: Instant) -> Result<()> {
    let phone = Phone::new(folder)?;
    let mut director = Director::new(power, &phone);
    let mut plan = Plan::default();
    phone.busy()?;
    while let Some(step) = plan.next(deadline.saturating_duration_since(Instant::now())) {
        event::now(Event::Step { step: &step.words() })?;
        director.perform(step)?;
        phone.busy()?;
    }
    // Too short for anything more; a recording of the same length ends with us.
    thread::sleep(deadline.saturating_duration_since(Instant::now()));
    let done = director.tally;
    phone.end()?;
    event::now(Event::Done {
        attempts: done.attempts(),
        succeeded: done.succeeded,
        busy: done.busy,
        other: done.other,
    })
}
