//! Linux 6.1: no kfuncs, no data symbols in kallsyms, no fexit on arm64. Its device is up for these
//! tests alone.

use anyhow::{Result, ensure};
use sleepwalk_e2e::snapshot::{compare, snapshot};
use sleepwalk_e2e::{device, scenario};

#[test]
fn the_scenario_matches_ftrace_on_auto() -> Result<()> {
    let trace = scenario::check(&device::oldest()?, "freeze")?;
    assert_eq!(trace.session()?.source, "debugfs");
    let hooks = ["tp_btf", "kretprobe", "tp_btf", "kretprobe", "kretprobe", "kprobe"];
    assert_eq!(trace.hows()?, hooks);
    Ok(())
}

#[test]
fn snapshots_say_what_debugfs_says() -> Result<()> {
    let device = device::oldest()?;
    let _idle = device.start("./sleepwalk-workload sources --count 40 --prefix idle", "ready")?;
    assert_eq!(snapshot(&device, "")?["source"], "debugfs");
    for source in ["debugfs", "sysfs"] {
        let (kernel, ours) = compare(&device, &format!("--source {source}"))?;
        assert_eq!(ours["source"], source);
        ensure!(kernel.len() >= 40, "only {} sources to compare", kernel.len());
    }
    Ok(())
}

#[test]
fn a_missing_snapshot_source_is_refused_by_name() -> Result<()> {
    let device = device::oldest()?;
    for (source, lacks) in
        [("kfunc", "bpf_wakeup_sources_read_lock"), ("kallsyms", "CONFIG_KALLSYMS_ALL")]
    {
        let refused = device.try_sh(&format!("./sleepwalkd snapshot --source {source}"))?;
        let printed = String::from_utf8_lossy(&refused.stderr).into_owned()
            + &String::from_utf8_lossy(&refused.stdout);
        ensure!(
            !refused.status.success() && printed.contains(lacks),
            "--source {source}: {printed}"
        );
    }
    let doctor = device.sh("./sleepwalkd doctor")?;
    let line = doctor.lines().find(|line| line.starts_with("degraded  snapshots"));
    let reasons = ["debugfs: ", "no walk: ", "CONFIG_KALLSYMS_ALL"];
    ensure!(line.is_some_and(|line| reasons.iter().all(|part| line.contains(part))), "{doctor}");
    Ok(())
}
