//! The cost of reading a trace: decoding ten million edges, a report on them, and both exports.

use std::fs;
use std::mem::MaybeUninit;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::libc;
use serde_json::Value;

use super::figure::{Figure, Limit};
use crate::{build, paths, sh, synth};

/// The best counts: the others were disturbed.
const RUNS: u32 = 3;
/// A report on a small trace is over so soon that its start is most of it.
const SMALL_RUNS: u32 = 20;

/// The figures of this file. With `keep`, the large trace stays: `target/bench/synth.swk`.
pub fn figures(keep: bool) -> Result<Vec<Figure>> {
    let host = build::host()?;
    let folder = paths::target().join("bench");
    fs::create_dir_all(&folder).context("target/bench cannot be made")?;
    let (large, small) = (folder.join("synth.swk"), folder.join("small.swk"));
    sh::progress("writing a trace with ten million edges");
    synth::write(&large, synth::LARGE)?;
    synth::write(&small, synth::SMALL)?;
    let (decode, mut figures) = decoding(&large)?;
    let cost = best(&host, &["report"], &large, RUNS)?;
    let quick = best(&host, &["report"], &small, SMALL_RUNS)?;
    let exports = exports(&host, &large, decode, &cost)?;
    let size = fs::metadata(&large).context("target/bench/synth.swk")?.len();
    figures.extend([
        Figure::reported("its trace", size as f64 / 1e6, "MB"),
        Figure::limited(
            "report on 10 M edges, 10,000 attempts",
            cost.took.as_secs_f64(),
            "s",
            Limit::AtMost(3.0),
        ),
        Figure::limited(
            "its memory, most",
            cost.memory_bytes as f64 / 1e6,
            "MB",
            Limit::AtMost(256.0),
        ),
        Figure::limited(
            "report on the demo's size",
            quick.took.as_secs_f64() * 1e3,
            "ms",
            Limit::AtMost(50.0),
        ),
    ]);
    figures.extend(exports);
    fs::remove_file(&small).context("target/bench/small.swk")?;
    if keep {
        sh::progress("target/bench/synth.swk stays");
    } else {
        fs::remove_file(&large).context("target/bench/synth.swk")?;
    }
    Ok(figures)
}

/// How long decoding takes. This task is built for its own quick build, so an optimised program decodes.
fn decoding(trace: &Path) -> Result<(Duration, Vec<Figure>)> {
    let mut cargo = sh::cargo();
    cargo.args(["build", "--release", "--package", "sleepwalk-trace", "--example", "decode"]);
    sh::run(&mut cargo)?;
    let program = paths::target().join("release/examples/decode");
    let output = sh::read(Command::new(program).arg(trace))?;
    let times: Value =
        serde_json::from_str(&output).with_context(|| format!("decode: {output:?}"))?;
    let number = |key: &str| times[key].as_f64().with_context(|| format!("decode has no {key}"));
    let (edges, decode) = (number("edges")?, number("decode_ns")?);
    ensure!(edges == synth::LARGE.edges as f64, "{edges} edges were decoded");
    let figures = vec![
        Figure::limited("edges decoded", edges / decode * 1e3, "M/s", Limit::AtLeast(10.0)),
        Figure::reported("decoding, to a checksum of the file", decode / number("crc_ns")?, "x"),
        Figure::reported("decoding, to a plain read of it", decode / number("sum_ns")?, "x"),
    ];
    Ok((Duration::from_secs_f64(decode / 1e9), figures))
}

/// The limits are those for a machine on which the report takes 1.4 s: 3 s an export.
fn exports(host: &Path, trace: &Path, decode: Duration, report: &Cost) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for to in ["perfetto", "jsonl"] {
        let cost = best(host, &["export", "--to", to], trace, RUNS)?;
        let edges = synth::LARGE.edges as f64;
        let of_report = cost.took.as_secs_f64() / report.took.as_secs_f64();
        let memory = cost.memory_bytes as f64 / report.memory_bytes as f64;
        figures.extend([
            Figure::limited(
                format!("edges exported to {to}"),
                edges / cost.took.as_secs_f64() / 1e6,
                "M/s",
                Limit::AtLeast(10.0 / 3.0),
            ),
            Figure::reported(
                format!("export to {to}, to decoding"),
                cost.took.as_secs_f64() / decode.as_secs_f64(),
                "x",
            ),
            Figure::limited(
                format!("export to {to}, to the report"),
                of_report,
                "x",
                Limit::AtMost(3.0 / 1.4),
            ),
            Figure::limited(
                format!("its memory, to the report's ({to})"),
                memory,
                "x",
                Limit::AtMost(1.5),
            ),
        ]);
    }
    let file = trace.with_extension("pftrace");
    let path = file.to_str().context("the target folder's name is not UTF-8")?;
    run(host, &["export", "--to", "perfetto", "-o", path], trace)?;
    let size = fs::metadata(&file).context("the export for Perfetto")?.len();
    fs::remove_file(&file).context("the export for Perfetto")?;
    figures.push(Figure::limited(
        "Perfetto file, to an edge",
        size as f64 / synth::LARGE.edges as f64,
        "B",
        Limit::AtMost(45.0),
    ));
    Ok(figures)
}

struct Cost {
    took: Duration,
    /// The largest resident set.
    memory_bytes: u64,
}

fn best(host: &Path, args: &[&str], trace: &Path, runs: u32) -> Result<Cost> {
    let mut best = run(host, args, trace)?;
    for _ in 1..runs {
        let cost = run(host, args, trace)?;
        best.took = best.took.min(cost.took);
        best.memory_bytes = best.memory_bytes.max(cost.memory_bytes);
    }
    Ok(best)
}

fn run(host: &Path, args: &[&str], trace: &Path) -> Result<Cost> {
    let mut command = Command::new(host);
    command.args(args).arg(trace).stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let child = command.spawn().with_context(|| format!("`{}`", sh::show(&command)))?;
    let pid = i32::try_from(child.id()).context("a process id")?;
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: both pointers are to live variables of the type that wait4 fills in, and the child is
    // ours and not waited for elsewhere.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) };
    let took = begin.elapsed();
    Errno::result(waited).context("wait4")?;
    if status != 0 {
        bail!("`{}` ended with wait status {status}", sh::show(&command));
    }
    // SAFETY: all zeroes is a valid rusage, which is integers only, and wait4 has filled it in.
    let usage = unsafe { usage.assume_init() };
    // In KiB on Linux (getrusage(2)).
    Ok(Cost { took, memory_bytes: usage.ru_maxrss.unsigned_abs() * 1024 })
}
