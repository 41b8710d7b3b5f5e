//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use lexopt::prelude::*;
use sleepwalk_trace::abi::DEFAULT_CAPACITY;
use sleepwalk_trace::chunk::LEAST_SIZE;
use sleepwalk_trace::units;

use crate::activators::Detail;
use crate::snapshot::Kind;
use crate::store::{Bounds, OnFull};

/// The text of `--help`.
pub const HELP: &str = "\
sleepwalkd: records what keeps this device awake

Usage:
  sleepwalkd doctor [--json]       check what works on this device, and how to fix the rest
  sleepwalkd snapshot [OPTIONS]    print all wakeup sources once
  sleepwalkd record -o FILE [OPTIONS]
                                   record until the duration is over, or a signal comes;
                                   prints `ready` once the capture has started
  sleepwalkd measure [OPTIONS]     time snapshots against reading debugfs and sysfs (ns, as JSON)
  sleepwalkd version [--json]      print version and checksum of this program

record:
  -o, --output FILE       a new file, or a folder; in a folder the file is named by the UTC time
  -d, --duration 10m      stop after this time
  --interval 60s          interval between periodic snapshots
  --max-size 64M          largest size of the trace; at least 256K
  --on-full stop|ring     at that size, stop or drop the oldest eighth
  --no-edges              do not record individual activations (smaller trace, less detail)
  --activators off|callers|stacks
                          what is recorded of each activation: nothing, the function and the thread
                          or interrupt that caused it, or these and the whole stack once (default)
  --no-dumpsys            do not ask Android for the wakelocks and alarms of user space
  --detached              go on when adbd ends: leave its cgroups, ignore SIGHUP, and be out of
                          reach of the low-memory killers

snapshot, record:
  --source auto|kfunc|kallsyms|debugfs|sysfs
                          how to take snapshots; auto is the best method that works

snapshot, record, measure:
  --max-sources 4096      room for this many wakeup sources, 408 bytes each

snapshot:
  --json                  print JSON

measure:
  --times 30              number of readings
  --only kfunc            leave out debugfs and sysfs
  --activate 10           activate so many sources of its own before each walk
  --pause 10ms            wait so long before each reading, except of sysfs
  --hooks 10s             instead, the run time of each hook's program beside that of an empty one;
                          with --activators as in record

SLEEPWALK_LOG=debug logs more to stderr.
Exit codes: 0 success, 1 failure, 2 wrong usage, 4 this device cannot be used.
";

/// A command with its options.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Help,
    Version { json: bool },
    Doctor { json: bool },
    Snapshot(SnapshotOptions),
    Measure(MeasureOptions),
    Record(RecordOptions),
}

/// Options of `snapshot`.
#[derive(Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    pub json: bool,
    /// `None`: the best that works.
    pub source: Option<Kind>,
    pub capacity: u32,
}

/// Options of `measure`.
#[derive(Debug, PartialEq, Eq)]
pub struct MeasureOptions {
    /// Readings of each kind.
    pub times: u32,
    pub capacity: u32,
    /// Leave out debugfs and sysfs: reading thousands of sources in sysfs takes seconds.
    pub only_kfunc: bool,
    /// Sources to make, and to activate before each walk.
    pub activated: u32,
    /// Between two readings.
    pub pause: Duration,
    /// Measure the hooks for so long, and nothing else.
    pub hooks: Option<Duration>,
    /// How much of each activation's context the hooks record.
    pub activators: Detail,
}

/// Options of `record`.
#[derive(Debug, PartialEq, Eq)]
pub struct RecordOptions {
    /// The file, or its folder.
    pub output: PathBuf,
    pub bounds: Bounds,
    /// `None`: until a signal comes.
    pub duration: Option<Duration>,
    pub interval: Duration,
    /// `None`: the best that works.
    pub source: Option<Kind>,
    pub capacity: u32,
    /// Whether individual activations are recorded.
    pub edges: bool,
    /// How much of each activation's context is recorded.
    pub activators: Detail,
    /// Whether Android's services are asked.
    pub dumpsys: bool,
    /// Whether the capture outlives adbd.
    pub detached: bool,
}

/// With more, the first snapshot might not fit into one chunk of the trace.
const MAX_CAPACITY: u32 = 1 << 16;
const MAX_TIMES: u32 = 100_000;
/// Each takes two descriptors.
const MAX_ACTIVATED: u32 = 400;

/// The default of `--max-size`: enough for weeks on a phone.
const MAX_SIZE: u64 = 64 << 20;

/// Parses the command line.
pub fn parse(mut parser: lexopt::Parser) -> Result<Command> {
    let name = match parser.next()? {
        None => bail!("give a command: try `sleepwalkd --help`"),
        Some(Short('h') | Long("help")) => return Ok(Command::Help),
        Some(Short('V') | Long("version")) => return Ok(Command::Version { json: false }),
        Some(Value(name)) => name.string()?,
        Some(option) => {
            let option = spelled(&option);
            bail!("{option} comes before a command: try `sleepwalkd --help`")
        }
    };
    match name.as_str() {
        "version" => json_only("version", parser, |json| Command::Version { json }),
        "doctor" => json_only("doctor", parser, |json| Command::Doctor { json }),
        "snapshot" => snapshot(parser),
        "measure" => measure(parser),
        "record" => record(parser),
        _ => bail!("`{name}` is not a command: try `sleepwalkd --help`"),
    }
}

fn json_only(
    name: &str,
    mut parser: lexopt::Parser,
    command: impl FnOnce(bool) -> Command,
) -> Result<Command> {
    let mut json = false;
    while let Some(arg) = parser.next()? {
        match arg {
            Long("json") => json = true,
            other => return help_or_unknown(name, &other),
        }
    }
    Ok(command(json))
}

fn snapshot(mut parser: lexopt::Parser) -> Result<Command> {
    let mut options = SnapshotOptions { json: false, source: None, capacity: DEFAULT_CAPACITY };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("json") => options.json = true,
            Long("source") => options.source = source(&mut parser)?,
            Long("max-sources") => options.capacity = capacity(&mut parser)?,
            other => return help_or_unknown("snapshot", &other),
        }
    }
    Ok(Command::Snapshot(options))
}

fn measure(mut parser: lexopt::Parser) -> Result<Command> {
    let mut options = MeasureOptions {
        times: 30,
        capacity: DEFAULT_CAPACITY,
        only_kfunc: false,
        activated: 0,
        pause: Duration::ZERO,
        hooks: None,
        activators: Detail::Stacks,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("times") => options.times = number("--times", &mut parser, MAX_TIMES)?,
            Long("max-sources") => options.capacity = capacity(&mut parser)?,
            Long("only") => {
                let name = value(&mut parser)?;
                ensure!(name == "kfunc", "--only `{name}`: it takes kfunc");
                options.only_kfunc = true;
            }
            Long("activate") => {
                options.activated = number("--activate", &mut parser, MAX_ACTIVATED)?
            }
            Long("pause") => options.pause = duration("--pause", &mut parser)?,
            Long("activators") => options.activators = activators(&mut parser)?,
            Long("hooks") => options.hooks = Some(duration("--hooks", &mut parser)?),
            other => return help_or_unknown("measure", &other),
        }
    }
    Ok(Command::Measure(options))
}

fn record(mut parser: lexopt::Parser) -> Result<Command> {
    let mut output = None;
    let mut options = RecordOptions {
        output: PathBuf::new(),
        bounds: Bounds { max_size: MAX_SIZE, on_full: OnFull::Stop },
        duration: None,
        interval: Duration::from_secs(60),
        source: None,
        capacity: DEFAULT_CAPACITY,
        edges: true,
        activators: Detail::Stacks,
        dumpsys: true,
        detached: false,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Short('o') | Long("output") => output = Some(PathBuf::from(parser.value()?)),
            Short('d') | Long("duration") => {
                options.duration = Some(duration("--duration", &mut parser)?);
            }
            Long("interval") => options.interval = duration("--interval", &mut parser)?,
            Long("max-size") => options.bounds.max_size = max_size(&mut parser)?,
            Long("on-full") => options.bounds.on_full = on_full(&mut parser)?,
            Long("source") => options.source = source(&mut parser)?,
            Long("max-sources") => options.capacity = capacity(&mut parser)?,
            Long("no-edges") => options.edges = false,
            Long("activators") => options.activators = activators(&mut parser)?,
            Long("no-dumpsys") => options.dumpsys = false,
            Long("detached") => options.detached = true,
            other => return help_or_unknown("record", &other),
        }
    }
    options.output = output.context("`sleepwalkd record` needs -o FILE for the trace")?;
    ensure!(
        !options.output.as_os_str().is_empty(),
        "-o is empty: give the trace's file, or its folder"
    );
    Ok(Command::Record(options))
}

/// Help is available behind every command; other arguments are errors.
fn help_or_unknown(command: &str, arg: &lexopt::Arg<'_>) -> Result<Command> {
    match arg {
        Short('h') | Long("help") => Ok(Command::Help),
        other => bail!("`sleepwalkd {command}` takes no {}", spelled(other)),
    }
}

/// An argument as it was given.
fn spelled(arg: &lexopt::Arg<'_>) -> String {
    match arg {
        Short(c) => format!("-{c}"),
        Long(long) => format!("--{long}"),
        Value(word) => format!("`{}`", word.to_string_lossy()),
    }
}

fn value(parser: &mut lexopt::Parser) -> Result<String> {
    Ok(parser.value()?.string()?)
}

/// A source of snapshots; `None` for `auto`.
fn source(parser: &mut lexopt::Parser) -> Result<Option<Kind>> {
    let name = value(parser)?;
    let known = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    if known.is_none() && name != "auto" {
        let names = Kind::ALL.map(Kind::name).join(", ");
        bail!("--source `{name}`: it takes auto, {names}");
    }
    Ok(known)
}

fn activators(parser: &mut lexopt::Parser) -> Result<Detail> {
    let name = value(parser)?;
    let known = Detail::ALL.into_iter().find(|detail| detail.name() == name);
    known.with_context(|| {
        format!("--activators `{name}`: it takes {}", Detail::ALL.map(Detail::name).join(", "))
    })
}

fn capacity(parser: &mut lexopt::Parser) -> Result<u32> {
    number("--max-sources", parser, MAX_CAPACITY)
}

fn duration(option: &str, parser: &mut lexopt::Parser) -> Result<Duration> {
    units::positive_duration(&value(parser)?).map_err(|error| anyhow!("{option}: {error}"))
}

fn max_size(parser: &mut lexopt::Parser) -> Result<u64> {
    let text = value(parser)?;
    let size = units::size(&text).map_err(|error| anyhow!("--max-size: {error}"))?;
    ensure!(
        size >= LEAST_SIZE,
        "--max-size `{text}` is too small for a trace: give at least {}K",
        LEAST_SIZE >> 10
    );
    Ok(size)
}

fn on_full(parser: &mut lexopt::Parser) -> Result<OnFull> {
    match value(parser)?.as_str() {
        "stop" => Ok(OnFull::Stop),
        "ring" => Ok(OnFull::Ring),
        other => bail!("--on-full `{other}`: it takes stop or ring"),
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
    fn commands_and_options_are_parsed() {
        let options = RecordOptions {
            output: "a.swk".into(),
            bounds: Bounds { max_size: 512 << 10, on_full: OnFull::Ring },
            duration: Some(Duration::from_secs(5)),
            interval: Duration::from_secs(60),
            source: Some(Kind::Kfunc),
            capacity: 10,
            edges: false,
            activators: Detail::Callers,
            dumpsys: false,
            detached: true,
        };
        let words = "record -o a.swk -d 5s --source kfunc --max-sources=10 --no-edges --detached \
                     --activators callers --no-dumpsys \
                     --max-size 512K --on-full=ring";
        assert_eq!(line(words).unwrap(), Command::Record(options));
        assert_eq!(line("doctor --json").unwrap(), Command::Doctor { json: true });
        assert_eq!(line("--version").unwrap(), Command::Version { json: false });
        for help in ["--help", "-h", "record --help", "doctor -h"] {
            assert_eq!(line(help).unwrap(), Command::Help);
        }
        for (words, only_kfunc) in [("measure", false), ("measure --only kfunc", true)] {
            let options = MeasureOptions {
                times: 30,
                capacity: DEFAULT_CAPACITY,
                only_kfunc,
                activated: 0,
                pause: Duration::ZERO,
                hooks: None,
                activators: Detail::Stacks,
            };
            assert_eq!(line(words).unwrap(), Command::Measure(options));
        }
    }

    #[test]
    fn the_help_names_every_option() {
        for option in [
            "--json",
            "--source",
            "--max-sources",
            "--times",
            "--only",
            "-o, --output",
            "-d, --duration",
            "--interval",
            "--max-size",
            "--on-full",
            "--no-edges",
            "--activators",
            "--no-dumpsys",
            "--detached",
        ] {
            assert!(HELP.contains(option), "{option}");
        }
        assert!(HELP.lines().all(|line| line.len() <= 100));
    }

    #[test]
    fn errors_name_the_argument() {
        let wrong = [
            ("", "give a command"),
            ("dance", "`dance`"),
            ("--json doctor", "--json"),
            ("record", "-o FILE"),
            ("record -o a -d 5", "`5`"),
            ("record -o a -d 5", "--duration"),
            ("record -o a -d 0s", "`0s`"),
            ("record -o a -d 9999999999d", "`9999999999d`"),
            ("record -o a --source psychic", "`psychic`"),
            ("record -o a --max-sources 0", "`0`"),
            ("record -o a --interval 0s", "`0s`"),
            ("record -o a --interval 1us", "`1us`"),
            ("record -o a --max-size 64", "`64`"),
            ("record -o a --max-size 255K", "at least 256K"),
            ("record -o a --on-full explode", "`explode`"),
            ("record -o a --activators who", "off, callers, stacks"),
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
        for (words, expected) in wrong {
            let error = line(words).unwrap_err().to_string();
            assert!(error.contains(expected), "{words}: {error}");
        }
    }
}
