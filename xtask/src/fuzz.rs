//! `cargo xtask fuzz`: the fuzz targets of the decoder in `trace/fuzz`, and of Android's counters in `host/fuzz`, for a
//! while.
//!
//! The seeds are a crate's `fuzz/corpus`, and golden traces or bug reports. A run's finds go to `target/fuzz`,
//! where the next run takes them up; `--keep` merges inputs that reach new code into `fuzz/corpus`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::setup::cargo_tool;
use crate::{paths, sh};

/// cargo-fuzz's version; the targets build with its flags.
const VERSION: &str = "0.13.2";

/// A target of one of the crates' `fuzz/Cargo.toml`.
struct Target {
    name: &'static str,
    /// The crate's folder.
    of: &'static str,
    /// More seeds, in the crate's folder.
    seeds: &'static str,
}

const TARGETS: [Target; 4] = [
    Target { name: "read", of: "trace", seeds: "tests/golden" },
    Target { name: "records", of: "trace", seeds: "tests/golden" },
    Target { name: "round_trip", of: "trace", seeds: "tests/golden" },
    Target { name: "import", of: "host", seeds: "tests/import" },
];

/// Four regions of the shortest kind. Longer inputs are slower and reach nothing new.
const LONGEST: &str = "16640";

/// One second for each target.
const SHORTEST: Duration = Duration::from_secs(4);

/// Runs each target for its part of `length`; with `keep`, the corpus grows by what was found.
pub fn run(length: Duration, keep: bool) -> Result<()> {
    ensure!(length >= SHORTEST, "--for {length:?}: at least 4s, one for each target");
    nightly()?;
    let fuzz = cargo_tool::ensure("cargo-fuzz", VERSION)?;
    let part = length.as_secs() / TARGETS.len() as u64;
    for target in TARGETS {
        let found = paths::target().join("fuzz").join(target.name);
        fs::create_dir_all(&found)
            .with_context(|| format!("{} cannot be made", found.display()))?;
        let folder = paths::root().join(target.of);
        let (corpus, seeds) = (folder.join("fuzz/corpus"), folder.join(target.seeds));
        let time = format!("-max_total_time={part}");
        cargo_fuzz(&fuzz, &target, &[&found, &corpus, &seeds], &time).with_context(|| {
            let Target { name, of, .. } = target;
            format!("{name} found an input that breaks the reader: {of}/fuzz/artifacts/{name}")
        })?;
        if keep {
            cargo_fuzz(&fuzz, &target, &[&corpus, &found, &seeds], "-merge=1")?;
        }
    }
    sh::progress("no input broke a reader");
    Ok(())
}

fn cargo_fuzz(fuzz: &Path, target: &Target, folders: &[&Path], option: &str) -> Result<()> {
    let folder = paths::root().join(target.of);
    let mut command = Command::new("cargo");
    sh::plain_rust(&mut command);
    // It calls cargo and rustc by name: both are to be the nightly's.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let bin = fuzz.parent().unwrap_or(fuzz).to_owned();
    let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path)))?;
    command
        .env("PATH", path)
        .env("RUSTUP_TOOLCHAIN", NIGHTLY)
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .args(["fuzz", "run", "--fuzz-dir"])
        .arg(folder.join("fuzz"))
        .arg("--target-dir")
        .arg(paths::target().join("fuzz-build"))
        .arg(target.name)
        .args(folders)
        .arg("--")
        .args([option, "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0"])
        .arg(format!("-max_len={LONGEST}"))
        .current_dir(&folder);
    sh::run_logged(
        &format!("fuzz-{}", target.name),
        &mut command,
        Duration::from_secs(30 * 60),
        "the fuzzer's output follows",
    )?;
    let log = fs::read_to_string(paths::logs().join(format!("fuzz-{}.log", target.name)))?;
    if let Some(runs) =
        log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
    {
        sh::progress(format!("{}: {} inputs", target.name, runs.trim()));
    }
    Ok(())
}

/// The sanitizer's flags are a nightly's.
const NIGHTLY: &str = "nightly";

fn nightly() -> Result<()> {
    let mut rustc = Command::new("rustup");
    sh::plain_rust(&mut rustc);
    rustc.args(["run", NIGHTLY, "rustc", "--version"]);
    let remedy =
        "the fuzzer needs a nightly Rust: `rustup toolchain install nightly --profile minimal`";
    let version = sh::read(&mut rustc).context(remedy)?;
    if !version.contains("nightly") {
        bail!("{version:?} is no nightly: {remedy}");
    }
    Ok(())
}
