//! Sleepwalk's tasks, `cargo xtask TASK`: one file per task.

mod bench;
mod build;
mod demo;
mod deny;
mod edges;
mod fuzz;
mod golden;
mod setup;
mod synth;
mod test;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use sleepwalk_trace::units;
use sleepwalk_vdev::{Boot, DEADLINE, DEFAULT_NAME, Kernel, Refuses, Vdev, paths, sh};

/// Sleepwalk's tasks
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
#[command(arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the other tasks need; each of them also installs what it needs
    Setup,
    /// Boot the virtual device, keep it awake on purpose, record and report; the device stays up
    Demo,
    /// Run all tests, or only the end-to-end tests that match the arguments
    ///
    /// All tests are those that need no device, exports by Perfetto's descriptors, the HTML report in
    /// Chromium, and the end-to-end tests in virtual devices of their own.
    Test {
        /// Only the end-to-end tests that run on each kernel, on this one; may be repeated
        #[arg(long, value_name = "KERNEL", value_parser = kernel)]
        kernel: Vec<Kernel>,
        /// As for `cargo test`: `test -- attempts`
        #[arg(last = true, value_name = "ARGUMENT")]
        filter: Vec<OsString>,
    },
    /// Measure the cost of snapshots, of the agent, and of reading traces
    ///
    /// Needs a quiet machine. Prints a table, writes target/bench.json, and fails where a figure
    /// misses its limit.
    Bench {
        /// Only this part
        part: Option<bench::Part>,
        /// Leave the large trace in target/bench
        #[arg(long)]
        keep: bool,
    },
    /// Build target/dist/sleepwalk and sleepwalkd, or one part
    Build {
        /// Only this part
        part: Option<build::Part>,
    },
    /// Run the fuzz targets of the readers
    Fuzz {
        /// How long all targets run together
        #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = units::positive_duration)]
        length: Duration,
        /// Add inputs that reach new code to the corpus
        #[arg(long)]
        keep: bool,
    },
    /// Record the golden traces again
    Golden {
        /// everyday, debugfs or ring; all of them if none is named
        names: Vec<String>,
    },
    /// Write a large synthetic trace, identical each time
    Synth {
        file: PathBuf,
        #[command(flatten)]
        size: synth::Size,
    },
    /// Work with the virtual device
    Vdev {
        /// Name of the device; several can be up at once
        #[arg(long, global = true, default_value = DEFAULT_NAME)]
        name: String,
        #[command(subcommand)]
        verb: Verb,
    },
    /// Check the dependencies between crates
    Edges,
    /// Check the text for words that the project avoids
    Words {
        /// Check only these paths
        paths: Vec<String>,
    },
    /// Check licences, bans and sources, and advisories where their database can be fetched
    Deny,
    /// Compile the agent for Android, without an NDK
    CheckAndroid,
    /// Run clippy for the probe, on its own target
    ClippyProbe,
}

#[derive(Subcommand)]
enum Verb {
    /// Boot the device and print its serial
    Up {
        /// The kernel: kfunc, 6.12, 6.1 and 5.10 are Debian's; gki-… is built, which takes minutes
        #[arg(long, default_value = Kernel::default().name(), value_parser = kernel)]
        kernel: Kernel,
        /// Add /dev/vda, an ext4 file system that outlives the device
        #[arg(long)]
        disk: bool,
        /// Refuse something to the agent: debugfs, bpf (by SELinux) or kernel-memory (by lockdown)
        #[arg(long, default_value = Refuses::default().name(), value_parser = refuses)]
        refuse: Refuses,
    },
    /// Cut its power
    Down,
    /// Print whether it is up, and its serial
    Status,
    /// Run `adb shell`
    Shell {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Setup => setup::all(),
        Task::Demo => demo::run(),
        Task::Test { kernel, filter } => test::run(&kernel, &filter),
        Task::Bench { part, keep } => bench::run(part, keep),
        Task::Build { part } => build::run(part),
        Task::Fuzz { length, keep } => fuzz::run(length, keep),
        Task::Golden { names } => golden::run(&names),
        Task::Synth { file, size } => synth::write(&file, size),
        Task::Vdev { name, verb } => vdev(&Vdev::new(&name)?, verb),
        Task::Edges => edges::check(),
        Task::Words { paths } => words::check(&paths),
        Task::Deny => deny::check(),
        Task::CheckAndroid => build::check_android(),
        Task::ClippyProbe => build::probe_clippy(),
    }
}

fn vdev(vdev: &Vdev, verb: Verb) -> Result<()> {
    match verb {
        Verb::Up { kernel, disk, refuse: refuses } => {
            println!("{}", vdev.up(Boot { kernel, disk, refuses }, DEADLINE)?.serial)
        }
        Verb::Down => vdev.down()?,
        Verb::Status => println!("{}", vdev.status()),
        Verb::Shell { arguments } => return Err(vdev.device()?.shell(&arguments)),
    }
    Ok(())
}

fn kernel(name: &str) -> Result<Kernel, String> {
    let names = Kernel::ALL.map(Kernel::name);
    Kernel::of_name(name).ok_or_else(|| format!("it is one of {}", names.join(", ")))
}

fn refuses(name: &str) -> Result<Refuses, String> {
    let mut all = Refuses::ALL.into_iter();
    let names = Refuses::ALL.map(Refuses::name);
    all.find(|one| one.name() == name).ok_or_else(|| format!("it is one of {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Task, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.task)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_shells_words_are_the_devices() {
        let task = parse("xtask vdev --name a shell ls --name -l").unwrap();
        let Task::Vdev { name, verb: Verb::Shell { arguments } } = task else {
            panic!("another task")
        };
        assert_eq!(
            (name.as_str(), arguments),
            ("a", ["ls", "--name", "-l"].map(OsString::from).into())
        );
        let task = parse("xtask vdev up --disk --name b").unwrap();
        assert!(
            matches!(task, Task::Vdev { name, verb: Verb::Up { disk: true, .. } } if name == "b")
        );
        assert!(parse("xtask vdev up --kernel 2.4").is_err());
    }

    #[test]
    fn a_filter_follows_two_dashes() {
        let Ok(Task::Test { filter, .. }) = parse("xtask test -- attempts --exact") else {
            panic!("another task")
        };
        assert_eq!(filter, ["attempts", "--exact"]);
        assert!(parse("xtask fuzz --for 60").is_err(), "no unit");
    }
}
