//! Sleepwalk's tasks, `cargo xtask TASK`: one file per task.

mod bench;
mod build;
mod demo;
mod deny;
mod edges;
mod fuzz;
mod golden;
mod paths;
mod setup;
mod sh;
mod synth;
mod test;
mod vdev;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
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
                 everything: the tests that need no device, exports by Perfetto's descriptors, the
                 HTML report in Chromium, then the end-to-end tests in virtual devices of their
                 own; with arguments only the last, as `test -- attempts`
  bench [device|host] [--keep]
                 what a snapshot and the agent cost, and what reading traces costs, on a quiet
                 machine: a table and target/bench.json; fails where a figure misses its limit;
                 --keep leaves the large trace in target/bench
  build [PART]   target/dist/sleepwalk and sleepwalkd; PART: probe, agent, workload or host
  fuzz [--seconds N] [--keep]
                 the decoder's fuzz targets, for a minute; --keep adds what reaches new code to the
                 corpus
  golden [NAME...]
                 records the golden traces anew: everyday, debugfs, ring
  synth FILE [--edges N] [--attempts N] [--sources N]
                 a large trace of a device that never was, the same each time
  vdev up [--kernel kfunc|6.12|6.1] [--disk], vdev down, status, shell [ARGUMENT...], qmp COMMAND
                 the virtual device, or with --name NAME another one: `up` prints its serial,
                 `shell` is `adb shell`, `qmp quit` cuts its power; --disk gives it /dev/vda, an
                 ext4 that stays
  edges          check what may depend on what
  words [PATH...]
                 check for words that the project does not use
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
        "bench" => bench(args),
        "build" => build(args),
        "vdev" => vdev(args),
        "fuzz" => fuzz(args),
        "golden" => {
            let names = words(args)?.into_iter().map(|n| n.to_string_lossy().into_owned());
            golden::run(&names.collect::<Vec<_>>())
        }
        "synth" => synth(args),
        "words" => {
            let paths = words(args)?.into_iter().map(|path| path.to_string_lossy().into_owned());
            words::check(&paths.collect::<Vec<_>>())
        }
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

fn bench(mut args: lexopt::Parser) -> Result<()> {
    let (mut part, mut keep) = (bench::Part::All, false);
    while let Some(arg) = args.next()? {
        match arg {
            Long("keep") => keep = true,
            Value(word) if word == "device" => part = bench::Part::Device,
            Value(word) if word == "host" => part = bench::Part::Host,
            other => return Err(other.unexpected().into()),
        }
    }
    bench::run(part, keep)
}

fn fuzz(mut args: lexopt::Parser) -> Result<()> {
    let (mut seconds, mut keep) = (fuzz::SECONDS, false);
    while let Some(arg) = args.next()? {
        match arg {
            Long("seconds") => seconds = args.value()?.parse()?,
            Long("keep") => keep = true,
            other => return Err(other.unexpected().into()),
        }
    }
    fuzz::run(seconds, keep)
}

fn synth(mut args: lexopt::Parser) -> Result<()> {
    let (mut file, mut size) = (None, synth::LARGE);
    while let Some(arg) = args.next()? {
        match arg {
            Long("edges") => size.edges = args.value()?.parse()?,
            Long("attempts") => size.attempts = args.value()?.parse()?,
            Long("sources") => size.sources = args.value()?.parse()?,
            Value(name) if file.is_none() => file = Some(PathBuf::from(name)),
            other => return Err(other.unexpected().into()),
        }
    }
    synth::write(&file.context("synth wants the file that it is to write")?, size)
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
