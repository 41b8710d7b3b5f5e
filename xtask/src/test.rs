//! `cargo xtask test`: the tests that need nothing but Rust, exports by Perfetto's own descriptors, the
//! HTML report in Chromium, then the end-to-end tests in virtual devices of their own, one for each
//! kernel.

use std::ffi::OsString;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use sleepwalk_vdev::{Kernel, OwnDevice, Reserved, parts, system};

use crate::{build, paths, setup, sh};

/// The kernels on which every end-to-end test runs: with the kfuncs, and the newest without.
const ALL_TESTS: [Kernel; 2] = [Kernel::Kfunc, Kernel::V6_12];

/// The other kernels, and the files of tests that run on each of them. One is up at a time: an emulated
/// device costs a core.
const OTHERS: [Kernel; 3] = [Kernel::V6_1, Kernel::V5_10, Kernel::Gki6_1];
const ON_EACH: [&str; 6] = ["activators", "outlive", "refused", "scenario", "sources", "waiters"];

/// The device that a test boots for itself: to cut its power, or to have it refuse something.
const OWN: &str = "test-own";

/// Some five times what the end-to-end tests take: beyond it a device hangs.
const LIMIT: Duration = Duration::from_secs(25 * 60);

/// Everything, or with `kernels` the end-to-end tests of kernels on these alone; with `filter` the
/// end-to-end tests that it picks.
pub fn run(kernels: &[Kernel], filter: &[OsString]) -> Result<()> {
    let mut failed = Vec::new();
    let mut fails = |result, part: String| failed.extend(failure(result, part));
    if filter.is_empty() && kernels.is_empty() {
        sh::progress("the tests that need no device");
        fails(without_device(), "the tests that need no device".to_owned());
        sh::progress("exports, by Perfetto's own descriptors");
        fails(perfetto(), "the check of exports for Perfetto".to_owned());
        sh::progress("the HTML report in Chromium");
        fails(in_the_browser(), "the HTML report in Chromium".to_owned());
    }
    sh::progress("the programs");
    build::all()?;
    let _own = Reserved::new(OWN)?;
    if kernels.is_empty() {
        fails(end_to_end(&ALL_TESTS, &test_files()?, filter), "the end-to-end tests".to_owned());
    }
    for kernel in if kernels.is_empty() { &OTHERS } else { kernels } {
        let files = ON_EACH.map(str::to_owned);
        let part = format!("the end-to-end tests on {}", kernel.name());
        fails(end_to_end(&[*kernel], &files, filter), part);
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    sh::progress("all tests passed");
    Ok(())
}

/// Prints a failure, which does not keep the other parts from running.
fn failure(result: Result<()>, part: String) -> Option<String> {
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

/// Runs these files' tests with a device up for each of these kernels, or nothing where `filter` picks
/// none of them.
fn end_to_end(kernels: &[Kernel], files: &[String], filter: &[OsString]) -> Result<()> {
    let names = kernels.iter().map(|kernel| kernel.name()).collect::<Vec<_>>().join(" and ");
    sh::progress(format!("the end-to-end tests on {names}"));
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
            return Ok(());
        }
    }
    let mut devices = Vec::new();
    for kernel in kernels {
        // The name is this task's own, because the device is taken down at both ends.
        let name = format!("test-{}", kernel.name());
        let own = OwnDevice::boot(&name, *kernel)?;
        devices.push((*kernel, name, own));
    }
    let pair = |(kernel, _, own): &(Kernel, String, OwnDevice)| {
        format!("{}={}", kernel.name(), own.device.serial)
    };
    let mut cargo = cargo();
    // They share the devices, and a device sleeps for all.
    cargo.args(["--", "--test-threads=1"]).args(filter);
    cargo.env("SLEEPWALK_E2E_DIST", paths::dist()).env("ADB", parts::adb()?);
    cargo.env("SLEEPWALK_E2E_OWN", OWN);
    cargo.env("SLEEPWALK_E2E_DEVICES", devices.iter().map(pair).collect::<Vec<_>>().join(" "));
    let started = Instant::now();
    let result = sh::run_within(LIMIT, &mut cargo);
    if result.is_err() {
        for (_, name, device) in &devices {
            if !device.alive() {
                sh::progress(format!("the device {name} ended on its own; {}", device.console()));
            } else if started.elapsed() > LIMIT {
                sh::progress(format!("the device {name} may hang; {}", device.console()));
            }
        }
    }
    result
}
