//! `sources`: many wakeup sources, and traffic on them.

use std::ffi::OsString;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use clap::value_parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sleepwalk_trace::units;

use crate::fifo::{Fifo, prefix_parser};
use crate::scratch::Scratch;
use crate::stop::{Ended, Stop};
use crate::wake_set::WakeSet;
use crate::{capabilities, event, storm};

/// Files that are open besides the FIFOs, and then some.
const OTHER_FILES: u64 = 32;

/// More file descriptors than this no kernel gives by default (fs.nr_open).
const MOST: i64 = 1_000_000;

/// Make N wakeup sources, PREFIX_0000 and so on, plus the epoll set's own (`eventpoll`)
///
/// Prints `ready`, and stays until its stdin ends (a pipe, socket or terminal), a signal comes or the
/// time is up. With --churn, prints `churned N` at the end.
#[derive(Args, Debug, PartialEq)]
pub struct Options {
    /// How many
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=MOST))]
    pub count: u32,
    /// How their names begin
    #[arg(long, default_value = "source", value_parser = prefix_parser())]
    pub prefix: OsString,
    #[command(flatten)]
    pub traffic: Traffic,
    /// End after this time
    #[arg(long = "for", value_name = "TIME", value_parser = units::duration)]
    pub length: Option<Duration>,
}

/// The traffic on the sources.
#[derive(Args, Debug, Default, PartialEq)]
#[group(multiple = false)]
pub struct Traffic {
    /// That many short activations a second, round robin
    #[arg(long, value_name = "HZ", value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub churn: Option<u32>,
    /// As many activations as all CPUs can make
    #[arg(long)]
    pub storm: bool,
    /// As many births and deaths as all CPUs can make
    #[arg(long)]
    pub flicker: bool,
}

/// Makes them, prints `ready`, stays until it is to end.
pub fn run(options: &Options) -> Result<()> {
    capabilities::check()?;
    allow_files(u64::from(options.count) + OTHER_FILES)?;
    let stop = Stop::new()?.or_stdin();
    let scratch = Scratch::new()?;
    if options.traffic.storm {
        return storm::of_edges(&stop, scratch.path(), options);
    }
    if options.traffic.flicker {
        return storm::of_lives(&stop, scratch.path(), options);
    }
    // After the FIFOs, so that it drops before them: all sources die by one close.
    let mut fifos = Vec::with_capacity(options.count as usize);
    let set = WakeSet::new()?;
    for index in 0..options.count {
        let fifo = Fifo::new(scratch.path(), &name(options, index))?;
        set.add(&fifo)?;
        fifos.push(fifo);
    }
    let deadline = options.length.map(|length| Instant::now() + length);
    event::print("ready\n")?;
    let ended = if let Some(hz) = options.traffic.churn {
        let (ended, done) = churn(&stop, &set, &fifos, hz, deadline)?;
        event::print(&format!("churned {done}\n"))?;
        ended
    } else {
        stop.wait_until(deadline)?
    };
    debug_assert!(ended != Ended::File, "no file was waited for");
    drop(set);
    drop(fifos);
    Ok(())
}

/// The name of that source.
pub fn name(options: &Options, index: u32) -> OsString {
    let mut name = options.prefix.clone();
    name.push(format!("_{index:04}"));
    name
}

/// Activates and relaxes one source after the other; when it is late it catches up.
fn churn(
    stop: &Stop,
    set: &WakeSet,
    fifos: &[Fifo],
    hz: u32,
    deadline: Option<Instant>,
) -> Result<(Ended, u64)> {
    let begin = Instant::now();
    for (done, fifo) in (0..).zip(fifos.iter().cycle()) {
        let due = begin + due(done, hz);
        let until = deadline.map_or(due, |deadline| due.min(deadline));
        let ended = stop.wait_until(Some(until))?;
        if ended != Ended::Time || deadline.is_some_and(|deadline| deadline <= due) {
            return Ok((ended, done));
        }
        fifo.fill()?;
        fifo.drain()?;
        set.settle()?;
    }
    bail!("there is nothing to churn")
}

/// When the activation of that number is due, after the beginning.
fn due(number: u64, hz: u32) -> Duration {
    let hz = u64::from(hz);
    Duration::from_secs(number / hz) + Duration::from_nanos(number % hz * 1_000_000_000 / hz)
}

/// Raises RLIMIT_NOFILE so far; root may.
fn allow_files(needed: u64) -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("RLIMIT_NOFILE")?;
    if soft >= needed {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed)).with_context(|| {
        let most = fs::read_to_string("/proc/sys/fs/nr_open").unwrap_or_default();
        format!(
            "RLIMIT_NOFILE cannot be raised from {soft} to {needed} (fs.nr_open is {}): give a \
             smaller --count",
            most.trim()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_are_spread_evenly() {
        assert_eq!(due(0, 3), Duration::ZERO);
        assert_eq!(due(1, 4), Duration::from_millis(250));
        assert_eq!(due(9, 4), Duration::from_millis(2250));
        // No overflow in a year of it.
        assert_eq!(due(31_536_000_000_000, 1_000_000), Duration::from_secs(31_536_000));
    }

    #[test]
    fn names_count_up() {
        let traffic = Traffic::default();
        let options = Options { count: 20_000, prefix: "ws".into(), traffic, length: None };
        assert_eq!(name(&options, 7), "ws_0007");
        assert_eq!(name(&options, 12_345), "ws_12345");
    }
}
