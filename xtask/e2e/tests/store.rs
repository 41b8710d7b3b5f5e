//! The trace as a file: bounded, and whole at every instant.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sleepwalk_e2e::own::Own;
use sleepwalk_e2e::trace::Trace;
use sleepwalk_e2e::{Device, debugfs, device};
use sleepwalk_trace::read::{Item, Reader};
use sleepwalk_trace::record::{EDGE_ACTIVE, Record};
use sleepwalk_vdev::{Boot, FOLDER};

/// The file's length at each look, in bytes.
fn lengths(device: &Device, file: &str, looks: u32) -> Result<Vec<u64>> {
    let script = format!(
        "n=0; while [ $n -lt {looks} ]; do wc -c < {file} || true; sleep 0.2; n=$((n + 1)); done"
    );
    Ok(device.sh(&script)?.lines().filter_map(|line| line.trim().parse().ok()).collect())
}

fn reason(trace: &Trace) -> Option<&str> {
    match &trace.records.last()?.record {
        Record::End(end) => Some(&end.reason),
        _ => None,
    }
}

const LIMIT: u64 = 256 << 10;

/// Fills a trace within seconds.
const BUSY: &str = "./sleepwalk-workload sources --count 100 --prefix busy --churn 1000000";

#[test]
fn a_full_trace_ends_within_its_bound() -> Result<()> {
    let device = device::with_kfuncs()?;
    let agent =
        device.start("./sleepwalkd record -o a.swk --max-size 256K --interval 1h", "ready")?;
    let _busy = device.start(BUSY, "ready")?;
    let lengths = lengths(&device, "a.swk", 20)?;
    agent.wait()?;
    ensure!(lengths.iter().all(|length| *length <= LIMIT), "{lengths:?}");
    let bytes = device.pull("a.swk")?;
    let length = bytes.len() as u64;
    ensure!((LIMIT / 2..=LIMIT).contains(&length), "{length} bytes");
    let trace = Trace::read(&bytes)?;
    assert_eq!(reason(&trace), Some("full"));
    let last = trace.snapshots()?.pop().context("no snapshot")?;
    ensure!(last.by_name.len() > 100, "the end's snapshot has {} sources", last.by_name.len());
    Ok(())
}

/// Goes round within seconds then.
const RING: &str = "./sleepwalkd record -o a.swk --max-size 512K --on-full ring --interval 1s";

#[test]
fn a_ring_drops_the_oldest_chunks() -> Result<()> {
    let device = device::with_kfuncs()?;
    let agent = device.start(RING, "ready")?;
    let busy = device.start(BUSY, "ready")?;
    let lengths = lengths(&device, "a.swk", 60)?;
    // A copy of one instant: it is made while nothing is written.
    device.sh(&format!("kill -STOP {0}; cp a.swk b.swk; kill -CONT {0}", agent.pid))?;
    let kernel = debugfs::read(&device)?;
    agent.stop()?;
    ensure!(lengths.iter().all(|length| *length <= 2 * LIMIT), "{lengths:?}");
    drop(busy);
    for file in ["a.swk", "b.swk"] {
        let bytes = device.pull(file)?;
        let mut reader = Reader::open(&bytes)?;
        let chunks = reader.by_ref().filter(|item| matches!(item, Item::Chunk(_))).count();
        let dropped = reader.dropped_chunks();
        println!("{file}: {chunks} chunks, {dropped} dropped");
        ensure!(dropped > 0 && chunks > 5, "{file}: {chunks} chunks, {dropped} dropped");
        let trace = Trace::read(&bytes)?;
        ensure!(
            matches!(trace.records.first().map(|r| &r.record), Some(Record::Session(_))),
            "{file} does not begin with its session"
        );
        // Every event has its name, every snapshot its base.
        ensure!(trace.events()?.len() > 1000, "{file} has {} events", trace.events()?.len());
        let last = trace.snapshots()?.pop().context("no snapshot")?;
        for line in kernel.iter().filter(|line| line.name.starts_with(b"busy")) {
            ensure!(last.by_name.contains_key(&line.name), "{file}: {line:?} is missing");
        }
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.swk");
    std::fs::write(&path, device.pull("a.swk")?)?;
    let report =
        device::sleepwalk(&device)?.args(["report", "--format", "json"]).arg(&path).output()?;
    ensure!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
    let report: Value = serde_json::from_slice(&report.stdout)?;
    ensure!(report["session"]["dropped_chunks"].as_u64() > Some(0), "{}", report["session"]);
    assert_eq!(report["session"]["damaged_bytes"], 0);
    Ok(())
}

/// Waits until the ring has dropped something; a busy machine takes long.
fn goes_round(device: &Device) -> Result<()> {
    for _ in 0..120 {
        let bytes = device.pull("a.swk")?;
        let mut reader = Reader::open(&bytes)?;
        reader.by_ref().for_each(drop);
        if reader.dropped_chunks() > 0 {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    bail!("the ring never went round")
}

/// Copies take time, and the writer goes round and round meanwhile: what a copy lacks is counted, and
/// all that it has is true and in order.
#[test]
fn a_ring_is_pulled_while_it_is_written() -> Result<()> {
    let device = device::with_kfuncs()?;
    let agent = device.start(RING, "ready")?;
    let busy = device.start(BUSY, "ready")?;
    goes_round(&device)?;
    let folder = tempfile::tempdir()?;
    let (mut dropped, mut torn) = (0, 0);
    for n in 0..10 {
        let path = folder.path().join(format!("{n}.swk"));
        let pull = device::sleepwalk(&device)?
            .args(["pull", &format!("{FOLDER}/a.swk"), "-o"])
            .arg(&path)
            .output()?;
        let printed = String::from_utf8_lossy(&pull.stderr).into_owned();
        ensure!(pull.status.success(), "{printed}");
        let bytes = std::fs::read(&path)?;
        let mut reader = Reader::open(&bytes)?;
        let (mut sequence, mut records) = (None, 0);
        for item in reader.by_ref() {
            match item {
                Item::Chunk(header) => {
                    ensure!(sequence < Some(header.sequence), "{n}: {sequence:?}, then {header:?}");
                    sequence = Some(header.sequence);
                }
                Item::Record(_) => records += 1,
                Item::Gap => {}
            }
        }
        let damage = reader.damage();
        ensure!(damage.bad_records == 0, "{n}: {damage:?}");
        ensure!(records > 1000, "{n}: {records} records");
        dropped += u64::from(reader.dropped_chunks() > 0);
        let whole = damage.bytes | damage.missing_chunks == 0;
        torn += u64::from(!whole);
        assert_eq!(
            whole,
            !printed.contains("copied while it was written"),
            "{n}: {damage:?} {printed}"
        );
        assert_eq!(whole, !printed.contains("faster than it can be copied"), "{n}: {printed}");
    }
    println!("{torn} of 10 copies lack something that the device has");
    assert_eq!(dropped, 10, "it has gone round");
    drop(busy);
    agent.stop()?;
    Ok(())
}

#[test]
fn a_kill_loses_nothing_that_was_written() -> Result<()> {
    let device = device::with_kfuncs()?;
    let _busy =
        device.start("./sleepwalk-workload sources --count 30 --prefix b --churn 2000", "ready")?;
    for (number, options) in ["", "--max-size 256K --on-full ring"].into_iter().enumerate() {
        let file = format!("{number}.swk");
        let program = format!("./sleepwalkd record -o {file} {options} --interval 100ms");
        let agent = device.start(&program, "ready")?;
        std::thread::sleep(std::time::Duration::from_millis(7_300));
        // Both in one script: between the copy and the end there is no time to write much.
        device.sh(&format!("cp {file} before.swk; kill -KILL {}", agent.pid))?;
        let (_, well) = agent.try_wait()?;
        ensure!(!well, "it was to be killed");
        let after = device.pull(&file)?;
        let trace = Trace::read(&after)?;
        ensure!(!trace.complete() && trace.records.len() > 500, "{} records", trace.records.len());
        if options.is_empty() {
            let before = Trace::read(&device.pull("before.swk")?)?;
            ensure!(trace.records.starts_with(&before.records), "something was lost");
        }
    }
    Ok(())
}

#[test]
fn a_signal_leaves_a_clean_trace_or_none() -> Result<()> {
    let device = device::with_kfuncs()?;
    let mut whole = 0;
    for hundredths in (0..50).step_by(4) {
        device.sh(&format!(
            "rm -f a.swk; ./sleepwalkd record -o a.swk & sleep 0.{hundredths:02}; kill -TERM $!; wait $! || true"
        ))?;
        if device.sh("ls")?.contains("a.swk") {
            let trace = Trace::read(&device.pull("a.swk")?)?;
            assert_eq!(reason(&trace), Some("signal"), "after 0.{hundredths:02} s");
            whole += 1;
        }
    }
    ensure!(whole > 0, "none was there yet");
    Ok(())
}

#[test]
fn each_capture_in_a_folder_has_its_own_file() -> Result<()> {
    let device = device::with_kfuncs()?;
    device.sh("mkdir traces")?;
    for _ in 0..2 {
        let printed = device.sh("./sleepwalkd record -o traces -d 100ms")?;
        let path = printed.lines().find_map(|line| line.strip_prefix("trace "));
        let path = path.with_context(|| format!("no path in {printed}"))?;
        ensure!(Trace::read(&device.pull(path)?)?.complete(), "{path} has no end");
    }
    // By the device's own calendar.
    let today = device.sh("date -u +%Y%m%d")?;
    let files = device.sh("ls traces")?;
    let named = |name: &str| name.starts_with("sleepwalk-20") && name.ends_with(".swk");
    assert_eq!(files.lines().filter(|name| named(name)).count(), 2, "{files}");
    ensure!(files.contains(&today[..6]), "{files} on {today}");
    let modes = device.sh("stat -c %a traces/*")?;
    ensure!(modes.lines().all(|mode| mode == "600"), "{modes}");
    Ok(())
}

/// Boots another device, whose power a test cuts, with its disk mounted.
fn up(victim: &Own) -> Result<Device> {
    let device = victim.up(Boot { disk: true, ..Boot::default() })?;
    device.sh("modprobe virtio_blk; modprobe ext4; mkdir disk; mount -t ext4 /dev/vda disk")?;
    Ok(device)
}

/// A power cut may cost as much: 5 s, or the last attempt.
const LOSS_NS: u64 = 5_000_000_000;

#[test]
fn a_power_cut_costs_at_most_five_seconds() -> Result<()> {
    let victim = Own::new()?;
    let device = up(&victim)?;
    // Writeback by the kernel within this test would hide that the agent does not sync.
    device.sh("echo 0 > /sys/power/sync_on_suspend; cd /proc/sys/vm
         echo 60000 > dirty_expire_centisecs; echo 60000 > dirty_writeback_centisecs")?;
    let agent = device.start("./sleepwalkd record -o disk/a.swk --interval 1h", "ready")?;
    let attempts = device.sh("./sleepwalk-workload suspend --times 2 --alarm 2s --gap 200ms")?;
    let mut pulse = device.start(
        "./sleepwalk-workload source --name pulse --after 100ms --hold 100ms --times 1000",
        "activate",
    )?;
    // Each line is of an event that has happened.
    let mut activations = Vec::new();
    loop {
        let line: Value = serde_json::from_str(&pulse.line()?)?;
        let at = line["t_ns"].as_u64().context("no stamp")?;
        if line["event"] == "activate" {
            activations.push(at);
        }
        if activations.first().is_some_and(|first| at > first + 2 * LOSS_NS) {
            break;
        }
    }
    victim.cut()?;
    drop((pulse, agent));

    let device = up(&victim)?;
    let bytes = device.pull("disk/a.swk")?;
    let mut reader = Reader::open(&bytes)?;
    let mut strings = std::collections::BTreeMap::new();
    let (mut pulses, mut names, mut returns) = (Vec::new(), Vec::new(), 0);
    for item in reader.by_ref() {
        let Item::Record(stamped) = item else { continue };
        match stamped.record {
            Record::String(text) => drop(strings.insert(text.id, text.bytes)),
            Record::Source(source) if strings[&source.name] == b"pulse" => {
                names.push(source.instance);
            }
            Record::Edge(edge) if edge.flags & EDGE_ACTIVE != 0 && names.contains(&edge.source) => {
                pulses.push(stamped.at.0);
            }
            Record::Return(_) => returns += 1,
            Record::End(end) => bail!("it ended cleanly: {}", end.reason),
            _ => {}
        }
    }
    let last = activations.last().copied().unwrap_or_default();
    let safe = activations.iter().filter(|at| *at + LOSS_NS < last).count();
    // The first was printed before `start` returned.
    println!(
        "{} of {} activations are there, {safe} had to be; {} bytes damaged",
        pulses.len(),
        activations.len() + 1,
        reader.damage().bytes
    );
    ensure!(safe >= 5, "only {safe} activations to compare");
    ensure!(pulses.len() > safe, "{} activations of {safe}", pulses.len());
    for (ours, theirs) in pulses.iter().skip(1).zip(&activations[..safe]) {
        ensure!(ours >= theirs, "{ours} is before {theirs}");
    }
    ensure!(attempts.contains("\"n\":2"), "{attempts}");
    assert_eq!(returns, 2, "attempts long before the cut");
    Ok(())
}

#[test]
fn a_power_cut_costs_at_most_the_last_attempt() -> Result<()> {
    let victim = Own::new()?;
    let device = up(&victim)?;
    device.sh("rm -f disk/*; echo 0 > /sys/power/sync_on_suspend; cd /proc/sys/vm
         echo 60000 > dirty_expire_centisecs; echo 60000 > dirty_writeback_centisecs")?;
    let agent = device.start("./sleepwalkd record -o disk/b.swk --interval 1h", "ready")?;
    let suspend = "./sleepwalk-workload suspend --times 3 --alarm 1s --gap 500ms";
    let mut suspend = device.start(suspend, "\"n\":1")?;
    while !suspend.line()?.contains("\"n\":2") {}
    victim.cut()?;
    drop((suspend, agent));

    let device = up(&victim)?;
    let bytes = device.pull("disk/b.swk")?;
    let returns = Reader::open(&bytes)?
        .filter(|item| matches!(item, Item::Record(r) if matches!(r.record, Record::Return(_))))
        .count();
    println!("{returns} returns of 2 are there");
    ensure!((1..=3).contains(&returns), "{returns} returns");
    Ok(())
}
