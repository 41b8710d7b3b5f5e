//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lexopt::prelude::*;
use sleepwalk_trace::abi::DEFAULT_CAPACITY;
use sleepwalk_trace::chunk::LEAST_SIZE;

use crate::source::Kind;
use crate::store::{Bounds, OnFull};
use crate::units;

/// What `--help` prints.
pub const HELP: &str = "\
sleepwalkd: records what keeps this device awake

  sleepwalkd doctor [--json]             what works here, and what is lost without the rest
  sleepwalkd snapshot [--json]           all wakeup sources, now
  sleepwalkd record -o FILE [-d 10m]     snapshots and suspend attempts, until the time is up
             [--interval 60s]            or SIGINT or SIGTERM comes; prints `ready` when it has begun
             [--max-size 64M]            the trace never gets longer; at least 256K
             [--on-full stop|ring]       then the capture ends, or the oldest is dropped
             [--no-edges]                leaves out single activations: a smaller trace that tells less
  sleepwalkd measure [--times 30]        how long a snapshot takes here, in ns as JSON, against
             [--only kfunc]              reading debugfs and sysfs, or without these
  sleepwalkd version [--json]            version and checksum of this program

  --source auto|kfunc|kallsyms|debugfs|sysfs
                          where snapshots come from: auto is the first that works (snapshot, record)
  --max-sources 4096      room for so many sources, 408 bytes each (snapshot, record, measure)

FILE must not exist; in a folder (or where it ends in /), a new file is named by the time in UTC.
SLEEPWALK_LOG=debug says more on stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 4 this device
can't be used.
";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Help,
    Version { json: bool },
    Doctor { json: bool },
    Snapshot(SnapshotOptions),
    Measure(MeasureOptions),
    Record(RecordOptions),
}

/// `snapshot`.
#[derive(Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    pub json: bool,
    /// The best that works, where there is none.
    pub source: Option<Kind>,
    pub capacity: u32,
}

/// `measure`.
#[derive(Debug, PartialEq, Eq)]
pub struct MeasureOptions {
    /// Readings of each kind.
    pub times: u32,
    pub capacity: u32,
    /// Nothing to compare with: reading thousands of sources in sysfs takes seconds.
    pub only_kfunc: bool,
}

/// `record`.
#[derive(Debug, PartialEq, Eq)]
pub struct RecordOptions {
    /// The file, or its folder.
    pub output: PathBuf,
    pub bounds: Bounds,
    /// Until a signal comes, where there is none.
    pub duration: Option<Duration>,
    pub interval: Duration,
    /// The best that works, where there is none.
    pub source: Option<Kind>,
    pub capacity: u32,
    /// Whether activations are recorded one by one.
    pub edges: bool,
}

/// With more, the first snapshot might not fit into one chunk of the trace.
const MOST_SOURCES: u32 = 1 << 16;
const MOST_TIMES: u32 = 100_000;

/// `--max-size` where none is given: weeks of a phone's life.
const MAX_SIZE: u64 = 64 << 20;

/// Reads the command line.
pub fn parse(mut parser: lexopt::Parser) -> Result<Command> {
    let mut name = None;
    let mut json = false;
    let mut output = None;
    let mut duration = None;
    let mut interval = Duration::from_secs(60);
    let mut capacity = DEFAULT_CAPACITY;
    let mut times = 30;
    let mut only_kfunc = false;
    let mut edges = true;
    let mut source = None;
    let mut bounds = Bounds { max_size: MAX_SIZE, on_full: OnFull::Stop };
    let mut given = Vec::new();
    while let Some(arg) = parser.next()? {
        let option = match &arg {
            Short(c) => format!("-{c}"),
            Long(long) => format!("--{long}"),
            Value(_) => String::new(),
        };
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version { json: false }),
            Long("json") => json = true,
            Short('o') | Long("output") => output = Some(PathBuf::from(parser.value()?)),
            Short('d') | Long("duration") => {
                duration = Some(units::duration(&value(&mut parser)?)?)
            }
            Long("interval") => interval = units::duration(&value(&mut parser)?)?,
            Long("max-size") => bounds.max_size = max_size(&value(&mut parser)?)?,
            Long("on-full") => bounds.on_full = on_full(&value(&mut parser)?)?,
            Long("source") => source = kind(&value(&mut parser)?)?,
            Long("max-sources") => capacity = number("--max-sources", &mut parser, MOST_SOURCES)?,
            Long("only") => only_kfunc = only(&value(&mut parser)?)?,
            Long("no-edges") => edges = false,
            Long("times") => times = number("--times", &mut parser, MOST_TIMES)?,
            Value(word) if name.is_none() => {
                name = Some(word.string()?);
                continue;
            }
            other => return Err(other.unexpected().into()),
        }
        given.push(option);
    }
    let Some(name) = name else { bail!("what to do? Try `sleepwalkd --help`") };
    let takes: &[&str] = match name.as_str() {
        "version" | "doctor" => &["--json"],
        "snapshot" => &["--json", "--source", "--max-sources"],
        "measure" => &["--times", "--only", "--max-sources"],
        "record" => &[
            "-o",
            "--output",
            "-d",
            "--duration",
            "--interval",
            "--source",
            "--max-sources",
            "--no-edges",
            "--max-size",
            "--on-full",
        ],
        _ => bail!("`{name}` is no command: try `sleepwalkd --help`"),
    };
    if let Some(wrong) = given.iter().find(|option| !takes.contains(&option.as_str())) {
        bail!("`sleepwalkd {name}` takes no {wrong}");
    }
    Ok(match name.as_str() {
        "version" => Command::Version { json },
        "doctor" => Command::Doctor { json },
        "snapshot" => Command::Snapshot(SnapshotOptions { json, source, capacity }),
        "measure" => Command::Measure(MeasureOptions { times, capacity, only_kfunc }),
        _ => {
            let output = output.context("`sleepwalkd record` needs -o FILE for the trace")?;
            let output = non_empty(output)?;
            Command::Record(RecordOptions {
                output,
                bounds,
                duration,
                interval,
                source,
                capacity,
                edges,
            })
        }
    })
}

fn value(parser: &mut lexopt::Parser) -> Result<String> {
    Ok(parser.value()?.string()?)
}

/// There is one source of snapshots so far, and `auto` takes the best.
fn kind(name: &str) -> Result<Option<Kind>> {
    let known = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    if known.is_none() && name != "auto" {
        let names = Kind::ALL.map(Kind::name).join(", ");
        bail!("`{name}` is no source of snapshots: auto, {names}");
    }
    Ok(known)
}

fn max_size(text: &str) -> Result<u64> {
    let size = units::size(text)?;
    if size < LEAST_SIZE {
        bail!("--max-size `{text}` is too small for a trace: give at least {}K", LEAST_SIZE >> 10);
    }
    Ok(size)
}

fn on_full(name: &str) -> Result<OnFull> {
    match name {
        "stop" => Ok(OnFull::Stop),
        "ring" => Ok(OnFull::Ring),
        _ => bail!("--on-full `{name}`: it is stop or ring"),
    }
}

fn non_empty(output: PathBuf) -> Result<PathBuf> {
    if output.as_os_str().is_empty() {
        bail!("-o is empty: give the trace's file, or its folder");
    }
    Ok(output)
}

/// What `measure` may be told to leave all else out for.
fn only(name: &str) -> Result<bool> {
    match name {
        "kfunc" => Ok(true),
        _ => bail!("--only `{name}`: it is kfunc"),
    }
}

fn number(option: &str, parser: &mut lexopt::Parser, most: u32) -> Result<u32> {
    let text = value(parser)?;
    match text.parse() {
        Ok(n) if (1..=most).contains(&n) => Ok(n),
        _ => bail!("{option} `{text}`: give a number from 1 to {most}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str) -> Result<Command> {
        parse(lexopt::Parser::from_args(words.split_whitespace()))
    }

    #[test]
    fn commands_and_options_are_read() {
        let options = RecordOptions {
            output: "a.swk".into(),
            bounds: Bounds { max_size: 512 << 10, on_full: OnFull::Ring },
            duration: Some(Duration::from_secs(5)),
            interval: Duration::from_secs(60),
            source: Some(Kind::Kfunc),
            capacity: 10,
            edges: false,
        };
        let words = "record -o a.swk -d 5s --source kfunc --max-sources=10 --no-edges \
                     --max-size 512K --on-full=ring";
        assert_eq!(line(words).unwrap(), Command::Record(options));
        assert_eq!(line("doctor --json").unwrap(), Command::Doctor { json: true });
        assert_eq!(line("--help").unwrap(), Command::Help);
        for (words, only_kfunc) in [("measure", false), ("measure --only kfunc", true)] {
            let options = MeasureOptions { times: 30, capacity: DEFAULT_CAPACITY, only_kfunc };
            assert_eq!(line(words).unwrap(), Command::Measure(options));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = [
            ("", "what to do"),
            ("dance", "`dance`"),
            ("record", "-o FILE"),
            ("record -o a -d 5", "`5`"),
            ("record -o a -d 0s", "`0s`"),
            ("record -o a --source psychic", "`psychic`"),
            ("record -o a --max-sources 0", "`0`"),
            ("record -o a --interval 0s", "`0s`"),
            ("record -o a --max-size 64", "`64`"),
            ("record -o a --max-size 255K", "at least 256K"),
            ("record -o a --on-full explode", "`explode`"),
            ("record -o=", "-o is empty"),
            ("snapshot --max-size 64M", "no --max-size"),
            ("measure --times x", "`x`"),
            ("measure --only sysfs", "`sysfs`"),
            ("snapshot --times 3", "no --times"),
            ("record -o a --json", "no --json"),
            ("doctor -o a", "no -o"),
            ("snapshot --frobnicate", "--frobnicate"),
            ("snapshot twice", "twice"),
        ];
        for (words, what) in wrong {
            let error = line(words).unwrap_err().to_string();
            assert!(error.contains(what), "{words}: {error}");
        }
    }
}
