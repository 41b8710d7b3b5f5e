//! The command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use caps::Capability;
use lexopt::prelude::*;

use crate::units;

/// What `--help` prints.
pub const HELP: &str = "\
sleepwalk-workload: keeps a device awake on purpose, so that Sleepwalk has something to find

  sleepwalk-workload sources --count N   N wakeup sources, PREFIX_0000 and so on, plus the epoll
      [--prefix source] [--churn HZ]     set's own (`eventpoll`). Prints `ready`, stays until its
      [--storm] [--flicker] [--for 30s]  stdin ends (a pipe, socket or terminal), a signal comes or
                                         the time is up. With --churn, that many short activations
                                         a second, round robin; prints `churned N` at the end. With
                                         --storm, as many activations as all CPUs can make; with
                                         --flicker, as many births and deaths
  sleepwalk-workload source --name NAME  one source of that very name, activated --times times:
      [--after 0s] [--hold 1s]           inactive for --after, then active for --hold. A JSON line
      [--times 1]                        for each birth, activation, relaxation and death. An empty
                                         NAME is a pipe, which has none
  sleepwalk-workload suspend --times N   suspends as Android does, a JSON line for each attempt
      [--alarm 2s] [--gap 500ms]         (alarm: whole seconds, by the RTC)
  sleepwalk-workload demo [--for 30s]    a phone in miniature: sleeps, aborts, long waits; a JSON
                                         line for everything it does, with a CLOCK_BOOTTIME stamp
                                         in ns (sort by it: threads print when they can)
  sleepwalk-workload run-as --user 2000  becomes that user with no more than these capabilities, all
      [--rights bpf,perfmon] -- PROG …   five sets alike, and runs a program
  sleepwalk-workload scenario            each way in which an attempt can end, once: refused, cut
                                         short, aborted in sync, freeze and devices, slept; needs
                                         tracefs, debugfs and the module pm-notifier-error-inject

All need root. FIFOs live in a new folder in the current one, and go with the program.
Exit codes: 0 done, 1 failed or stopped early, 2 wrong usage.
";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Help,
    Sources(SourcesOptions),
    Source(SourceOptions),
    Suspend(SuspendOptions),
    Demo { length: Duration },
    RunAs(RunAsOptions),
    Scenario,
}

/// `run-as`.
#[derive(Debug, PartialEq, Eq)]
pub struct RunAsOptions {
    pub user: u32,
    pub rights: Vec<Capability>,
    /// With its arguments.
    pub program: Vec<OsString>,
}

/// `sources`.
#[derive(Debug, PartialEq, Eq)]
pub struct SourcesOptions {
    pub count: u32,
    pub prefix: OsString,
    pub traffic: Traffic,
    pub length: Option<Duration>,
}

/// What happens on the sources.
#[derive(Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Nothing.
    Still,
    /// So many activations per second.
    Churn(u32),
    /// As many activations as there can be.
    Storm,
    /// As many births and deaths as there can be.
    Flicker,
}

/// `source`.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceOptions {
    pub name: OsString,
    pub after: Duration,
    pub hold: Duration,
    pub times: u32,
}

/// `suspend`.
#[derive(Debug, PartialEq, Eq)]
pub struct SuspendOptions {
    pub times: u32,
    pub alarm_s: u64,
    pub gap: Duration,
}

/// A file name's longest, in bytes (NAME_MAX).
const NAME_MAX: usize = 255;
/// More file descriptors than this no kernel gives by default (fs.nr_open).
const MOST_SOURCES: u32 = 1_000_000;

/// Reads the command line.
pub fn parse(mut parser: lexopt::Parser) -> Result<Command> {
    let command = match parser.next()? {
        Some(Value(word)) => word.string()?,
        Some(Short('h') | Long("help")) => return Ok(Command::Help),
        Some(other) => return Err(other.unexpected().into()),
        None => bail!("what to do? Try `sleepwalk-workload --help`"),
    };
    match command.as_str() {
        "sources" => sources(&mut parser),
        "source" => source(&mut parser),
        "suspend" => suspend(&mut parser),
        "demo" => demo(&mut parser),
        "run-as" => run_as(&mut parser),
        "scenario" => scenario(&mut parser),
        _ => bail!("`{command}` is no command: try `sleepwalk-workload --help`"),
    }
}

fn sources(parser: &mut lexopt::Parser) -> Result<Command> {
    let (mut count, mut prefix, mut length) = (None, "source".into(), None);
    let mut traffic = Traffic::Still;
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("count") => count = Some(number(parser, "--count", MOST_SOURCES)?),
            Long("prefix") => prefix = parser.value()?,
            Long("churn") => traffic = Traffic::Churn(number(parser, "--churn", 1_000_000)?),
            Long("storm") => traffic = Traffic::Storm,
            Long("flicker") => traffic = Traffic::Flicker,
            Long("for") => length = Some(duration(parser)?),
            other => return Err(other.unexpected().into()),
        }
    }
    let count = count.context("`sources` needs --count N")?;
    let mut longest = prefix.clone();
    longest.push(format!("_{:04}", count - 1));
    fifo_name("--prefix", &longest)?;
    Ok(Command::Sources(SourcesOptions { count, prefix, traffic, length }))
}

fn source(parser: &mut lexopt::Parser) -> Result<Command> {
    let (mut name, mut times) = (None, 1);
    let (mut after, mut hold) = (Duration::ZERO, Duration::from_secs(1));
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("name") => name = Some(parser.value()?),
            Long("after") => after = duration(parser)?,
            Long("hold") => hold = duration(parser)?,
            Long("times") => times = number(parser, "--times", u32::MAX)?,
            other => return Err(other.unexpected().into()),
        }
    }
    let name = name.context("`source` needs --name NAME")?;
    if !name.is_empty() {
        fifo_name("--name", &name)?;
    }
    Ok(Command::Source(SourceOptions { name, after, hold, times }))
}

fn suspend(parser: &mut lexopt::Parser) -> Result<Command> {
    let (mut times, mut alarm_s, mut gap) = (None, 2, Duration::from_millis(500));
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("times") => times = Some(number(parser, "--times", u32::MAX)?),
            Long("alarm") => alarm_s = alarm(duration(parser)?)?,
            Long("gap") => gap = duration(parser)?,
            other => return Err(other.unexpected().into()),
        }
    }
    let times = times.context("`suspend` needs --times N")?;
    Ok(Command::Suspend(SuspendOptions { times, alarm_s, gap }))
}

fn demo(parser: &mut lexopt::Parser) -> Result<Command> {
    let mut length = Duration::from_secs(30);
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("for") => length = duration(parser)?,
            other => return Err(other.unexpected().into()),
        }
    }
    if length < crate::demo::SHORTEST {
        bail!("--for {length:?} is too short for anything to happen: give at least 5s");
    }
    Ok(Command::Demo { length })
}

fn run_as(parser: &mut lexopt::Parser) -> Result<Command> {
    let (mut user, mut rights, mut program) = (None, Vec::new(), Vec::new());
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("user") => user = Some(number(parser, "--user", u32::MAX - 1)?),
            Long("rights") => rights = capabilities(&parser.value()?.string()?)?,
            Value(name) => {
                program.push(name);
                program.extend(parser.raw_args()?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let user = user.context("`run-as` needs --user NUMBER")?;
    ensure!(!program.is_empty(), "`run-as` needs a program to run");
    Ok(Command::RunAs(RunAsOptions { user, rights, program }))
}

/// `bpf,perfmon`: the kernel's names in small letters, without what they begin with.
fn capabilities(list: &str) -> Result<Vec<Capability>> {
    let names = list.split(',').filter(|name| !name.is_empty());
    names
        .map(|name| {
            let known = format!("CAP_{}", name.to_ascii_uppercase()).parse().ok();
            known.with_context(|| format!("--rights: `{name}` is no capability"))
        })
        .collect()
}

fn scenario(parser: &mut lexopt::Parser) -> Result<Command> {
    match parser.next()? {
        None => Ok(Command::Scenario),
        Some(Short('h') | Long("help")) => Ok(Command::Help),
        Some(other) => Err(other.unexpected().into()),
    }
}

fn duration(parser: &mut lexopt::Parser) -> Result<Duration> {
    units::duration(&parser.value()?.string()?)
}

fn alarm(time: Duration) -> Result<u64> {
    if time.is_zero() || time.subsec_nanos() != 0 {
        bail!("--alarm {time:?}: the RTC counts whole seconds, so give 1s, 2s and so on");
    }
    Ok(time.as_secs())
}

fn number(parser: &mut lexopt::Parser, option: &str, most: u32) -> Result<u32> {
    let text = parser.value()?.string()?;
    match text.parse() {
        Ok(n) if (1..=most).contains(&n) => Ok(n),
        _ => bail!("{option} `{text}`: give a number from 1 to {most}"),
    }
}

/// A wakeup source made here has a file's name, so it can be whatever a file can be called.
fn fifo_name(option: &str, name: &OsString) -> Result<()> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        bail!("{option} {name:?} is no name for a file: leave out `/`, and don't call it `.`");
    }
    if bytes.len() > NAME_MAX {
        bail!("{option} {name:?} makes {} bytes: {NAME_MAX} is the most", bytes.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn line(words: &str) -> Result<Command> {
        parse(lexopt::Parser::from_args(words.split_whitespace()))
    }

    #[test]
    fn commands_and_options_are_read() {
        let sources = SourcesOptions {
            count: 300,
            prefix: "ws".into(),
            traffic: Traffic::Churn(50),
            length: Some(Duration::from_secs(30)),
        };
        let words = "sources --count 300 --prefix ws --churn=50 --for 30s";
        assert_eq!(line(words).unwrap(), Command::Sources(sources));
        let suspend = SuspendOptions { times: 3, alarm_s: 4, gap: Duration::from_millis(500) };
        assert_eq!(line("suspend --times 3 --alarm 4s").unwrap(), Command::Suspend(suspend));
        assert_eq!(line("demo").unwrap(), Command::Demo { length: Duration::from_secs(30) });
        assert_eq!(line("demo --help").unwrap(), Command::Help);
        assert_eq!(line("scenario").unwrap(), Command::Scenario);
    }

    #[test]
    fn a_name_may_hold_any_byte() {
        let name = OsString::from_vec(b"\x1b[31m \n\xff--name".to_vec());
        let words = ["source".into(), "--name".into(), name.clone()];
        let options =
            SourceOptions { name, after: Duration::ZERO, hold: Duration::from_secs(1), times: 1 };
        let read = parse(lexopt::Parser::from_args(words)).unwrap();
        assert_eq!(read, Command::Source(options));
        let longest = "n".repeat(NAME_MAX);
        assert!(line(&format!("source --name {longest}")).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = format!("source --name {}", "n".repeat(NAME_MAX + 1));
        let long_prefix = format!("sources --count 10 --prefix {}", "n".repeat(NAME_MAX - 4));
        let wrong = [
            ("", "what to do"),
            ("dance", "`dance`"),
            ("sources", "--count N"),
            ("sources --count 0", "`0`"),
            ("sources --count 5 --name x", "--name"),
            ("source", "--name NAME"),
            ("source --name a/b", "a/b"),
            ("source --name ..", "`.`"),
            ("source --name a --hold 5", "`5`"),
            (long.as_str(), "256 bytes"),
            (long_prefix.as_str(), "256 bytes"),
            ("suspend", "--times N"),
            ("suspend --times 1 --alarm 1500ms", "whole seconds"),
            ("suspend --times 1 --alarm 0s", "whole seconds"),
            ("demo --for 2s", "too short"),
            ("demo more", "more"),
            ("scenario more", "more"),
        ];
        for (words, what) in wrong {
            let error = line(words).unwrap_err().to_string();
            assert!(error.contains(what), "{words}: {error}");
        }
    }
}
