//! `cargo xtask test`: the tests that need nothing but Rust, exports by Perfetto's own descriptors, the
//! HTML report in Chromium, then the end-to-end tests in virtual devices of their own, one for each
//! kernel.

use std::ffi::OsString;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use sleepwalk_vdev::{Kernel, OwnDevice, Reserved, parts, system};

use crate::{build, paths, setup, sh};

/// A device: its name, which is this task's own because it is taken down at both ends, its kernel,
/// and the variable that names it to the tests.
type Kind = (&'static str, Kernel, &'static str);

/// With the kfuncs, and the newest kernel without.
const NEW: [Kind; 2] = [
    ("test", Kernel::Kfunc, "SLEEPWALK_E2E_SERIAL"),
    ("test-6.12", Kernel::V6_12, "SLEEPWALK_E2E_SERIAL_WITHOUT_KFUNCS"),
];

/// The oldest has a file of tests to itself, and is up for them alone: an emulated device costs a core.
const OLD: [Kind; 1] = [("test-6.1", Kernel::V6_1, "SLEEPWALK_E2E_SERIAL_OLDEST")];
const OLD_TESTS: &str = "oldest";

/// The device whose power a test cuts; the test boots it.
const POWER: &str = "test-power";

/// Some five times what the end-to-end tests take: beyond it a device hangs.
const LIMIT: Duration = Duration::from_secs(25 * 60);

/// Everything, or with `filter` the end-to-end tests that it picks.
pub fn run(filter: &[OsString]) -> Result<()> {
    let mut failed = Vec::new();
    if filter.is_empty() {
        sh::progress("step 1 of 6: the tests that need no device");
        failed.extend(failure(without_device(), "the tests that need no device"));
        sh::progress("step 2 of 6: exports, by Perfetto's own descriptors");
        failed.extend(failure(perfetto(), "the check of exports for Perfetto"));
        sh::progress("step 3 of 6: the HTML report in Chromium");
        failed.extend(failure(in_the_browser(), "the HTML report in Chromium"));
    }
    sh::progress("step 4 of 6: the programs");
    build::all()?;
    let files = test_files()?;
    let (old, new): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file == OLD_TESTS);
    sh::progress("step 5 of 6: the end-to-end tests on the new kernels");
    let power = Reserved::new(POWER)?;
    failed.extend(end_to_end(&NEW, &new, filter, "the end-to-end tests")?);
    drop(power);
    sh::progress("step 6 of 6: the end-to-end tests on the oldest kernel");
    failed.extend(end_to_end(&OLD, &old, filter, "the end-to-end tests on the oldest kernel")?);
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    sh::progress("all tests passed");
    Ok(())
}

/// Prints a failure, which does not keep the other parts from running.
fn failure(result: Result<()>, part: &'static str) -> Option<&'static str> {
    let error = result.err()?;
    sh::progress(format!("{error:#}"));
    Some(part)
}

fn without_device() -> Result<()> {
    system::ensure("python3", "python3", "reads traces by their documentation")?;
    sh::run(sh::cargo().args(["test", "--no-fail-fast"]))
}

/// Decoding by the descriptors needs Python; querying would need trace processor, which no package
/// registry has (the Python package downloads it).
fn perfetto() -> Result<()> {
    let mut cargo = sh::cargo();
    cargo
        .args(["test", "--package", "sleepwalk", "--test", "export", "--", "--ignored"])
        .env("SLEEPWALK_PERFETTO_PYTHON", "python3")
        .env("PYTHONPATH", setup::perfetto()?);
    sh::run(&mut cargo)
}

fn in_the_browser() -> Result<()> {
    let mut cargo = sh::cargo();
    cargo
        .args(["test", "--package", "sleepwalk", "--test", "browser", "--no-fail-fast"])
        // The output has how soon a page is drawn. Each test has a browser, which takes a core.
        .args(["--", "--ignored", "--test-threads=2", "--show-output"])
        .env("CHROMIUM", setup::chromium()?);
    sh::run_within(LIMIT, &mut cargo)
}

/// The names of the files of end-to-end tests.
fn test_files() -> Result<Vec<String>> {
    let folder = paths::root().join("xtask/e2e/tests");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Runs these files' tests with these devices up, or nothing where `filter` picks none of them; the
/// name of the part where one failed.
fn end_to_end(
    kinds: &[Kind],
    files: &[String],
    filter: &[OsString],
    part: &'static str,
) -> Result<Option<&'static str>> {
    let cargo = || {
        let mut cargo = sh::cargo();
        cargo.args(["test", "--package", "sleepwalk-e2e", "--no-fail-fast", "--lib"]);
        cargo.args(files.iter().flat_map(|file| ["--test", file]));
        cargo
    };
    if !filter.is_empty() {
        sh::run(cargo().arg("--no-run"))?;
        let listed = sh::read(cargo().args(["--", "--list"]).args(filter))?;
        if !listed.lines().any(|line| line.ends_with(": test")) {
            sh::progress("none is picked");
            return Ok(None);
        }
    }
    let mut cargo = cargo();
    // They share the devices, and a device sleeps for all.
    cargo.args(["--", "--test-threads=1"]).args(filter);
    cargo.env("SLEEPWALK_E2E_DIST", paths::dist()).env("ADB", parts::adb()?);
    cargo.env("SLEEPWALK_E2E_POWER", POWER);
    let mut devices = Vec::new();
    for (name, kernel, variable) in kinds {
        let own = OwnDevice::boot(name, *kernel)?;
        cargo.env(variable, &own.device.serial);
        devices.push((name, own));
    }
    let started = Instant::now();
    let failed = failure(sh::run_within(LIMIT, &mut cargo), part);
    if failed.is_some() {
        for (name, device) in &devices {
            if !device.alive() {
                sh::progress(format!("the device {name} ended on its own; {}", device.console()));
            } else if started.elapsed() > LIMIT {
                sh::progress(format!("the device {name} may hang; {}", device.console()));
            }
        }
    }
    Ok(failed)
}
