//! `cargo xtask golden`: records the golden traces of the format's version 1 again, in virtual devices
//! of their own, and their contents, as `sleepwalk dump` prints them.
//!
//! They are made when the format is final, and never again: they prove that a later Sleepwalk still
//! reads them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use sleepwalk_vdev::{Kernel, OwnDevice};

use crate::{build, paths, sh};

/// No golden trace is larger: they stay in the repository for ever.
const LARGEST: usize = 100_000;
/// But a ring has at least 256 KiB.
const LARGEST_RING: usize = 256 << 10;

struct Golden {
    name: &'static str,
    kernel: Kernel,
    /// Behind `sleepwalkd record -o FILE`.
    options: &'static str,
    /// The events to record.
    script: &'static str,
}

/// A name with an escape sequence, a newline, bytes that are no UTF-8, HTML and a formula.
const HOSTILE: &str = r#"./sleepwalk-workload source --name "$(printf '=1+1\033[31m\n\377<b>|')" --after 2s --hold 700ms"#;

const GOLDENS: [Golden; 3] = [
    // Slept and aborted attempts, waits, wakes, edges.
    Golden {
        name: "everyday",
        kernel: Kernel::Kfunc,
        options: "--interval 5s",
        script: "HOSTILE & ./sleepwalk-workload demo --for 12s; wait",
    },
    // The poorest: printed counters, no single activations.
    Golden {
        name: "debugfs",
        kernel: Kernel::V6_12,
        options: "--interval 2s --source debugfs --no-edges",
        script: "HOSTILE & ./sleepwalk-workload suspend --times 1 --alarm 2s; wait",
    },
    // Its oldest chunks were dropped.
    Golden {
        name: "ring",
        kernel: Kernel::Kfunc,
        options: "--interval 1s --max-size 256K --on-full ring",
        script: "HOSTILE & sleep 31 | ./sleepwalk-workload sources --count 20 --churn 3000 --for 30s; \
                 wait",
    },
];

/// Makes all, or those that are named.
pub fn run(names: &[String]) -> Result<()> {
    let chosen = |golden: &&Golden| names.is_empty() || names.iter().any(|n| n == golden.name);
    for name in names {
        let known = GOLDENS.iter().any(|golden| golden.name == name);
        ensure!(known, "no golden trace {name:?}: they are everyday, debugfs and ring");
    }
    build::agent()?;
    build::workload()?;
    for golden in GOLDENS.iter().filter(chosen) {
        make(golden).with_context(|| format!("the golden trace {}", golden.name))?;
    }
    // The test itself writes their contents.
    sh::run(
        sh::cargo()
            .args(["test", "--package", "sleepwalk", "--test", "golden_traces"])
            .env("SLEEPWALK_BLESS", "1"),
    )
}

fn make(golden: &Golden) -> Result<()> {
    let own = OwnDevice::boot("golden", golden.kernel)?;
    let device = &own.device;
    device.push(&[paths::agent_program(), paths::workload_program()])?;
    device.sh("rm -f golden.swk")?;
    let record = format!("./sleepwalkd record -o golden.swk {}", golden.options);
    let agent = device.start(&record, "ready")?;
    device.sh(&golden.script.replace("HOSTILE", HOSTILE))?;
    agent.stop()?;
    let bytes = device.pull("golden.swk")?;
    let most = if golden.name == "ring" { LARGEST_RING } else { LARGEST };
    ensure!(bytes.len() <= most, "{} bytes, more than {most}", bytes.len());
    fs::create_dir_all(folder()).context("trace/tests/golden cannot be made")?;
    let file = folder().join(format!("v1-{}.swk", golden.name));
    fs::write(&file, bytes).with_context(|| format!("{} cannot be written", file.display()))
}

fn folder() -> PathBuf {
    paths::root().join("trace/tests/golden")
}
