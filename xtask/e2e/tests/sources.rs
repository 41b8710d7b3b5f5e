//! Where snapshots come from, on each kernel.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use sleepwalk_e2e::device;
use sleepwalk_e2e::snapshot::{compare, snapshot};
use sleepwalk_e2e::trace::Trace;
use sleepwalk_trace::record::Record;

#[test]
fn each_snapshot_source_matches_debugfs() -> Result<()> {
    for tested in device::each()? {
        let (device, best) = (&tested.device, tested.best);
        // More than one run of the walk in steps passes.
        let _idle =
            device.start("./sleepwalk-workload sources --count 90 --prefix idle", "ready")?;
        // Two of one name.
        let _twins = [
            device.start("./sleepwalk-workload sources --count 1 --prefix twin", "ready")?,
            device.start("./sleepwalk-workload sources --count 1 --prefix twin", "ready")?,
        ];
        // The walk without BTF is confirmed by a source that was active.
        device.sh("./sleepwalk-workload source --name once --hold 10ms")?;
        assert_eq!(snapshot(device, "")?["source"], best.snapshots, "{}", tested.kernel.name());
        for source in best.sources() {
            let (kernel, ours) = compare(device, &format!("--source {source}"))
                .with_context(|| format!("{source} on {}", tested.kernel.name()))?;
            assert_eq!(ours["source"], source);
            ensure!(kernel.len() > 90, "only {} sources to compare", kernel.len());
        }
        hidden_addresses_stay_hidden(device)?;
    }
    Ok(())
}

/// The device's init has set it as Android's does.
fn hidden_addresses_stay_hidden(device: &sleepwalk_e2e::Device) -> Result<()> {
    assert_eq!(device.sh("cat /proc/sys/kernel/kptr_restrict")?, "2");
    Ok(())
}

#[test]
fn a_capture_uses_and_names_the_best_source() -> Result<()> {
    for tested in device::each()? {
        let (device, best) = (&tested.device, tested.best);
        for (asked, expected) in
            [("auto", best.snapshots), ("debugfs", "debugfs"), ("sysfs", "sysfs")]
        {
            let agent = device
                .start(&format!("./sleepwalkd record -o {asked}.swk --source {asked}"), "ready")?;
            device.sh("./sleepwalk-workload source --name modem_rx --hold 50ms")?;
            agent.stop()?;
            let trace = Trace::read(&device.pull(&format!("{asked}.swk"))?)?;
            assert_eq!(trace.session()?.source, expected, "{}", tested.kernel.name());
            assert_eq!(trace.hows()?, best.hooks, "{}", tested.kernel.name());
            // Whatever snapshots come from, edges have their names.
            let strings = trace.strings();
            let names = trace.names();
            let edges = trace.records.iter().filter_map(|r| match &r.record {
                Record::Edge(edge) => strings.get(names.get(&edge.source)?).map(Vec::as_slice),
                _ => None,
            });
            let edges: BTreeSet<_> = edges.collect();
            ensure!(edges.contains(&b"modem_rx"[..]), "{asked}: edges of {} names", edges.len());
        }
    }
    Ok(())
}

#[test]
fn the_trace_says_that_addresses_were_shown() -> Result<()> {
    for tested in device::each()? {
        let (device, best) = (&tested.device, tested.best);
        if best.no_address.is_some() {
            continue;
        }
        device.sh("./sleepwalkd record -o a.swk --source kallsyms -d 100ms")?;
        let trace = Trace::read(&device.pull("a.swk")?)?;
        let notes = trace.records.iter().filter_map(|r| match &r.record {
            Record::Note(note) if note.about == "snapshots" => Some(note.text.as_str()),
            _ => None,
        });
        let notes = notes.collect::<Vec<_>>().join("\n");
        ensure!(notes.contains("kptr_restrict was 2"), "{}: {notes}", tested.kernel.name());
        hidden_addresses_stay_hidden(device)?;
    }
    Ok(())
}

#[test]
fn a_missing_snapshot_source_is_refused_by_name() -> Result<()> {
    for tested in device::each()? {
        let (device, best) = (&tested.device, tested.best);
        let no_kfunc = (best.snapshots != "kfunc").then_some(("kfunc", "sleepwalkd"));
        let no_address = best.no_address.map(|lacks| ("kallsyms", lacks));
        for (source, lacks) in no_kfunc.into_iter().chain(no_address) {
            let refused = device.try_sh(&format!("./sleepwalkd snapshot --source {source}"))?;
            let printed = String::from_utf8_lossy(&refused.stderr).into_owned()
                + &String::from_utf8_lossy(&refused.stdout);
            ensure!(
                !refused.status.success() && printed.contains(lacks),
                "--source {source}: {printed}"
            );
        }
        let doctor = device.sh("./sleepwalkd doctor")?;
        let line = doctor.lines().find(|line| line.contains("  snapshots  "));
        let line = line.with_context(|| doctor.clone())?;
        ensure!(line.contains(&format!("{}: ", best.snapshots)), "{doctor}");
        ensure!(best.no_address.is_none_or(|lacks| doctor.contains(lacks)), "{doctor}");
    }
    Ok(())
}
