//! `source`: one source of a known name, active for a known time.

use anyhow::{Result, bail};

use crate::args::SourceOptions;
use crate::fifo::Source;
use crate::rights;
use crate::scratch::Scratch;
use crate::stop::{Ended, Stop};

/// Makes it, holds it as often as asked, ends it.
pub fn run(options: &SourceOptions) -> Result<()> {
    rights::check()?;
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

fn hold(options: &SourceOptions, stop: &Stop, source: &Source) -> Result<Option<Ended>> {
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
