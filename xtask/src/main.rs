//! Sleepwalk's tasks, `cargo xtask TASK`: one file per task.

mod bench;
mod build;
mod demo;
mod deny;
mod edges;
mod paths;
mod setup;
mod sh;
mod test;
mod vdev;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use serde_json::Value as Json;

use crate::setup::packages::Kernel;
use crate::vdev::Vdev;

const USAGE: &str = "\
Usage: cargo xtask TASK

  setup          bring in what the other tasks need; they also do so by themselves
  demo           boot the virtual device, keep it awake on purpose, record it, rank it; the device
                 stays up
  test [-- ARGUMENT...]
                 everything: the tests that need no device, then the end-to-end tests in virtual
                 devices of their own; with arguments only the latter, as `test -- attempts`
  bench          what a snapshot and the agent cost, on a quiet machine: a table and
                 target/bench.json; fails where a figure misses its limit
  build [PART]   target/dist/sleepwalk and sleepwalkd; PART: probe, agent, workload or host
  vdev up [--kernel kfunc|6.12|6.1] [--disk], vdev down, status, shell [ARGUMENT...], qmp COMMAND
                 the virtual device, or with --name NAME another one: `up` prints its serial,
                 `shell` is `adb shell`, `qmp quit` cuts its power; --disk gives it /dev/vda, an
                 ext4 that stays
  edges          check what may depend on what
  deny           check licences, bans, sources, and advisories where they can be had
  check-android  compile the agent for Android, without an NDK
  clippy-probe   clippy for the probe, on its own target
";

fn main() -> ExitCode {
    match task() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn task() -> Result<()> {
    let mut args = lexopt::Parser::from_env();
    let Some(Value(task)) = args.next()? else {
        print!("{USAGE}");
        return Ok(());
    };
    match task.to_string_lossy().as_ref() {
        "setup" => done(args).and_then(|()| setup::all()),
        "demo" => done(args).and_then(|()| demo::run()),
        "test" => test::run(&words(args)?),
        "bench" => done(args).and_then(|()| bench::run()),
        "build" => build(args),
        "vdev" => vdev(args),
        "deny" => done(args).and_then(|()| deny::check()),
        "edges" => done(args).and_then(|()| edges::check()),
        "check-android" => done(args).and_then(|()| build::check_android()),
        "clippy-probe" => done(args).and_then(|()| build::probe_clippy()),
        other => bail!("no task {other:?}; `cargo xtask` lists them"),
    }
}

fn build(mut args: lexopt::Parser) -> Result<()> {
    let part = match args.next()? {
        None => return build::all(),
        Some(Value(part)) => part,
        Some(other) => return Err(other.unexpected().into()),
    };
    done(args)?;
    let made = match part.to_string_lossy().as_ref() {
        "probe" => build::probe(),
        "agent" => build::agent(),
        "workload" => build::workload(),
        "host" => build::host(),
        other => bail!("no part {other:?}: it is probe, agent, workload or host"),
    };
    made.map(drop)
}

fn vdev(mut args: lexopt::Parser) -> Result<()> {
    let (mut name, mut kernel) = (vdev::DEFAULT_NAME.to_owned(), Kernel::default());
    let mut words: Vec<OsString> = Vec::new();
    let mut disk = false;
    while let Some(arg) = args.next()? {
        match arg {
            Long("name") => name = args.value()?.string()?,
            Long("kernel") => {
                let value = args.value()?.string()?;
                kernel = Kernel::of_name(&value)
                    .with_context(|| format!("no kernel {value:?}: it is kfunc, 6.12 or 6.1"))?;
            }
            Long("disk") => disk = true,
            Value(word) => {
                words.push(word);
                // From its first word on, a shell's command is the device's business, options included.
                if words.len() == 2 && words[0] == "shell" {
                    words.extend(args.raw_args()?);
                }
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let device = Vdev::new(&name)?;
    let (verb, rest) = words.split_first().context("vdev wants up, down, shell, status or qmp")?;
    if verb != "shell" && verb != "qmp" && !rest.is_empty() {
        bail!("vdev {} takes no {rest:?}", verb.to_string_lossy());
    }
    match verb.to_string_lossy().as_ref() {
        "up" => println!("{}", device.up(kernel, vdev::DEADLINE, disk)?.serial),
        "down" => device.down()?,
        "status" => println!("{}", device.status()),
        "shell" => return Err(device.device()?.shell(rest)),
        "qmp" => {
            let [command] = rest else { bail!("vdev qmp wants one command, as quit") };
            println!("{}", device.qmp()?.execute(&command.to_string_lossy(), Json::Null)?);
        }
        other => bail!("vdev knows no {other:?}: it is up, down, shell, status or qmp"),
    }
    Ok(())
}

/// What is no option of ours; behind `--` that is everything.
fn words(mut args: lexopt::Parser) -> Result<Vec<OsString>> {
    let mut words = Vec::new();
    while let Some(arg) = args.next()? {
        match arg {
            Value(word) => words.push(word),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(words)
}

fn done(mut args: lexopt::Parser) -> Result<()> {
    match args.next()? {
        None => Ok(()),
        Some(other) => Err(other.unexpected().into()),
    }
}
