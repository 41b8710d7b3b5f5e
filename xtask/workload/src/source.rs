//! `source`: one source of a known name, active for a known time.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, value_parser};
use sleepwalk_trace::units;

use crate::capabilities;
use crate::fifo::{Source, name_parser};
use crate::scratch::Scratch;
use crate::stop::{Ended, Stop};

/// Make one source of that very name, and activate it --times times
///
/// Each time it is inactive for --after, then active for --hold. Prints a JSON line for each birth,
/// activation, relaxation and death. An empty NAME is a pipe, which has none.
#[derive(Args, Debug, PartialEq)]
pub struct Options {
    /// Any bytes that a file's name may have
    #[arg(long, allow_hyphen_values = true, value_parser = name_parser())]
    pub name: OsString,
    /// How long it is inactive before each time
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = units::duration)]
    pub after: Duration,
    /// How long it is active each time
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::duration)]
    pub hold: Duration,
    /// How often
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..))]
    pub times: u32,
}

/// Makes it, holds it as often as asked, ends it.
pub fn run(options: &Options) -> Result<()> {
    capabilities::check()?;
    let stop = Stop::new()?;
    let scratch = Scratch::new()?;
    let source = Source::new(scratch.path(), &options.name)?;
    let ended = hold(options, &stop, &source)?;
    source.end()?;
    match ended {
        Some(Ended::Signal(signal)) => bail!("stopped by {signal} before it was done"),
        _ => Ok(()),
    }
}

fn hold(options: &Options, stop: &Stop, source: &Source) -> Result<Option<Ended>> {
    for _ in 0..options.times {
        if let Some(ended) = stop.sleep(options.after)? {
            return Ok(Some(ended));
        }
        source.activate()?;
        let ended = stop.sleep(options.hold)?;
        source.relax()?;
        if ended.is_some() {
            return Ok(ended);
        }
    }
    Ok(None)
}
