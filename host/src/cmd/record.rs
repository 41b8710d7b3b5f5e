//! `sleepwalk record`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::output::Output;
use super::report::as_table;
use crate::agent::{Agent, Installed};
use crate::capture::{Capture, DIR, State};
use crate::cli::Target;
use crate::interrupt;
use crate::report::By;
use crate::session::decode;
use crate::text::one_line;
use crate::units::{asked, parse_duration, parse_size, size, utc_for_names};

/// Options of `record`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// How long to record, like 90s, 10m or 8h [default: 10m; with --detach until `sleepwalk stop`]
    #[arg(short, long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// The file for the trace [default: sleepwalk-DATE-TIME.swk in this folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Time between snapshots where nothing else asks for one
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    interval: Duration,
    /// Where snapshots come from
    #[arg(long, value_enum, default_value_t = Source::Auto)]
    source: Source,
    /// Leave single activations out: a smaller trace that tells less
    #[arg(long)]
    no_edges: bool,
    /// The longest that the trace may get on the device, like 512K, 64M or 1G; at least 256K
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = parse_size)]
    max_size: u64,
    /// What to do when it is that long
    #[arg(long, value_enum, default_value_t = OnFull::Stop)]
    on_full: OnFull,
    /// Leave it running and return: `sleepwalk status`, `stop` and `pull` go on from there
    #[arg(long, conflicts_with_all = ["output", "force", "keep"])]
    detach: bool,
    /// Another agent than the one that this program brings
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Overwrite a trace that exists
    #[arg(long)]
    force: bool,
    /// Leave the trace on the device too
    #[arg(long)]
    keep: bool,
}

/// Where snapshots come from.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Source {
    /// The best that works
    Auto,
    /// The kernel's own functions for it
    Kfunc,
    /// The same walk by the list's address, without the kernel's lock
    Kallsyms,
    /// The kernel's table, in ms
    Debugfs,
    /// The attributes of each source, in ms and slow
    Sysfs,
}

/// What to do when the trace is as long as it may be.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnFull {
    /// End the capture
    Stop,
    /// Drop the oldest eighth and go on
    Ring,
}

/// Until the first question to the device while it captures, which tells a capture that failed early;
/// twice as long until each further one, for each keeps it from sleeping.
const POLL: Duration = Duration::from_secs(30);
/// The longest time between questions.
const LONGEST_POLL: Duration = Duration::from_secs(30 * 60);
/// Between questions once the capture should be over.
const OVERDUE: Duration = Duration::from_secs(2);
/// How long a device may not answer after the capture's time is over.
const PATIENCE: Duration = Duration::from_secs(60);

/// Without `-d`, where somebody waits for the end.
const DURATION: Duration = Duration::from_secs(10 * 60);

/// Records, brings the trace here, and ranks; or lets the agent record alone.
pub fn run(args: &Args) -> Result<ExitCode> {
    let stamp = utc_for_names(jiff::Timestamp::now());
    let name = format!("record-{stamp}-{}", std::process::id());
    if args.detach {
        return detach(args, &name);
    }
    let duration = args.duration.unwrap_or(DURATION);
    let path = args.output.clone().unwrap_or_else(|| format!("sleepwalk-{stamp}.swk").into());
    let output = Output::begin(&path, args.force)?;
    interrupt::watch()?;
    let device = super::connect(args.target.serial())?;
    let agent = Agent::find(args.agent.as_deref())?;
    give_up_if_interrupted()?;
    let installed = Installed::new(&device, &agent, DIR)?;
    give_up_if_interrupted()?;

    let mut capture = Capture::start(installed, &name, &agent_args(args, Some(duration)))?;
    let failure = match wait(&mut capture, duration, device.serial())? {
        Some(0) => None,
        code => Some(capture.remote().failed(code)),
    };
    // What a failed agent saw until then may be what it was started for.
    let bytes = match capture.fetch(output.part()) {
        Ok(bytes) => bytes,
        Err(error) => {
            capture.leave_trace();
            let (trace, what) =
                (capture.remote().trace(), if failure.is_some() { "may be" } else { "is" });
            super::say(&format!(
                "the trace {what} {trace} on the device: `sleepwalk pull` brings it"
            ));
            return Err(failure.unwrap_or(error));
        }
    };
    // The device's copy goes only when the one here is whole and has its name.
    let loaded = decode::load(output.part());
    let decoded = loaded.and_then(|bytes| super::decode(output.path(), &bytes));
    let path = output.finish().inspect_err(|_| capture.leave_trace())?;
    // One that can't be read is kept as well: it is all there is of this time.
    let analysis = match decoded {
        Ok(analysis) => analysis,
        Err(error) => return Err(failure.unwrap_or(error.into())),
    };
    if args.keep {
        super::say(&format!("{} stays on the device", capture.remote().trace()));
    }
    capture.done(args.keep);
    if analysis.model.finish.is_none() {
        super::say("warning: the capture did not end in order: what it saw last may be missing");
    }
    super::print(&as_table(&analysis, By::Name, None, super::look::look(None)))?;
    super::say(&format!("the trace is {} ({})", path.display(), size(bytes)));
    match failure {
        None => Ok(ExitCode::SUCCESS),
        Some(failure) => Err(failure),
    }
}

/// Starts a capture and leaves it to itself.
fn detach(args: &Args, name: &str) -> Result<ExitCode> {
    interrupt::watch()?;
    let device = super::connect(args.target.serial())?;
    let agent = Agent::find(args.agent.as_deref())?;
    give_up_if_interrupted()?;
    let installed = Installed::new(&device, &agent, DIR)?;
    give_up_if_interrupted()?;
    let mut capture = Capture::start(installed, name, &agent_args(args, args.duration))?;
    capture.leave();
    let until = match args.duration {
        Some(duration) => format!("for {}", asked(duration)),
        None => "until `sleepwalk stop`".to_owned(),
    };
    super::say(&format!("{name} records on {} {until}", device.serial()));
    super::say("pull the cable, then later: `sleepwalk status`, `stop`, `pull`");
    super::print(&format!("{name}.swk\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn agent_args(args: &Args, duration: Option<Duration>) -> Vec<String> {
    let source = args.source.to_possible_value();
    let mut list = Vec::new();
    if let Some(duration) = duration {
        list.extend(["-d".to_owned(), format!("{}s", duration.as_secs())]);
    }
    list.extend(["--interval".to_owned(), format!("{}s", args.interval.as_secs())]);
    if args.no_edges {
        list.push("--no-edges".to_owned());
    }
    if let (Some(source), false) = (source, matches!(args.source, Source::Auto)) {
        list.extend(["--source".to_owned(), source.get_name().to_owned()]);
    }
    // Sizes have a unit there, and none here is finer.
    list.extend(["--max-size".to_owned(), format!("{}K", args.max_size >> 10)]);
    if matches!(args.on_full, OnFull::Ring) {
        list.extend(["--on-full".to_owned(), "ring".to_owned()]);
    }
    list
}

fn give_up_if_interrupted() -> Result<()> {
    if interrupt::count() > 0 {
        bail!("interrupted before the capture began");
    }
    Ok(())
}

/// Waits until the capture is over, and returns the agent's exit code.
///
/// Every question over adb wakes a phone, or keeps it awake, and so disturbs what is measured: there
/// are fewer and fewer, and a device that does not answer is taken to be asleep.
fn wait(capture: &mut Capture<'_>, duration: Duration, serial: &str) -> Result<Option<i32>> {
    let bar = progress(duration, serial);
    let begun = Instant::now();
    let mut silent = false;
    let mut poll = POLL;
    loop {
        let left = duration.saturating_sub(begun.elapsed());
        pass(&bar, begun, pause(&mut poll, left));
        if interrupt::count() > 0 {
            bar.finish_and_clear();
            return stop(capture);
        }
        let answer = capture.state();
        if let Ok(State::Ended(code)) = answer {
            bar.finish_and_clear();
            return Ok(code);
        }
        if let (Err(why), false) = (&answer, silent) {
            silent = true;
            bar.suspend(|| super::say(&format!("waiting for the device: {why}")));
        }
        if begun.elapsed() < duration + PATIENCE {
            continue;
        }
        bar.finish_and_clear();
        match answer {
            Ok(_) => {
                super::say("warning: the agent does not end by itself: it is stopped");
                return stop(capture);
            }
            Err(why) => {
                capture.leave();
                let trace = capture.remote().trace();
                return Err(anyhow::Error::new(why).context(format!(
                    "the capture's time is over and device {serial} does not answer: \
                     its trace is {trace}: `sleepwalk pull` brings it here"
                )));
            }
        }
    }
}

/// How long to ask nothing, if `left` of the capture is left.
fn pause(poll: &mut Duration, left: Duration) -> Duration {
    if left.is_zero() {
        return OVERDUE;
    }
    let pause = (*poll).min(left + OVERDUE / 4);
    *poll = (*poll * 2).min(LONGEST_POLL);
    pause
}

/// Stops the capture early; a trace is all the same.
fn stop(capture: &mut Capture<'_>) -> Result<Option<i32>> {
    super::say("stopping; Ctrl-C again gives the trace up");
    let stopped = capture.stop();
    if interrupt::count() > 1 {
        bail!("interrupted: the trace was given up");
    }
    match stopped.inspect_err(|_| capture.leave_trace())? {
        State::Ended(code) => Ok(code),
        // It was told to end and did not: what it wrote is whole.
        State::Starting | State::Capturing => Ok(None),
    }
}

/// A bar on a terminal, else one line.
fn progress(duration: Duration, serial: &str) -> ProgressBar {
    let text = asked(duration);
    let serial = one_line(serial);
    let what = format!("recording on {serial} for {text}; Ctrl-C stops early and keeps the trace");
    let bar = ProgressBar::new(duration.as_secs());
    if bar.is_hidden() {
        super::say(&what);
        return bar;
    }
    if let Ok(style) = ProgressStyle::with_template("{msg}\n[{bar:40}] {elapsed} of {prefix}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what);
    bar.set_prefix(text);
    bar
}

/// Lets `pause` go by, or until Ctrl-C, and moves the bar on.
fn pass(bar: &ProgressBar, begun: Instant, pause: Duration) {
    let until = Instant::now() + pause;
    while interrupt::count() == 0 {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        interrupt::sleep(left.min(Duration::from_millis(500)), 0);
        bar.set_position(begun.elapsed().as_secs());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_is_asked_about_a_few_times_only() {
        let (mut poll, mut left) = (POLL, Duration::from_secs(8 * 3600));
        let mut pauses = Vec::new();
        while !left.is_zero() {
            let pause = pause(&mut poll, left);
            pauses.push(pause.as_secs());
            left = left.saturating_sub(pause);
        }
        assert_eq!(pauses[..8], [30, 60, 120, 240, 480, 960, 1800, 1800]);
        assert!(pauses.len() < 24, "{pauses:?}");
        assert_eq!(pause(&mut poll, left), OVERDUE);
        assert_eq!(pause(&mut { POLL }, Duration::from_secs(10)), Duration::from_millis(10_500));
    }
}
