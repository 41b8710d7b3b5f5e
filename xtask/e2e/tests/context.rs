//! A trace's records beside the probe's events, against the kernel's own data: interrupts' names, power
//! supplies, `suspend_stats`, returns derived from those; and captures with few capabilities.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use sleepwalk_e2e::battery::Battery;
use sleepwalk_e2e::device::Tested;
use sleepwalk_e2e::ftrace::{Event, Kind};
use sleepwalk_e2e::trace::Trace;
use sleepwalk_e2e::{Device, capture, capture_with, device};
use sleepwalk_trace::record::{HOOKS, PowerSupply, Reason, Record};

/// Both stamp inside one tracepoint, one after the other; emulated CPUs are slow, and may be taken
/// away in between.
const TOLERANCE_NS: u64 = 20_000_000;

const DEMO: &str = "sleep 14 | ./sleepwalk-workload demo > demo.jsonl";

fn strings(trace: &Trace) -> BTreeMap<u32, String> {
    let lossy = |(id, bytes): (u32, Vec<u8>)| (id, String::from_utf8_lossy(&bytes).into_owned());
    trace.strings().into_iter().map(lossy).collect()
}

#[test]
fn a_wakes_interrupt_has_the_name_that_sysfs_has() -> Result<()> {
    for Tested { device, .. } in device::each()? {
        let (_, trace) =
            capture(&device, "./sleepwalk-workload suspend --times 2 --alarm 1s --gap 500ms")?;
        let strings = strings(&trace);
        let mut named = BTreeMap::new();
        let mut wakes = 0;
        for stamped in &trace.records {
            match &stamped.record {
                Record::Irq(irq) => drop(named.insert(irq.number, (irq.name, irq.chip))),
                Record::Wake(wake) => {
                    wakes += 1;
                    ensure!(named.contains_key(&wake.irq), "{} was not named before", wake.irq);
                }
                _ => {}
            }
        }
        ensure!(wakes >= 2, "{wakes} wakes by two alarms");
        for (number, (name, chip)) in named {
            let folder = format!("/sys/kernel/irq/{number}");
            assert_eq!(strings[&name], device.sh(&format!("cat {folder}/actions"))?);
            assert_eq!(strings[&chip], device.sh(&format!("cat {folder}/chip_name"))?);
            ensure!(!strings[&name].is_empty(), "{number} has no name");
        }
        wake_reasons_are_the_kernels(&device, &trace)?;
        no_run_was_missed(&trace)?;
    }
    Ok(())
}

/// After the last attempt the kernel's files still have what the trace has of it.
fn wake_reasons_are_the_kernels(device: &Device, trace: &Trace) -> Result<()> {
    let reasons = trace.records.iter().filter_map(|r| match &r.record {
        Record::WakeReason(reason) => Some(reason),
        _ => None,
    });
    let reasons: Vec<_> = reasons.collect();
    let returns = trace.records.iter().filter(|r| matches!(r.record, Record::Return(_))).count();
    assert_eq!(reasons.len(), returns + 1, "one at the start, and one for each attempt");
    let file = |path: &str| device.sh(&format!("cat {path} 2>/dev/null || true"));
    let last = reasons.last().context("there is none")?;
    let irq = last.irq.map(|irq| irq.to_string()).unwrap_or_default();
    assert_eq!(irq, file("/sys/power/pm_wakeup_irq")?);
    let limit = last.freeze_timeout_ms.map(|ms| ms.to_string()).unwrap_or_default();
    assert_eq!(limit, file("/sys/power/pm_freeze_timeout")?);
    ensure!(!irq.is_empty() && !limit.is_empty(), "this kernel lacks the files: {last:?}");
    assert_eq!(last.reason, file("/sys/kernel/wakeup_reasons/last_resume_reason")?.as_bytes());
    // The hook has seen the same interrupt.
    let wakes = trace.records.iter().filter_map(|r| match r.record {
        Record::Wake(wake) => Some(wake.irq),
        _ => None,
    });
    ensure!(wakes.collect::<Vec<_>>().contains(&last.irq.unwrap_or_default()), "{last:?}");
    Ok(())
}

/// The kernel counts missed runs of every hook, and there were none.
fn no_run_was_missed(trace: &Trace) -> Result<()> {
    let runs = trace.records.iter().find_map(|r| match &r.record {
        Record::HookRuns(runs) => Some(runs),
        _ => None,
    });
    let hooks = &runs.context("no hook_runs")?.hooks;
    assert_eq!(hooks.iter().map(|hook| &*hook.what).collect::<Vec<_>>(), HOOKS);
    ensure!(hooks.iter().all(|hook| hook.missed == Some(0)), "{hooks:?}");
    Ok(())
}

/// The trace's readings of one power supply, sorted by time: stamp, type and status, record.
fn power_supplies(trace: &Trace, name: &str) -> Vec<(u64, String, String, PowerSupply)> {
    let strings = strings(trace);
    let readings = trace.records.iter().filter_map(|r| match &r.record {
        Record::PowerSupply(s) if strings[&s.name] == name => {
            Some((r.at.0, strings[&s.kind].clone(), strings[&s.status].clone(), *s))
        }
        _ => None,
    });
    readings.collect()
}

#[test]
fn a_battery_matches_sysfs_until_unplugged() -> Result<()> {
    let device = device::with_kfuncs()?;
    let battery = Battery::plug(&device, "e2e", 80)?;
    let agent = device.start("./sleepwalkd record -o a.swk", "ready")?;
    let attribute = |name| battery.attribute(name);
    let number = |text: Option<String>| text.and_then(|text| text.parse::<i64>().ok());
    let kernel = (
        attribute("type")?.context("it has no type")?,
        attribute("status")?.unwrap_or_default(),
        number(attribute("charge_counter")?),
        number(attribute("current_now")?),
        number(attribute("online")?),
    );
    // Longer than readings are apart at least.
    std::thread::sleep(Duration::from_secs(3));
    battery.set(70)?;
    device.sh("./sleepwalk-workload suspend --times 1 --alarm 4s")?;
    std::thread::sleep(Duration::from_secs(3));
    battery.set(60)?;
    device.sh("./sleepwalk-workload suspend --times 1 --alarm 1s")?;
    let name = battery.name.clone();
    drop(battery);
    device.sh(&format!("while [ -e /sys/class/power_supply/{name} ]; do sleep 0.1; done"))?;
    agent.stop()?;
    let trace = Trace::read(&device.pull("a.swk")?)?;
    let readings = power_supplies(&trace, &name);
    let (gone, there) = readings.split_last().context("it is not in the trace")?;
    for (_, kind, status, s) in there {
        let (kind, status) = (kind.clone(), status.clone());
        assert_eq!((kind, status, s.charge_uah, s.current_ua, s.online), kernel);
    }
    // Only changes are recorded, so each charge is there once.
    let charges: Vec<_> = readings.iter().map(|(_, _, _, s)| s.capacity).collect();
    assert_eq!(charges, [Some(80), Some(70), Some(60), None]);
    assert_eq!((gone.1.as_str(), gone.2.as_str(), gone.3.online), ("Battery", "", None));
    // The charge at an attempt's begin is known before the freeze, or the trace shows that it is not.
    let begin = trace.snapshots()?.into_iter().find(|s| s.snapshot.reason == Reason::AttemptBegin);
    let returned = trace.records.iter().find(|r| matches!(r.record, Record::Return(_)));
    let seventy = readings[1].0;
    ensure!(begin.is_none_or(|b| b.at_ns <= seventy), "it was read before the snapshot");
    let returned = returned.context("no attempt returned")?.at.0;
    ensure!(seventy < returned + 1_000_000_000, "it was not read at the first attempt");
    Ok(())
}

#[test]
fn a_storm_of_attempts_is_no_storm_of_readings() -> Result<()> {
    let device = device::with_kfuncs()?;
    let battery = Battery::plug(&device, "storm", 50)?;
    let script = "modprobe pm-notifier-error-inject; \
        inject=/sys/kernel/debug/notifier-error-inject/pm/actions/PM_SUSPEND_PREPARE/error; \
        echo -1 > $inject; n=0; while [ $n -lt 60 ]; do echo mem > /sys/power/state; n=$((n+1)); \
        done 2>/dev/null; echo 0 > $inject; modprobe -r pm-notifier-error-inject";
    let (kernel, trace) = capture(&device, script)?;
    let returns = kernel.iter().filter(|e| matches!(e.kind, Kind::Return(-1))).count();
    assert_eq!(returns, 60);
    // Nothing changed: start and end alone.
    assert_eq!(power_supplies(&trace, &battery.name).len(), 2);
    Ok(())
}

const STATS: &str = "cd /sys/power/suspend_stats && for f in *; do echo \"$f=$(cat $f)\"; done";

/// `suspend_stats` by name, as sysfs has them.
fn stats(device: &Device) -> Result<BTreeMap<String, String>> {
    let text = device.sh(STATS)?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[test]
fn suspend_stats_match_the_kernels() -> Result<()> {
    for Tested { device, .. } in device::each()? {
        let before = stats(&device)?;
        let (kernel, trace) = capture(&device, DEMO)?;
        let after = stats(&device)?;
        let strings = strings(&trace);
        let mut sum = BTreeMap::new();
        let mut failure = None;
        let mut records = 0;
        for stamped in &trace.records {
            let Record::SuspendStats(s) = &stamped.record else { continue };
            for (name, value) in &s.counters {
                let was = sum.insert(strings[name].clone(), value.to_string());
                if records == 0 {
                    assert_eq!(before.get(&strings[name]), Some(&value.to_string()));
                } else {
                    ensure!(was != Some(value.to_string()), "{} did not change", strings[name]);
                }
            }
            let rose = |s: &str| s.starts_with("failed_");
            let last = (&*strings[&s.last_device], &*strings[&s.last_step]);
            if records == 0 {
                assert_eq!(last, (&*before["last_failed_dev"], &*before["last_failed_step"]));
            } else if s.counters.iter().any(|(name, _)| rose(&strings[name])) {
                failure = Some((strings[&s.last_device].clone(), strings[&s.last_step].clone()));
            } else {
                assert_eq!(last, ("", ""));
            }
            records += 1;
        }
        let counters = |stats: &BTreeMap<String, String>| {
            let mut counters = stats.clone();
            counters.retain(|name, _| !name.starts_with("last_"));
            counters
        };
        assert_eq!(sum, counters(&after));
        let (device_name, step) = failure.context("no attempt failed in a step")?;
        assert_eq!(Some(&step), after.get("last_failed_step"));
        assert_eq!(Some(&device_name), after.get("last_failed_dev"));
        // One record for the start and one for each attempt: each of them is counted.
        let returns = kernel.iter().filter(|e| matches!(e.kind, Kind::Return(_))).count();
        assert_eq!(records, returns + 1);
    }
    Ok(())
}

fn how(trace: &Trace, what: &str) -> Result<String> {
    let Some(Record::Session(session)) = trace.records.first().map(|r| &r.record) else {
        bail!("the trace does not begin with its session");
    };
    let hook = session.hooks.iter().find(|hook| hook.what == what);
    Ok(hook.with_context(|| format!("no hook {what}"))?.how.clone())
}

/// Outcomes in ftrace's order, each noticed after it happened and before the next attempt began.
fn same_outcomes(kernel: &[Event], trace: &Trace) -> Result<Vec<i32>> {
    let begins: Vec<_> = kernel.iter().filter(|e| begins(&e.kind)).map(|e| e.at_ns).collect();
    let theirs: Vec<_> = kernel
        .iter()
        .filter_map(
            |e| if let Kind::Return(errno) = e.kind { Some((e.at_ns, errno)) } else { None },
        )
        .collect();
    let ours: Vec<_> = trace
        .records
        .iter()
        .filter_map(|r| match &r.record {
            Record::Return(returned) => Some((r.at.0, returned.errno)),
            _ => None,
        })
        .collect();
    let failed = |errno: Option<i32>| errno != Some(0);
    assert_eq!(
        ours.iter().map(|(_, errno)| failed(*errno)).collect::<Vec<_>>(),
        theirs.iter().map(|(_, errno)| failed(Some(*errno))).collect::<Vec<_>>(),
        "{ours:?} {theirs:?}"
    );
    for ((our, errno), (their, expected)) in ours.iter().zip(&theirs) {
        ensure!(errno.is_none_or(|errno| errno == *expected), "{errno:?} for {expected}");
        ensure!(our + TOLERANCE_NS > *their, "{our} before {their}");
        let next = begins.iter().find(|begin| *begin > their);
        ensure!(next.is_none_or(|next| *our < next + TOLERANCE_NS), "{our} after {next:?}");
    }
    Ok(theirs.into_iter().map(|(_, errno)| errno).collect())
}

fn begins(kind: &Kind) -> bool {
    matches!(kind, Kind::Phase { action, begin: true, .. } if action == "suspend_enter")
}

const WITHOUT_RETURNS: &str = "env SLEEPWALK_WITHOUT=fexit,kretprobe";

#[test]
fn counts_replace_the_return_hook() -> Result<()> {
    for Tested { device, .. } in device::each()? {
        let (kernel, trace) = capture_with(&device, WITHOUT_RETURNS, DEMO)?;
        assert_eq!(how(&trace, "return")?, "suspend_stats");
        let errnos = same_outcomes(&kernel, &trace)?;
        ensure!(errnos.contains(&0) && errnos.contains(&-16), "the demo gave {errnos:?}");
        let readings = trace.records.iter().filter_map(|r| match &r.record {
            Record::Return(returned) => returned.errno,
            _ => None,
        });
        assert_eq!(readings.collect::<Vec<_>>(), errnos, "attempts seconds apart have their errno");
        let ends =
            trace.snapshots()?.iter().filter(|s| s.snapshot.reason == Reason::AttemptEnd).count();
        assert_eq!(ends, errnos.len(), "a snapshot after each attempt");
    }
    Ok(())
}

#[test]
fn counts_show_aborts_refusals_and_tests() -> Result<()> {
    let device = device::with_kfuncs()?;
    let script = "echo +20 > /sys/class/rtc/rtc0/wakealarm; \
        cat /sys/power/wakeup_count > count; cat count > /sys/power/wakeup_count; \
        ./sleepwalk-workload source --name blocker --hold 2s > blocker.out & \
        while ! grep -q activate blocker.out; do sleep 0.05; done; \
        echo mem > /sys/power/state; wait; \
        modprobe pm-notifier-error-inject; \
        inject=/sys/kernel/debug/notifier-error-inject/pm/actions/PM_SUSPEND_PREPARE/error; \
        echo -1 > $inject; n=0; while [ $n -lt 20 ]; do echo mem > /sys/power/state; n=$((n+1)); \
        done 2>/dev/null; echo 0 > $inject; modprobe -r pm-notifier-error-inject; \
        echo freezer > /sys/power/pm_test; echo mem > /sys/power/state; \
        echo none > /sys/power/pm_test; true";
    let (kernel, trace) = capture_with(&device, WITHOUT_RETURNS, script)?;
    let errnos = same_outcomes(&kernel, &trace)?;
    assert_eq!(errnos, [&[-16][..], &[-1; 20], &[0]].concat());
    Ok(())
}

/// The capability sets of a process, and whether it has no_new_privs.
fn capabilities(device: &Device, pid: u32) -> Result<BTreeMap<String, String>> {
    let status = device.sh(&format!("grep -E '^(Uid|Cap|NoNewPrivs)' /proc/{pid}/status"))?;
    let pairs = status.lines().filter_map(|line| line.split_once(":\t"));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Records attempts, a busy time and an end with the capabilities that are left; the trace, and those.
fn with_few_capabilities(
    device: &Device,
    run_as: &str,
) -> Result<(Trace, BTreeMap<String, String>)> {
    device.sh("mkdir -p open; chmod 777 open; rm -f open/a.swk")?;
    let program = format!("{run_as} ./sleepwalkd record -o open/a.swk --interval 100ms");
    let agent = device.start(program.trim(), "ready")?;
    let capabilities = capabilities(device, agent.pid)?;
    device.sh("./sleepwalk-workload suspend --times 2 --alarm 1s --gap 500ms")?;
    // It ends with its stdin.
    device.sh("sleep 12 | ./sleepwalk-workload sources --count 300 --prefix f --churn 600")?;
    agent.stop()?;
    let bytes = device.pull("open/a.swk")?;
    // It had to allocate and map again: a segment is 256 KiB long.
    ensure!(bytes.len() > 300_000, "the trace grew to {} bytes only", bytes.len());
    let trace = Trace::read(&bytes)?;
    ensure!(trace.complete(), "the trace has no end");
    Ok((trace, capabilities))
}

#[test]
fn a_capture_goes_on_without_capabilities() -> Result<()> {
    const NONE: &str = "0000000000000000";
    for Tested { device, .. } in device::each()? {
        // The walk from an address needs to see it, and only root can lower the setting.
        device.sh("echo 1 > /proc/sys/kernel/kptr_restrict")?;
        let other = "./sleepwalk-workload run-as --user 2000 --capabilities bpf,perfmon,syslog --";
        for (run_as, uid) in [("", "0"), (other, "2000")] {
            let (trace, capabilities) = with_few_capabilities(&device, run_as)?;
            ensure!(capabilities["Uid"].starts_with(uid), "{capabilities:?}");
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                assert_eq!(capabilities[set], NONE, "{set} as user {uid}");
            }
            // Only CAP_SETPCAP takes from the bounding set; no_new_privs makes it void.
            ensure!(uid != "0" || capabilities["CapBnd"] == NONE, "{capabilities:?}");
            assert_eq!(capabilities["NoNewPrivs"], "1");
            let count = |wanted: fn(&Record) -> bool| {
                trace.records.iter().filter(|r| wanted(&r.record)).count()
            };
            assert_eq!(count(|r| matches!(r, Record::Return(_))), 2);
            assert_eq!(count(|r| matches!(r, Record::SuspendStats(_))), 3);
            ensure!(count(|r| matches!(r, Record::Edge(_))) > 5_000, "too few edges");
            let snapshots = trace.snapshots()?;
            ensure!(snapshots.len() > 50, "only {} snapshots", snapshots.len());
            ensure!(snapshots.iter().all(|s| !s.snapshot.broken), "a snapshot is broken");
        }
        device.sh("echo 2 > /proc/sys/kernel/kptr_restrict")?;
    }
    Ok(())
}

#[test]
fn one_that_is_not_root_keeps_what_debugfs_needs() -> Result<()> {
    let device = device::with_kfuncs()?;
    device.sh("mkdir -p open; chmod 777 open")?;
    let given = "--capabilities bpf,perfmon,dac_read_search";
    let agent = device.start(
        &format!(
            "./sleepwalk-workload run-as --user 2000 {given} -- ./sleepwalkd record \
             -o open/a.swk --source debugfs --interval 200ms"
        ),
        "ready",
    )?;
    let capabilities = capabilities(&device, agent.pid)?;
    // CAP_DAC_READ_SEARCH is bit 2.
    assert_eq!(
        (&*capabilities["CapPrm"], &*capabilities["CapEff"]),
        ("0000000000000004", "0000000000000004")
    );
    std::thread::sleep(Duration::from_secs(2));
    agent.stop()?;
    ensure!(Trace::read(&device.pull("open/a.swk")?)?.snapshots()?.len() > 3, "it stood still");
    Ok(())
}

#[test]
fn doctor_names_each_right_that_is_missing() -> Result<()> {
    let device = device::without_kfuncs()?;
    let all = ["bpf", "perfmon", "syslog", "dac_read_search", "dac_override", "sys_admin"];
    for (lacking, name, state, lost) in [
        ("perfmon,sys_admin", "CAP_PERFMON", "missing", "the probe may not trace the kernel"),
        ("bpf,sys_admin", "CAP_BPF", "missing", "the kernel loads no probe"),
        ("syslog", "CAP_SYSLOG", "degraded", "the walk from the address"),
        ("dac_read_search,dac_override", "CAP_DAC_READ_SEARCH", "degraded", "debugfs"),
        ("dac_override", "CAP_DAC_OVERRIDE", "degraded", "traces in /data/local/tmp"),
        ("sys_admin", "CAP_SYS_ADMIN", "degraded", "kprobes"),
    ] {
        let held = all.iter().filter(|right| !lacking.split(',').any(|l| l == **right));
        let held = held.copied().collect::<Vec<_>>().join(",");
        let output = device.try_sh(&format!(
            "./sleepwalk-workload run-as --user 2000 --capabilities {held} -- ./sleepwalkd doctor --json"
        ))?;
        let text = String::from_utf8_lossy(&output.stdout);
        // adb's shell may put the log in front.
        let json = text.lines().find(|line| line.starts_with('{')).context("no JSON")?;
        let report: serde_json::Value = serde_json::from_str(json)?;
        let checks = report["checks"].as_array().context("no checks")?;
        let check = |name: &str| checks.iter().find(|check| check["name"] == name);
        let check = check(name).with_context(|| format!("no check {name}"))?;
        assert_eq!(check["state"], state, "{check}");
        let contains =
            |key: &str, part: &str| check[key].as_str().is_some_and(|t| t.contains(part));
        ensure!(contains("found", name) && contains("lost", lost), "{check}");
        ensure!(contains("fix", "root"), "{check}");
        assert_eq!(output.status.code(), Some(if state == "missing" { 4 } else { 0 }), "{text}");
        // The others are held: each capability has a check of its own.
        let held_names = held.split(',').map(|name| format!("CAP_{}", name.to_uppercase()));
        for name in held_names {
            let check = checks.iter().find(|check| check["name"] == name.as_str());
            let found = check.and_then(|check| check["found"].as_str());
            assert_eq!(found, Some("held"), "{name} without {lacking}");
        }
    }
    Ok(())
}

#[test]
fn doctor_shows_the_context_of_events() -> Result<()> {
    let device = device::with_kfuncs()?;
    let without = device.sh("./sleepwalkd doctor")?;
    ensure!(without.contains("ok        suspend_stats"), "{without}");
    ensure!(without.contains("  /sys/power/suspend_stats\n"), "{without}");
    ensure!(without.contains("ok        interrupts"), "{without}");
    ensure!(without.contains("degraded  power supplies"), "{without}");
    let battery = Battery::plug(&device, "doctor", 33)?;
    let with = device.sh("./sleepwalkd doctor")?;
    ensure!(with.contains("ok        power supplies"), "{with}");
    ensure!(with.contains(&format!("{} (Battery", battery.name)), "{with}");
    Ok(())
}
