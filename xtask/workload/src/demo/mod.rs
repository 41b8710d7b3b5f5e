//! `demo`: a phone in miniature, for about the time that is asked for.
//!
//! One thread runs the suspend loop; others hold sources meanwhile, as drivers' would.

mod phone;
mod plan;
mod steps;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::event::{self, Event};
use crate::scratch::Scratch;
use crate::stop::Stop;
use crate::suspend::Power;
use crate::worker;
use phone::Phone;
use plan::Plan;
use steps::Director;

/// Room for a sleep and an abort.
pub const SHORTEST: Duration = Duration::from_secs(5);

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
