//! Our snapshots against debugfs and sysfs.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sleepwalk_e2e::debugfs::{self, Line};
use sleepwalk_e2e::device;
use sleepwalk_e2e::snapshot::{compare, name, number, snapshot, sources};
use sleepwalk_e2e::trace::{Sources, Trace};
use sleepwalk_trace::record::Record;
use sleepwalk_trace::snapshot::Counters;

#[test]
fn a_snapshot_has_all_counters_of_debugfs() -> Result<()> {
    let device = device::with_kfuncs()?;
    let program = "./sleepwalk-workload sources --count 300 --prefix busy --churn 100";
    let _busy = device.start(program, "ready")?;
    let _idle = device.start("./sleepwalk-workload sources --count 300 --prefix idle", "ready")?;
    std::thread::sleep(std::time::Duration::from_secs(4));
    let (unchanged, ours) = compare(&device, "")?;
    let busy = unchanged.iter().filter(|line| line.active_count > 0).count();
    let idle = unchanged.len() - busy;
    ensure!(busy >= 30 && idle >= 300, "only {busy} busy and {idle} idle sources to compare");
    assert_eq!(ours["broken"], false);
    Ok(())
}

#[test]
fn an_active_source_is_held_as_in_debugfs() -> Result<()> {
    let device = device::with_kfuncs()?;
    let _held =
        device.start("./sleepwalk-workload source --name held_long --hold 20s", "activate")?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    let find = |lines: Vec<Line>| lines.into_iter().find(|l| l.name == b"held_long");
    let before = find(debugfs::read(&device)?).context("debugfs lacks it")?;
    let ours = snapshot(&device, "")?;
    let after = find(debugfs::read(&device)?).context("debugfs lacks it")?;
    let source =
        sources(&ours)?.iter().find(|s| s["name"] == "held_long").context("it is missing")?;
    assert_eq!(source["active"], true);
    let held = number(source, "held_ns") / 1_000_000;
    ensure!(before.active_since > 0, "debugfs calls it inactive");
    ensure!((before.total_time..=after.total_time).contains(&held), "{before:?} {held} {after:?}");
    Ok(())
}

#[test]
fn ids_are_those_of_sysfs() -> Result<()> {
    let device = device::with_kfuncs()?;
    let _sources = device.start("./sleepwalk-workload sources --count 20 --prefix id", "ready")?;
    let listing =
        device.sh("for d in /sys/class/wakeup/*; do echo ${d##*/wakeup} $(cat $d/name); done")?;
    let mut kernel: Vec<_> = listing.lines().map(str::to_owned).collect();
    let ours = snapshot(&device, "")?;
    let text = |s: &Value| format!("{} {}", s["id"], s["name"].as_str().unwrap_or_default());
    let mut lines: Vec<_> = sources(&ours)?.iter().map(text).collect();
    kernel.sort();
    lines.sort();
    assert_eq!(lines, kernel);
    Ok(())
}

#[test]
fn names_are_kept_to_the_byte() -> Result<()> {
    let device = device::with_kfuncs()?;
    let long = "n".repeat(127);
    let longer = "m".repeat(200);
    // As the shell's printf takes them, and the bytes that they are.
    let names: [(String, Vec<u8>); 8] = [
        (String::new(), Vec::new()),
        ("with a space".into(), b"with a space".to_vec()),
        (r"new\nline".into(), b"new\nline".to_vec()),
        (r"esc\x1b[31m".into(), b"esc\x1b[31m".to_vec()),
        (r"bad\xff\xfeutf8".into(), b"bad\xff\xfeutf8".to_vec()),
        (r"\xc3\xbcml\xc3\xa4ut".into(), "ümläut".as_bytes().to_vec()),
        (long.clone(), long.into_bytes()),
        (longer.clone(), longer.into_bytes()),
    ];
    // The first has these sources in a snapshot, the second meets them in edges.
    let late = device.start("./sleepwalkd record -o a.swk --interval 1h", "ready")?;
    let mut running = Vec::new();
    for (shell, _) in &names {
        let program =
            format!("./sleepwalk-workload source --hold 60s --name \"$(printf '{shell}')\"");
        running.push(device.start(&program, "activate")?);
    }
    let ours = snapshot(&device, "")?;
    let kernel = debugfs::read(&device)?;
    // Every one ends, so that no snapshot of the trace has seen it.
    drop(running);
    late.stop()?;
    let trace = Trace::read(&device.pull("a.swk")?)?;
    let strings = trace.strings();
    let shown: Vec<_> =
        trace.snapshots()?.into_iter().flat_map(|s| s.by_name.into_keys()).collect();
    for (_, bytes) in &names {
        let shown_as = String::from_utf8_lossy(bytes);
        ensure!(kernel.iter().any(|line| line.name == *bytes), "debugfs lacks {shown_as:?}");
        let (kept, cut) = (&bytes[..bytes.len().min(127)], bytes.len() > 127);
        let source = sources(&ours)?.iter().find(|s| name(s) == kept);
        let source = source.with_context(|| format!("{shown_as:?} is missing"))?;
        assert_eq!(source["name_cut"], cut, "{source}");
        let met = trace.records.iter().find_map(|r| match &r.record {
            Record::Source(source) if strings[&source.name] == kept => Some(source),
            _ => None,
        });
        let met = met.with_context(|| format!("{shown_as:?} is in no edge"))?;
        assert_eq!(met.name_cut, cut, "{met:?}");
        ensure!(!shown.iter().any(|name| name == kept), "a snapshot has shown {shown_as:?}");
        let edges = trace
            .records
            .iter()
            .filter(|r| matches!(&r.record, Record::Edge(edge) if edge.source == met.instance));
        assert_eq!(edges.count(), 2, "{shown_as:?}: an activation and its end");
    }
    Ok(())
}

#[test]
fn sources_beyond_the_room_are_counted() -> Result<()> {
    let device = device::with_kfuncs()?;
    let _sources = device.start("./sleepwalk-workload sources --count 50 --prefix c", "ready")?;
    let kernel = debugfs::read(&device)?.len() as u64;
    let ours = snapshot(&device, "--max-sources 10")?;
    assert_eq!(number(&ours, "seen"), kernel);
    assert_eq!(number(&ours, "stored"), 10);
    assert_eq!(sources(&ours)?.len(), 10);
    let warned = device.try_sh("./sleepwalkd snapshot --max-sources 10")?;
    let printed = String::from_utf8_lossy(&warned.stderr).into_owned()
        + &String::from_utf8_lossy(&warned.stdout);
    ensure!(
        printed.contains(&format!("{} of {kernel} sources had no room", kernel - 10)),
        "{printed}"
    );
    Ok(())
}

#[test]
fn one_walk_takes_over_four_thousand_sources() -> Result<()> {
    let device = device::with_kfuncs()?;
    let _sources = device.start("./sleepwalk-workload sources --count 4200 --prefix m", "ready")?;
    let kernel = debugfs::read(&device)?.len() as u64;
    ensure!(kernel > 4200, "debugfs has {kernel}");
    let ours = snapshot(&device, "")?;
    assert_eq!((number(&ours, "seen"), number(&ours, "stored")), (kernel, 4096));
    let (lines, ours) = compare(&device, "--max-sources 5000")?;
    assert_eq!((number(&ours, "seen"), number(&ours, "stored")), (kernel, kernel));
    ensure!(lines.len() > 4200, "only {} lines compared", lines.len());
    Ok(())
}

/// Sources that stay, among others that don't.
const STEADY: usize = 40;

/// So many walks have to meet a change. A death waits for a grace period of SRCU, so there are a hundred
/// a second, and a walk is at one source for about a µs: one walk in some hundred meets one.
const MET: usize = 10;

/// Sources come and go as fast as this kernel lets them, while a walk that takes no lock is done over
/// and over, until some have vanished right under it.
#[test]
fn an_unlocked_walk_is_whole_or_marked_broken() -> Result<()> {
    let device = device::without_kfuncs()?;
    let _steady =
        device.start("./sleepwalk-workload sources --count 40 --prefix steady", "ready")?;
    let _held =
        device.start("./sleepwalk-workload source --name steady_held --hold 300s", "activate")?;
    let unchanged = debugfs::read(&device)?;
    let before: BTreeSet<_> = unchanged.iter().map(|line| line.name.clone()).collect();
    let flicker = "./sleepwalk-workload sources --count 256 --prefix flicker --flicker";
    let flicker = device.start(flicker, "ready")?;
    let record = "env SLEEPWALK_LOG=debug ./sleepwalkd record -o a.swk --source kallsyms";
    let mut agent = device.start(&format!("{record} --interval 1ms"), "ready")?;
    std::thread::sleep(std::time::Duration::from_secs(10));
    let met =
        |printed: &str| printed.lines().filter(|l| l.contains("changed under the walk")).count();
    let mut printed = String::new();
    while met(&printed) < MET {
        printed += &(agent.line()? + "\n");
    }
    printed += &agent.stop()?;
    flicker.stop()?;
    let after = debugfs::read(&device)?;
    let unchanged: Vec<_> = unchanged
        .into_iter()
        .filter(|line| {
            let same = |other: &&Line| other.name == line.name;
            let counts = |line: &Line| (line.active_count, line.event_count, line.wakeup_count);
            let mut there = after.iter().filter(same);
            there.next().is_some_and(|now| counts(now) == counts(line)) && there.next().is_none()
        })
        .collect();
    ensure!(unchanged.iter().any(|line| line.name == b"steady_held"), "it was not to change");

    let trace = Trace::read(&device.pull("a.swk")?)?;
    let snapshots = trace.snapshots()?;
    let broken = snapshots.iter().filter(|s| s.snapshot.broken).count();
    println!("{} snapshots, {broken} broken; {} walks begun again", snapshots.len(), met(&printed));
    ensure!(snapshots.len() > 100, "only {} snapshots", snapshots.len());
    let gone: usize = snapshots.iter().map(|s| s.snapshot.gone.len()).sum();
    ensure!(gone > 50, "only {gone} sources went away between two snapshots");
    let steady = |s: &Sources| s.by_name.keys().filter(|name| name.starts_with(b"steady_")).count();
    let mut flickered = 0;
    for s in snapshots.iter().filter(|s| !s.snapshot.broken) {
        let there = steady(s);
        assert_eq!(there, STEADY + 1, "a whole snapshot at {} lacks some that were there", s.at_ns);
        for line in &unchanged {
            let state =
                s.by_name.get(&line.name).with_context(|| format!("{line:?} is missing"))?;
            let counts = &state.counters;
            assert_eq!(
                (counts.active_count, counts.event_count, counts.wakeup_count),
                (line.active_count, line.event_count, line.wakeup_count),
                "{line:?}"
            );
        }
        for (name, state) in &s.by_name {
            let of_flicker = name.starts_with(b"flicker_");
            flickered += usize::from(of_flicker);
            // The epoll sets of the flicker are born after the list was read.
            let known = of_flicker || name == b"eventpoll" || before.contains(name);
            ensure!(known, "{:?} never was a source", String::from_utf8_lossy(name));
            // Nothing is ever written to them.
            let idle = state.counters.active_count == 0 && !state.active();
            let written = name == b"steady_held";
            let never = of_flicker || name.starts_with(b"steady_") && !written;
            ensure!(idle || !never, "{name:?}: {state:?}");
            ensure!(!written || state.active(), "{name:?}: {state:?}");
        }
    }
    ensure!(flickered > 0, "no snapshot has a source that comes and goes");
    Ok(())
}

#[test]
fn changes_add_up_to_debugfs() -> Result<()> {
    let device = device::with_kfuncs()?;
    let _idle = device.start("./sleepwalk-workload sources --count 40 --prefix idle", "ready")?;
    let agent = device.start("./sleepwalkd record -o changes.swk --interval 100ms", "ready")?;
    let churn = "./sleepwalk-workload sources --count 30 --prefix churn --churn 300";
    let busy = device.start(churn, "ready")?;
    // Sources come and go meanwhile: others move to their slots.
    for n in 0..8 {
        device.sh(&format!("./sleepwalk-workload source --name born_{n} --hold 30ms"))?;
    }
    busy.stop()?;
    let _late = device.start("./sleepwalk-workload sources --count 5 --prefix late", "ready")?;
    device.sh("sleep 1")?;
    let kernel = debugfs::read(&device)?;
    agent.stop()?;
    let trace = Trace::read(&device.pull("changes.swk")?)?;
    let snapshots = trace.snapshots()?;
    let partly = snapshots.iter().filter(|s| !s.snapshot.full && !s.snapshot.changed.is_empty());
    ensure!(partly.count() >= 8, "{} snapshots, too few show changes", snapshots.len());
    let last = snapshots.last().context("no snapshot")?;
    for line in &kernel {
        let name = line.name.escape_ascii();
        let ours = last.by_name.get(&line.name[..]).with_context(|| format!("no {name}"))?;
        let Counters { active_count, event_count, wakeup_count, expire_count, .. } = ours.counters;
        let counts = [active_count, event_count, wakeup_count, expire_count];
        let theirs = [line.active_count, line.event_count, line.wakeup_count, line.expire_count];
        let times = [ours.counters.total_ns, ours.counters.max_ns].map(|ns| ns / 1_000_000);
        // eventpoll's sources share a name.
        if line.name != b"eventpoll" && line.active_since == 0 {
            assert_eq!((counts, times), (theirs, [line.total_time, line.max_time]), "{name}");
        }
    }
    assert_eq!(last.snapshot.seen as usize, kernel.len());
    // The probe does compare: a walk that copies all would add up as well.
    let measured = device.sh("./sleepwalkd measure --times 5 --only kfunc")?;
    let measured: Value = serde_json::from_str(&measured)?;
    let changed = measured["changed"].as_array().context("no changes")?;
    ensure!(changed.iter().any(|n| n.as_u64().is_some_and(|n| n < 40)), "{measured}");
    Ok(())
}
