//! Traces that a command reads: files, or standard input.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sleepwalk_trace::read::Damage;

use super::console::say;
use super::exit::Usage;
use crate::analyze::{Analysis, analyze_to};
use crate::compare::Trace;
use crate::report::{self, By};
use crate::session::decode::{self, TraceError};
use crate::units;

/// Whether `path` stands for standard input.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Fails if standard input is named twice: it can be read only once.
pub fn check_stdin<'a>(traces: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), Usage> {
    match traces.into_iter().filter(|path| is_stdin(path)).count() {
        0 | 1 => Ok(()),
        n => {
            Err(Usage(format!("standard input (-) is named {n} times, but can be read only once")))
        }
    }
}

/// The name of a trace in messages and reports.
pub fn name(path: &Path) -> &Path {
    if is_stdin(path) { Path::new("standard input") } else { path }
}

/// The bytes of a trace.
pub fn load(path: &Path) -> Result<Vec<u8>, TraceError> {
    if !is_stdin(path) {
        return decode::load(path);
    }
    let mut bytes = Vec::new();
    match io::stdin().lock().read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(TraceError { path: name(path).to_owned(), why: error.into() }),
    }
}

/// Analyzes the trace in `bytes`, and warns about damage. `drawn` also keeps when each source was
/// held, for a timeline.
pub fn analyze(path: &Path, bytes: &[u8], drawn: bool) -> Result<Analysis, TraceError> {
    let path = name(path);
    let analysis =
        analyze_to(bytes, drawn).map_err(|why| TraceError { path: path.to_owned(), why })?;
    warn_of_damage(path, &analysis.model.damage, analysis.model.finish.is_some());
    Ok(analysis)
}

/// The reports of several traces, each with its `top` most costly sources or with all. Only one
/// trace at a time is in memory.
pub fn reports(paths: &[PathBuf], by: By, top: Option<usize>) -> Result<Vec<Trace>, TraceError> {
    let one = |path: &PathBuf| {
        let analysis = analyze(path, &load(path)?, false)?;
        let report = report::build(&analysis, by, top);
        let by_name = report::by_name(&analysis);
        Ok(Trace { file: name(path).display().to_string(), report, by_name })
    };
    paths.iter().map(one).collect()
}

/// Warns about the damaged parts of a trace. `ended`: the trace has an end, so nothing writes to it
/// any more.
pub fn warn_of_damage(path: &Path, damage: &Damage, ended: bool) {
    let what = units::damage(damage.bytes, damage.missing_chunks, damage.bad_records);
    if what.is_empty() {
        return;
    }
    let is = match ended {
        true => "is damaged",
        false => "has no end, and is damaged, or was copied while it was written",
    };
    say(&format!("warning: {} {is}: {what}; the rest is used", name(path).display()));
}
