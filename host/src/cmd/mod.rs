//! One file per command: its arguments and a short `run`.

pub mod check;
pub mod diff;
pub mod doctor;
pub mod dump;
pub mod export;
pub mod pull;
pub mod record;
pub mod report;
pub mod status;
pub mod stop;

pub mod look;
mod output;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use thiserror::Error;

use crate::adb::{Adb, Device, DeviceError};
use crate::analyze::{Analysis, analyze_to};
use crate::cli::{Cli, Command};
use crate::compare::Trace;
use crate::report::{self as reports, By as Grouping};
use crate::session::decode::{self, TraceError};
use crate::units;

/// Runs what was asked for.
pub fn run(cli: Cli) -> Result<ExitCode> {
    cli.color.choose();
    match cli.command {
        Command::Doctor(args) => doctor::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Stop(args) => stop::run(&args),
        Command::Pull(args) => pull::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Dump(args) => dump::run(&args),
    }
}

/// Options that do not go together, as only the values tell; exit code 2.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Usage(&'static str);

/// A device that commands can be run on as root.
fn connect(serial: Option<&str>) -> Result<Device, DeviceError> {
    let mut device = Device::select(&Adb::from_env(), serial)?;
    device.machine()?;
    device.become_root()?;
    Ok(device)
}

/// Analyzes the trace in `bytes`, and warns of what could not be read.
fn decode(path: &Path, bytes: &[u8]) -> Result<Analysis, TraceError> {
    decode_to(path, bytes, false)
}

/// As [`decode()`]; to be `drawn`, it keeps when each source was held as well.
fn decode_to(path: &Path, bytes: &[u8], drawn: bool) -> Result<Analysis, TraceError> {
    let analysis =
        analyze_to(bytes, drawn).map_err(|why| TraceError { path: path.to_owned(), why })?;
    warn_of_damage(path, &analysis.model.damage, analysis.model.finish.is_some());
    Ok(analysis)
}

/// The reports of saved traces, each with its `top` most costly sources or all; one trace in memory at a time.
fn traces(paths: &[PathBuf], by: Grouping, top: Option<usize>) -> Result<Vec<Trace>, TraceError> {
    let one = |path: &PathBuf| {
        let analysis = decode(path, &decode::load(path)?)?;
        let report = reports::build(&analysis, by, top);
        let by_name = reports::by_name(&analysis);
        Ok(Trace { file: path.display().to_string(), report, by_name })
    };
    paths.iter().map(one).collect()
}

/// `ended`: the trace has an end, so that nothing wrote to it any more.
fn warn_of_damage(path: &Path, damage: &sleepwalk_trace::read::Damage, ended: bool) {
    let what = units::damage(damage.bytes, damage.missing_chunks, damage.bad_records);
    if what.is_empty() {
        return;
    }
    let is = match ended {
        true => "is damaged",
        false => "has no end, and is damaged, or was copied while it was written",
    };
    say(&format!("warning: {} {is}: {what}; this is from the rest", path.display()));
}

/// A line on standard error.
fn say(message: &str) {
    // Nothing can be done about a standard error that is closed.
    let _ = writeln!(io::stderr(), "sleepwalk: {}", crate::text::one_line(message));
}

/// The file that `-o` names; `-` is standard output.
fn named(output: Option<&Path>) -> Option<&Path> {
    output.filter(|path| *path != Path::new("-"))
}

/// Fails where the output would be written over a trace that it is made from.
fn spare<'a>(output: Option<&Path>, traces: impl IntoIterator<Item = &'a PathBuf>) -> Result<()> {
    let real = |path: &Path| path.canonicalize().ok();
    if let Some(file) = named(output)
        && let Some(there) = real(file)
        && traces.into_iter().any(|trace| real(trace).as_ref() == Some(&there))
    {
        bail!("{} is the trace itself: name another file with -o", file.display());
    }
    Ok(())
}

/// Writes to the file, or to standard output.
fn write(output: Option<&Path>, text: &str) -> Result<()> {
    match named(output) {
        Some(path) => std::fs::write(path, text).with_context(|| path.display().to_string()),
        None => print(text),
    }
}

/// Writes to standard output at once.
fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output")
}
