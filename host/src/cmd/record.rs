//! `sleepwalk record`.

mod poll;
mod progress;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use sleepwalk_trace::chunk::LEAST_SIZE;
use sleepwalk_trace::units::{self, positive_duration};

use super::console::{print, say};
use super::input;
use super::look::look;
use super::new_file::NewFile;
use super::report::as_table;
use super::target::Target;
use crate::device::adb::Device;
use crate::device::agent::{Agent, Installed};
use crate::device::capture::Capture;
use crate::device::paths::DIR;
use crate::interrupt;
use crate::report::By;
use crate::session::decode;
use crate::units::{duration as text_of, size, utc_for_names};

/// Options of `record`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// How long to record, such as 90s, 10m, 8h or 1d [default: 10m; with --detach, no limit]
    #[arg(short, long, value_parser = positive_duration)]
    duration: Option<Duration>,
    /// File for the trace [default: sleepwalk-DATE-TIME.swk in this folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Interval between periodic snapshots
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = positive_duration)]
    interval: Duration,
    /// How to take snapshots
    #[arg(long, value_enum, default_value_t = Source::Auto)]
    source: Source,
    /// Do not record individual activations (smaller trace, less detail)
    #[arg(long)]
    no_edges: bool,
    /// How much of each activation is recorded: its function and its thread or interrupt, and the stack
    #[arg(long, value_enum, default_value_t = Detail::Stacks)]
    activators: Detail,
    /// Do not ask Android who holds wakelocks in user space, and whose alarms came: without names of apps
    #[arg(long)]
    no_dumpsys: bool,
    /// Largest size of the trace on the device, such as 512K, 64M or 1G; at least 256K
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = max_size)]
    max_size: u64,
    /// Action when the trace reaches that size
    #[arg(long, value_enum, value_name = "ACTION", default_value_t = OnFull::Stop)]
    on_full: OnFull,
    /// Return at once and keep recording; continue with `sleepwalk status`, `stop` and `pull`
    #[arg(long, conflicts_with_all = ["output", "force", "keep"])]
    detach: bool,
    /// Agent to use instead of the built-in one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(long)]
    force: bool,
    /// Also keep the trace on the device
    #[arg(long)]
    keep: bool,
}

/// How to take snapshots.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Source {
    /// The best method that works
    Auto,
    /// The kernel's functions for BPF programs
    Kfunc,
    /// Like kfunc, but with the list's address from kallsyms and without the kernel's lock
    Kallsyms,
    /// The table in debugfs (millisecond resolution)
    Debugfs,
    /// The attributes of each source in sysfs (millisecond resolution, slow)
    Sysfs,
}

/// How much of each activation's context is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Detail {
    /// Nothing
    Off,
    /// The function that caused it, and its thread or interrupt
    Callers,
    /// These, and the whole stack of each once
    Stacks,
}

/// The action when the trace reaches its largest size.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnFull {
    /// Stop recording
    Stop,
    /// Drop the oldest eighth and keep recording
    Ring,
}

/// The duration without `-d` and `--detach`.
const DURATION: Duration = Duration::from_secs(10 * 60);

/// Records, copies the trace from the device, and reports; or only starts the agent.
pub fn run(args: &Args) -> Result<ExitCode> {
    let stamp = utc_for_names(jiff::Timestamp::now());
    let name = format!("record-{stamp}-{}", std::process::id());
    if args.detach {
        return detach(args, &name);
    }
    let duration = args.duration.unwrap_or(DURATION);
    let path = args.output.clone().unwrap_or_else(|| format!("sleepwalk-{stamp}.swk").into());
    let output = NewFile::create(&path, args.force)?;
    interrupt::watch()?;
    let device = args.target.connect()?;
    let installed = install(args, &device)?;
    let mut capture = Capture::start(installed, &name, &agent_args(args, Some(duration)))?;
    let failure = match poll::wait(&mut capture, duration, device.serial())? {
        Some(0) => None,
        code => Some(capture.remote().failed(code)),
    };
    // A failed agent's trace is copied too: it may have what the user looks for.
    let bytes = match capture.fetch(output.part()) {
        Ok(bytes) => bytes,
        Err(error) => {
            capture.leave_trace();
            let is = if failure.is_some() { "may be" } else { "is" };
            let trace = capture.remote().trace();
            say(&format!("the trace {is} {trace} on the device; copy it with `sleepwalk pull`"));
            return Err(failure.unwrap_or(error));
        }
    };
    // The trace on the device is removed only once the local file is complete and has its name.
    let loaded = decode::load(output.part());
    let decoded = loaded.and_then(|bytes| input::analyze(output.path(), &bytes, false));
    let path = output.finish().inspect_err(|_| capture.leave_trace())?;
    // A trace that cannot be read is kept too: there is no other record of this time.
    let analysis = match decoded {
        Ok(analysis) => analysis,
        Err(error) => return Err(failure.unwrap_or(error.into())),
    };
    if args.keep {
        say(&format!("{} stays on the device", capture.remote().trace()));
    }
    capture.done(args.keep);
    if analysis.model.finish.is_none() {
        say("warning: the capture did not end cleanly: its last events may be missing");
    }
    print(&as_table(&analysis, By::Name, None, look(None)))?;
    say(&format!("the trace is {} ({})", path.display(), size(bytes)));
    match failure {
        None => Ok(ExitCode::SUCCESS),
        Some(failure) => Err(failure),
    }
}

/// Starts a capture, and leaves it running.
fn detach(args: &Args, name: &str) -> Result<ExitCode> {
    interrupt::watch()?;
    let device = args.target.connect()?;
    let installed = install(args, &device)?;
    let mut capture = Capture::start(installed, name, &agent_args(args, args.duration))?;
    capture.leave();
    // Nobody looks at the agent's own output, and some of it may end the capture early.
    for warning in capture.remote().warnings()? {
        say(&format!("warning: {warning}"));
    }
    let until = match args.duration {
        Some(duration) => format!("for {}", text_of(duration)),
        None => "until `sleepwalk stop`".to_owned(),
    };
    say(&format!("recording {name} on {} {until}", device.serial()));
    say("unplug the device if you like; continue with `sleepwalk status`, `stop` and `pull`");
    print(&format!("{name}.swk\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn agent_args(args: &Args, duration: Option<Duration>) -> Vec<String> {
    let source = args.source.to_possible_value();
    let mut list = Vec::new();
    if let Some(duration) = duration {
        list.extend(["-d".to_owned(), text_of(duration)]);
    }
    list.extend(["--interval".to_owned(), text_of(args.interval)]);
    if args.no_edges {
        list.push("--no-edges".to_owned());
    }
    if let Some(detail) =
        args.activators.to_possible_value().filter(|_| args.activators != Detail::Stacks)
    {
        list.extend(["--activators".to_owned(), detail.get_name().to_owned()]);
    }
    if args.no_dumpsys {
        list.push("--no-dumpsys".to_owned());
    }
    if let (Some(source), false) = (source, matches!(args.source, Source::Auto)) {
        list.extend(["--source".to_owned(), source.get_name().to_owned()]);
    }
    // Rounded down, so that the trace never gets larger than the user allows.
    list.extend(["--max-size".to_owned(), format!("{}K", args.max_size >> 10)]);
    if matches!(args.on_full, OnFull::Ring) {
        list.extend(["--on-full".to_owned(), "ring".to_owned()]);
    }
    list
}

/// Installs the agent, unless Ctrl-C was pressed.
fn install<'a>(args: &Args, device: &'a Device) -> Result<Installed<'a>> {
    let agent = Agent::find(args.agent.as_deref())?;
    check_interrupt()?;
    let installed = Installed::new(device, &agent, DIR)?;
    check_interrupt()?;
    Ok(installed)
}

fn check_interrupt() -> Result<()> {
    if interrupt::count() > 0 {
        bail!("interrupted before the capture started");
    }
    Ok(())
}

/// A size that a trace can have.
fn max_size(text: &str) -> Result<u64, String> {
    match units::size(text)? {
        size if size < LEAST_SIZE => {
            Err(format!("`{text}` is too small for a trace: give at least {}K", LEAST_SIZE >> 10))
        }
        size => Ok(size),
    }
}
