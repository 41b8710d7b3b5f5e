//! The devices and the processes behind sources, against sysfs and /proc.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use sleepwalk_e2e::device;
use sleepwalk_e2e::trace::Trace;
use sleepwalk_trace::record::Record;

#[test]
fn sources_have_the_devices_that_sysfs_has() -> Result<()> {
    let device = device::any()?;
    let _virtual = device.start("./sleepwalk-workload sources --count 3 --prefix idle", "ready")?;
    device.sh("./sleepwalkd record -o devices.swk -d 2s")?;
    let trace = Trace::read(&device.pull("devices.swk")?)?;
    let (strings, names) = (trace.strings(), trace.names());
    let text = |id: u32| String::from_utf8_lossy(&strings[&id]).into_owned();
    let recorded = trace.records.iter().filter_map(|r| match &r.record {
        Record::SourceDevice(d) => Some((text(names[&d.source]), text(d.path), text(d.driver))),
        _ => None,
    });
    let recorded: BTreeSet<_> = recorded.collect();
    let listed = device.sh(
        "cd /sys/class/wakeup; for w in *; do [ -e $w/device ] || continue; d=$(readlink -f $w/device); \
         echo \"$(cat $w/name)|${d#/sys/devices/}|$(basename $(readlink $d/driver) 2>/dev/null)\"; done",
    )?;
    let expected = listed.lines().filter_map(|line| {
        let mut parts = line.split('|').map(str::to_owned);
        Some((parts.next()?, parts.next()?, parts.next()?))
    });
    // The driver of a device without one is its parent's.
    let own = |all: &BTreeSet<(String, String, String)>| -> Vec<_> {
        all.iter().map(|(name, path, _)| (name.clone(), path.clone())).collect()
    };
    let expected: BTreeSet<_> = expected.filter(|(_, path, _)| !path.is_empty()).collect();
    ensure!(!expected.is_empty(), "no source has a device here: {listed}");
    assert_eq!(own(&recorded), own(&expected));
    for (name, _, driver) in expected.iter().filter(|(.., driver)| !driver.is_empty()) {
        let ours = recorded.iter().find(|(ours, ..)| ours == name);
        assert_eq!(ours.map(|(.., driver)| driver), Some(driver), "{name}");
    }
    Ok(())
}

#[test]
fn a_process_that_waits_by_epoll_is_found() -> Result<()> {
    let device = device::any()?;
    let _waits = device.start("./sleepwalk-workload sources --count 2 --prefix fifo", "ready")?;
    device.sh("./sleepwalkd record -o epoll.swk -d 1s")?;
    let trace = Trace::read(&device.pull("epoll.swk")?)?;
    let strings = trace.strings();
    let text = |id: u32| String::from_utf8_lossy(&strings[&id]).into_owned();
    let found = trace.records.iter().filter_map(|r| match &r.record {
        Record::EpollWaiter(waiter) => Some((text(waiter.name), waiter.process, text(waiter.comm))),
        _ => None,
    });
    let process: u32 = device.sh("pidof sleepwalk-workload")?.trim().parse()?;
    let expected = ["eventpoll", "fifo_0000", "fifo_0001"];
    let expected = expected.map(|name| (name.to_owned(), process, "sleepwalk-workl".to_owned()));
    assert_eq!(found.collect::<Vec<_>>(), expected);
    Ok(())
}
