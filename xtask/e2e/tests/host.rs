//! `sleepwalk` on the host, against the device.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sleepwalk_e2e::device;
use sleepwalk_e2e::ftrace::{Ftrace, Kind};
use sleepwalk_e2e::trace::Trace;

fn run(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{command:?}: {stderr}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn record_ranks_holds_and_leaves_nothing_behind() -> Result<()> {
    let device = device::with_kfuncs()?;
    let folder = tempfile::tempdir()?;
    let trace = folder.path().join("a.swk");
    let mut record = device::sleepwalk(&device)?
        .args(["record", "-d", "25s", "--interval", "1s", "-o"])
        .arg(&trace)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    let ran = (|| {
        // The capture begins while the source is idle, and ends after it. A busy machine takes long.
        device.sh("n=0; until grep -qs ^ready /data/local/tmp/sleepwalk/record-*.out; do \
             n=$((n+1)); [ $n -lt 300 ] || exit 1; sleep 0.2; done")?;
        let ftrace = Ftrace::start(&device)?;
        device.sh("./sleepwalk-workload suspend --times 1 --alarm 2s")?;
        // It must outlive the snapshot that sees how long it was held.
        let source = "./sleepwalk-workload source --name top_holder --hold 1200ms --after 2s";
        device.sh(&format!("{source} --times 2"))?;
        ftrace.stop()
    })();
    let output = record.wait_with_output_checked()?;
    let kernel = ran?;
    ensure!(output.0, "{}", output.1);
    ensure!(output.1.contains("top_holder"), "{}", output.1);

    let bytes = std::fs::read(&trace)?;
    ensure!(Trace::read(&bytes)?.complete(), "the trace has no end");
    let json = run(device::sleepwalk(&device)?.args(["report", "--format", "json"]).arg(&trace))?;
    let report: Value = serde_json::from_str(&json)?;
    let attempts = report["attempts"].as_array().context("no attempts")?;
    let returns: Vec<_> = kernel.iter().filter(|e| matches!(e.kind, Kind::Return(_))).collect();
    assert_eq!(attempts.len(), returns.len());
    assert_eq!(attempts[0]["errno"], 0);
    assert_eq!(attempts[0]["outcome"], "slept");
    let machine: Vec<_> = kernel
        .iter()
        .filter(|e| matches!(&e.kind, Kind::Phase { action, .. } if action == "machine_suspend"))
        .collect();
    let slept: u64 = machine.chunks_exact(2).map(|pair| pair[1].at_ns - pair[0].at_ns).sum();
    let ours = attempts[0]["slept_ns"].as_u64().context("slept_ns")?;
    ensure!(ours.abs_diff(slept) < 40_000_000, "slept {ours} ns, the kernel has {slept}");

    let top =
        report["sources"].as_array().and_then(|s| s.iter().find(|s| s["name"] == "top_holder"));
    let held = top.and_then(|s| s["held_ns"].as_u64()).context("top_holder is missing")?;
    ensure!((1_200_000_000..2_600_000_000).contains(&held), "held {held} ns");
    let lines = report["ledger"].as_object().context("no ledger")?;
    let sum: u64 = lines
        .iter()
        .filter(|(key, _)| *key != "unattributed_ns")
        .filter_map(|(_, ns)| ns.as_u64())
        .sum();
    assert_eq!(Some(sum), report["session"]["duration_ns"].as_u64(), "the ledger adds up");

    let running = device.sh("ps -o args | grep -c '[s]leepwalkd record' || true")?;
    assert_eq!(running, "0");
    let left = device.sh("ls /data/local/tmp/sleepwalk 2>/dev/null || true")?;
    ensure!(!left.contains(".swk") && !left.contains(".pid"), "it left {left}");
    Ok(())
}

#[test]
fn doctor_says_that_all_is_well() -> Result<()> {
    let device = device::with_kfuncs()?;
    let text = run(device::sleepwalk(&device)?.arg("doctor"))?;
    for check in [
        "adb",
        "CAP_BPF",
        "CAP_PERFMON",
        "BTF",
        "kfuncs",
        "snapshots",
        "suspend",
        "returns",
        "activations",
        "activators",
        "waits",
        "wakes",
    ] {
        ensure!(text.contains(check), "{check} is missing in: {text}");
    }
    ensure!(!text.contains("missing"), "{text}");
    Ok(())
}

/// Waits and collects both streams.
trait Collect {
    fn wait_with_output_checked(&mut self) -> Result<(bool, String)>;
}

impl Collect for std::process::Child {
    fn wait_with_output_checked(&mut self) -> Result<(bool, String)> {
        use std::io::Read as _;
        let mut text = String::new();
        self.stdout.take().context("no stdout")?.read_to_string(&mut text)?;
        self.stderr.take().context("no stderr")?.read_to_string(&mut text)?;
        Ok((self.wait()?.success(), text))
    }
}
