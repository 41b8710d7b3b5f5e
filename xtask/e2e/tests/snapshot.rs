//! Our snapshots against debugfs and sysfs.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sleepwalk_e2e::Device;
use sleepwalk_e2e::debugfs::{self, Line};
use sleepwalk_e2e::trace::Trace;
use sleepwalk_trace::record::Record;

/// `sleepwalkd snapshot --json`.
fn snapshot(device: &Device, options: &str) -> Result<Value> {
    let text = device.sh(&format!("./sleepwalkd snapshot --json {options}"))?;
    Ok(serde_json::from_str(&text)?)
}

fn sources(snapshot: &Value) -> Result<&Vec<Value>> {
    snapshot["sources"].as_array().context("no sources")
}

fn number(source: &Value, key: &str) -> u64 {
    source[key].as_u64().unwrap_or(u64::MAX)
}

/// The exact bytes of a source's name.
fn name(source: &Value) -> Vec<u8> {
    match source["name_hex"].as_str() {
        Some(hex) => (0..hex.len() / 2)
            .map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap_or(b'?'))
            .collect(),
        None => source["name"].as_str().unwrap_or_default().as_bytes().to_vec(),
    }
}

/// A source of ours in debugfs' terms: whole ms, and times that go on for an active source.
fn line(source: &Value) -> Line {
    let ms = |key| number(source, key) / 1_000_000;
    Line {
        name: name(source),
        active_count: number(source, "active_count"),
        event_count: number(source, "event_count"),
        wakeup_count: number(source, "wakeup_count"),
        expire_count: number(source, "expire_count"),
        active_since: 0,
        total_time: ms("total_ns"),
        max_time: ms("max_ns"),
        last_change: ms("last_ns"),
        prevent_suspend_time: ms("prevent_ns"),
    }
}

/// debugfs before and after, and our snapshot in between. The lines that did not change in debugfs
/// must be ours exactly.
fn compare(device: &Device, options: &str) -> Result<(Vec<Line>, Value)> {
    let before = debugfs::read(device)?;
    let ours = snapshot(device, options)?;
    let after = debugfs::read(device)?;
    let mut lines: Vec<_> =
        sources(&ours)?.iter().filter(|s| s["active"] == false).map(line).collect();
    lines.sort();
    let quiet = |line: &Line| line.active_since == 0;
    let mut kernel: Vec<_> =
        before.iter().filter(|l| quiet(l) && after.contains(l)).cloned().collect();
    kernel.sort();
    for line in &kernel {
        ensure!(lines.contains(line), "debugfs has {line:?}, our snapshot has not");
    }
    ensure!(before.len() == sources(&ours)?.len(), "debugfs has {} sources", before.len());
    Ok((kernel, ours))
}

#[test]
fn every_source_in_debugfs_is_in_our_snapshot_with_equal_counters() -> Result<()> {
    let device = Device::get()?;
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
fn an_active_source_is_active_and_held_as_long_as_debugfs_says() -> Result<()> {
    let device = Device::get()?;
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
    let device = Device::get()?;
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
fn names_are_kept_to_the_byte_in_snapshots_and_edges() -> Result<()> {
    let device = Device::get()?;
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
    // The first tells these sources to a snapshot, the second meets them in edges.
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
    let (_, well) = late.stop()?;
    ensure!(well, "the agent failed");
    let trace = Trace::read(&device.pull("a.swk")?)?;
    let texts = trace.texts();
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
            Record::Source(source) if texts[&source.name] == kept => Some(source),
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
fn more_sources_than_there_is_room_for_are_counted() -> Result<()> {
    let device = Device::get()?;
    let _sources = device.start("./sleepwalk-workload sources --count 50 --prefix c", "ready")?;
    let kernel = debugfs::read(&device)?.len() as u64;
    let ours = snapshot(&device, "--max-sources 10")?;
    assert_eq!(number(&ours, "seen"), kernel);
    assert_eq!(number(&ours, "stored"), 10);
    assert_eq!(sources(&ours)?.len(), 10);
    let warned = device.try_sh("./sleepwalkd snapshot --max-sources 10")?;
    let said = String::from_utf8_lossy(&warned.stderr).into_owned()
        + &String::from_utf8_lossy(&warned.stdout);
    ensure!(said.contains(&format!("{} of {kernel} sources had no room", kernel - 10)), "{said}");
    Ok(())
}

#[test]
fn one_walk_takes_more_than_four_thousand_sources() -> Result<()> {
    let device = Device::get()?;
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

#[test]
fn every_source_of_snapshots_says_what_debugfs_says() -> Result<()> {
    for (device, best) in [(Device::get()?, "kfunc"), (Device::without_kfuncs()?, "kallsyms")] {
        let _idle =
            device.start("./sleepwalk-workload sources --count 40 --prefix idle", "ready")?;
        // Two of one name.
        let _twins = [
            device.start("./sleepwalk-workload sources --count 1 --prefix twin", "ready")?,
            device.start("./sleepwalk-workload sources --count 1 --prefix twin", "ready")?,
        ];
        let auto = snapshot(&device, "")?;
        assert_eq!(auto["source"], best);
        for source in ["kfunc", "kallsyms", "debugfs", "sysfs"] {
            if source == "kfunc" && best != "kfunc" {
                continue;
            }
            let (kernel, ours) = compare(&device, &format!("--source {source}"))
                .with_context(|| format!("{source}, where the best is {best}"))?;
            assert_eq!(ours["source"], source);
            ensure!(kernel.len() > 40, "only {} sources to compare", kernel.len());
        }
    }
    Ok(())
}

#[test]
fn a_capture_goes_by_the_best_source_there_is_and_says_so() -> Result<()> {
    for (device, best) in [(Device::get()?, "kfunc"), (Device::without_kfuncs()?, "kallsyms")] {
        for (asked, expected) in [("auto", best), ("debugfs", "debugfs"), ("sysfs", "sysfs")] {
            let agent = device
                .start(&format!("./sleepwalkd record -o {asked}.swk --source {asked}"), "ready")?;
            device.sh("sleep 2 | ./sleepwalk-workload demo > demo.jsonl")?;
            let (_, well) = agent.stop()?;
            ensure!(well, "the agent failed");
            let trace = Trace::read(&device.pull(&format!("{asked}.swk"))?)?;
            let Some(Record::Session(session)) = trace.records.first().map(|r| &r.record) else {
                anyhow::bail!("the trace does not begin with its session");
            };
            assert_eq!(session.source, expected);
            // Whatever snapshots come from, edges have their names.
            let texts = trace.texts();
            let names = trace.names();
            let edges = trace.records.iter().filter_map(|r| match &r.record {
                Record::Edge(edge) => texts.get(names.get(&edge.source)?).map(Vec::as_slice),
                _ => None,
            });
            let edges: std::collections::BTreeSet<_> = edges.collect();
            ensure!(edges.contains(&b"modem_rx"[..]), "{asked}: edges of {} names", edges.len());
        }
    }
    Ok(())
}
