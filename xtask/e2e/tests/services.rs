//! The questions to Android's services, with a stand-in for `dumpsys` on the device.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sleepwalk_e2e::trace::Trace;
use sleepwalk_e2e::{Device, device};

const DUMPSYS: &str = include_str!("dumpsys.sh");

/// The stand-in; no later test finds it.
struct StandIn<'a>(&'a Device);

impl<'a> StandIn<'a> {
    fn install(device: &'a Device) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("dumpsys");
        fs::write(&file, DUMPSYS)?;
        device.push(&[file])?;
        device.sh(
            "chmod 755 dumpsys && mv dumpsys /system/bin/ && mkdir -p /run/android/locks && cd /run/android
             for lock in hal_lock:77:1000 radio:78:5 PowerManagerService.WakeLocks:90:50000; do
                 IFS=: read -r name pid total <<EOF
$lock
EOF
                 mkdir locks/$name; echo $pid > locks/$name/pid; echo $total > locks/$name/total
             done
             echo 4 > alarms
             echo \"  PARTIAL_WAKE_LOCK  '*job*/com.mail/.Sync' ACQ=-1s0ms (uid=1000 pid=90 ws=WorkSource{10219 com.mail})\" > apps",
        )?;
        Ok(Self(device))
    }
}

impl Drop for StandIn<'_> {
    fn drop(&mut self) {
        let _ = self.0.sh("rm -rf /system/bin/dumpsys /run/android");
    }
}

/// As SystemSuspend: waits for the sources, then until a wakelock of user space is released, and writes the count.
/// Prints how long the kernel was ready, and how long the wakelock was held, in ms.
fn hold(lock: &str, seconds: u32) -> String {
    format!(
        "now() {{ read -r up _ < /proc/uptime; echo \"${{up%.*}}${{up#*.}}0\"; }}
         cd /run/android/locks/{lock}
         read -r count < /sys/power/wakeup_count; ready=$(now)
         now > since; began=$(cat since)
         sleep {seconds}
         held=$(($(now) - began)); rm since; echo $(($(cat total) + held)) > total
         echo $count > /sys/power/wakeup_count; echo $(($(now) - ready)) $held"
    )
}

fn numbers(text: &str) -> Result<[u64; 2]> {
    let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    numbers.try_into().map_err(|numbers| anyhow::anyhow!("two numbers, not {numbers:?}"))
}

fn report(device: &Device, trace: &[u8]) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("a.swk");
    fs::write(&file, trace)?;
    let mut command: Command = device::sleepwalk(device)?;
    let output = command.args(["report", "--format", "json"]).arg(&file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn wakelock<'a>(report: &'a Value, name: &str) -> Result<&'a Value> {
    let all = report["user_space"]["wakelocks"].as_array().context("no wakelocks")?;
    let one = all.iter().find(|one| one["name"] == name);
    one.with_context(|| format!("{name} is not in {all:?}"))
}

fn near(what: &str, ns: &Value, ms: u64, by_ms: u64) -> Result<()> {
    let found = ns.as_u64().with_context(|| format!("{what} is unknown"))? / 1_000_000;
    println!("{what}: the report has {found} ms, the device {ms} ms");
    ensure!(found.abs_diff(ms) <= by_ms, "{what}: the report has {found} ms, the device {ms} ms");
    Ok(())
}

/// The clock of the stand-in has steps of 10 ms, and its commands take some time.
const COARSE_MS: u64 = 400;

#[test]
fn holds_of_user_space_get_their_names() -> Result<()> {
    let device = device::any()?;
    let _stand_in = StandIn::install(&device)?;
    let agent = device.start("./sleepwalkd record -o a.swk --interval 1s", "ready")?;
    // The first answers come while nothing is held.
    device.sh("sleep 2")?;
    let [hal_ready, hal_held] = numbers(&device.sh(&hold("hal_lock", 8))?)?;
    device.sh("echo 11 > /run/android/alarms")?;
    // Too short for a question: only the difference shows it.
    let [_, radio_held] = numbers(&device.sh(&hold("radio", 1))?)?;
    agent.stop()?;
    let trace = device.pull("a.swk")?;
    ensure!(Trace::read(&trace)?.complete(), "the trace has no end");
    let report = report(&device, &trace)?;
    let questions = report["user_space"]["questions"].as_array().context("no questions")?;
    ensure!(questions.iter().all(|one| one["status"] == "whole"), "{questions:?}");
    assert_eq!(report["user_space"]["lines_not_understood"], 0);
    let hal = wakelock(&report, "hal_lock")?;
    assert_eq!(
        (&hal["evidence"], &hal["pid"]),
        (&Value::from("asked_while_held"), &Value::from(77))
    );
    near("hal_lock, charged", &hal["charged_ns"], hal_ready, COARSE_MS)?;
    near("hal_lock, held", &hal["held_ns"], hal_held, 50)?;
    let radio = wakelock(&report, "radio")?;
    assert_eq!(
        (&radio["evidence"], &radio["charged_ns"]),
        (&Value::from("difference"), &Value::from(0))
    );
    near("radio, held", &radio["held_ns"], radio_held, 50)?;
    let alarms = report["user_space"]["alarms"].as_array().context("no alarms")?;
    ensure!(alarms.len() == 1 && alarms[0]["wakeups"] == 7, "{alarms:?}");
    ensure!(wakelock(&report, "PowerManagerService.WakeLocks").is_err(), "it was not held");
    Ok(())
}

#[test]
fn a_hold_for_apps_is_charged_to_the_app() -> Result<()> {
    let device = device::any()?;
    let _stand_in = StandIn::install(&device)?;
    let agent = device.start("./sleepwalkd record -o a.swk --interval 1s", "ready")?;
    device.sh("sleep 2")?;
    let [ready, _] = numbers(&device.sh(&hold("PowerManagerService.WakeLocks", 8))?)?;
    agent.stop()?;
    let report = report(&device, &device.pull("a.swk")?)?;
    let app = wakelock(&report, "*job*/com.mail/.Sync")?;
    assert_eq!(
        (&app["uid"], &app["packages"][0]),
        (&Value::from(10_219), &Value::from("com.mail"))
    );
    near("the app, charged", &app["charged_ns"], ready, COARSE_MS)
}

#[test]
fn services_that_fail_end_nothing() -> Result<()> {
    let device = device::any()?;
    let _stand_in = StandIn::install(&device)?;
    for (fault, status) in
        [("hang", "timed_out"), ("huge", "cut"), ("empty", "whole"), ("denied", "failed")]
    {
        device.sh(&format!("echo {fault} > /run/android/fault; rm -f a.swk"))?;
        let began = Instant::now();
        device.sh("./sleepwalkd record -o a.swk -d 1s")?;
        let took = began.elapsed().as_secs();
        ensure!(took < 30, "{fault}: it took {took} s");
        let trace = device.pull("a.swk")?;
        ensure!(Trace::read(&trace)?.complete(), "{fault}: the trace has no end");
        let report = report(&device, &trace)?;
        let questions = report["user_space"]["questions"].as_array().context("no questions")?;
        let first = &questions.first().context("no question")?["status"];
        assert_eq!(first, status, "{fault}");
        let left = device.sh("pidof sleep yes dumpsys sleepwalkd || true")?;
        ensure!(left.is_empty(), "{fault}: still running: {left}");
    }
    Ok(())
}
