//! `sleepwalk-workload` keeps a device awake on purpose: real wakeup sources, real suspend attempts,
//! real aborts, so that Sleepwalk's report can be compared with what was done.
//!
//! A wakeup source needs no driver here: a FIFO that is added to an epoll set with EPOLLWAKEUP has
//! one, named after the file (kernel: `ep_create_wakeup_source` in fs/eventpoll.c, 7.3).

mod capabilities;
mod clock;
mod demo;
mod event;
mod fifo;
mod run_as;
mod scenario;
mod scratch;
mod source;
mod sources;
mod stop;
mod storm;
mod suspend;
mod timer;
mod wake_set;
mod worker;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Keeps a device awake on purpose, so that Sleepwalk has something to find
///
/// All commands need root. FIFOs are made in a new folder in the current one, and go with the
/// program. Exit codes: 0 done, 1 failed or stopped early, 2 wrong usage.
#[derive(Parser)]
#[command(name = "sleepwalk-workload")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, PartialEq, Subcommand)]
enum Command {
    Sources(sources::Options),
    Source(source::Options),
    Suspend(suspend::Options),
    Demo(demo::Options),
    RunAs(run_as::Options),
    /// End an attempt in each way in which one can end
    ///
    /// Refused, cut short, aborted in sync, freeze and devices, slept. Needs tracefs, debugfs and the
    /// module pm-notifier-error-inject.
    Scenario,
}

/// It failed.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            event::complain(format_args!("{error:#}"));
            ExitCode::from(FAILED)
        }
    }
}

fn run(command: &Command) -> Result<()> {
    match command {
        Command::Sources(options) => sources::run(options),
        Command::Source(options) => source::run(options),
        Command::Suspend(options) => suspend::run(options),
        Command::Demo(options) => demo::run(options.length),
        Command::RunAs(options) => run_as::run(options),
        Command::Scenario => scenario::run(),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;
    use std::time::Duration;

    use clap::CommandFactory as _;

    use super::*;

    fn line(words: &str) -> Result<Command, clap::Error> {
        read(words.split_whitespace().map(OsString::from).collect())
    }

    fn read(words: Vec<OsString>) -> Result<Command, clap::Error> {
        let words = [OsString::from("sleepwalk-workload")].into_iter().chain(words);
        Cli::try_parse_from(words).map(|cli| cli.command)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_and_options_are_read() {
        let sources = sources::Options {
            count: 300,
            prefix: "ws".into(),
            traffic: sources::Traffic { churn: Some(50), ..Default::default() },
            length: Some(Duration::from_secs(30)),
        };
        let words = "sources --count 300 --prefix ws --churn=50 --for 30s";
        assert_eq!(line(words).unwrap(), Command::Sources(sources));
        let gap = Duration::from_millis(500);
        let suspend = suspend::Options { times: 3, alarm_s: 4, gap };
        assert_eq!(line("suspend --times 3 --alarm 4s").unwrap(), Command::Suspend(suspend));
        let demo = demo::Options { length: Duration::from_secs(30) };
        assert_eq!(line("demo").unwrap(), Command::Demo(demo));
        assert_eq!(line("scenario").unwrap(), Command::Scenario);
        let run_as = line("run-as --user 7 --capabilities bpf,perfmon -- ls --user 8").unwrap();
        let Command::RunAs(options) = run_as else { panic!("another command") };
        assert_eq!((options.user, options.capabilities.len()), (7, 2));
        assert_eq!(options.program, ["ls", "--user", "8"]);
    }

    #[test]
    fn a_name_may_hold_any_byte() {
        for name in [&b"\x1b[31m \n\xff--name"[..], b"--name", b"", &[b'n'; 255]] {
            let name = OsString::from_vec(name.to_vec());
            let command = read(vec!["source".into(), "--name".into(), name.clone()]).unwrap();
            let Command::Source(options) = command else { panic!("another command") };
            assert_eq!((options.name, options.times), (name, 1));
        }
    }

    #[test]
    fn a_usage_error_names_its_cause() {
        let long = format!("source --name {}", "n".repeat(256));
        let long_prefix = format!("sources --count 10 --prefix {}", "n".repeat(249));
        let wrong = [
            ("dance", "dance"),
            ("sources", "--count"),
            ("sources --count 0", "0 is not in 1..=1000000"),
            ("sources --count 5 --name x", "--name"),
            ("sources --count 5 --storm --churn 3", "--churn"),
            ("source", "--name"),
            ("source --name a/b", "a/b"),
            ("source --name ..", "`.`"),
            ("source --name a --hold 5", "`5`"),
            (long.as_str(), "256 bytes"),
            (long_prefix.as_str(), "256 bytes"),
            ("suspend", "--times"),
            ("suspend --times 1 --alarm 1500ms", "whole seconds"),
            ("suspend --times 1 --alarm 0s", "whole seconds"),
            ("demo --for 2s", "too short"),
            ("demo more", "more"),
            ("scenario more", "more"),
            ("run-as --user 7 --capabilities fly ls", "`fly`"),
            ("run-as --user 7", "PROGRAM"),
        ];
        for (words, cause) in wrong {
            let error = line(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{words}");
            let error = error.to_string();
            assert!(error.contains(cause), "{words}: {error}");
        }
    }
}
