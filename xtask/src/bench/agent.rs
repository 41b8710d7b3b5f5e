//! The agent's costs: its size, its memory, how soon it sees something, and whether it wakes
//! without need.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sleepwalk_trace::read::{Item, Reader};
use sleepwalk_trace::record::Record;

use super::figure::{Figure, Limit};
use sleepwalk_vdev::{Device, Program};

use crate::{paths, sh};

/// Starts of the agent; the worst counts.
const STARTS: u32 = 5;
/// Shorter than the interval between snapshots.
const IDLE: Duration = Duration::from_secs(30);
/// After `ready`, until the start is over.
pub const SETTLE: Duration = Duration::from_secs(2);

/// `/proc` counts time in ticks of USER_HZ, 100 on every Linux but alpha's and ia64's.
const TICK_NS: u64 = 10_000_000;

/// The figures of this file.
pub fn figures(device: &Device) -> Result<Vec<Figure>> {
    let size = fs::metadata(paths::agent_program()).context("target/dist/sleepwalkd")?.len();
    sh::progress(format!(
        "{STARTS} starts of the agent, then {} s of doing nothing",
        IDLE.as_secs()
    ));
    let (mut memory, mut first) = (0, 0);
    for _ in 0..STARTS {
        let agent = start(device)?;
        let born = born_ns(&proc(device, &agent, "stat")?).context("/proc/PID/stat")?;
        memory = memory.max(bytes_of(&proc(device, &agent, "status")?, "VmRSS:").context("VmRSS")?);
        agent.stop()?;
        first = first.max(first_snapshot_ns(device)?.saturating_sub(born));
    }
    let wakeups = idle_wakeups(device)?;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    Ok(vec![
        Figure::limited("agent's size, stripped", mb(size), "MB", Limit::AtMost(2.0)),
        Figure::limited("agent's memory (VmRSS), most", mb(memory), "MB", Limit::AtMost(8.0)),
        Figure::limited(
            "agent's first snapshot, latest",
            first as f64 / 1e9,
            "s",
            Limit::AtMost(2.0),
        ),
        Figure::limited(
            format!("agent's wake-ups in {} s between ticks", IDLE.as_secs()),
            wakeups as f64,
            "",
            Limit::AtMost(0.0),
        ),
    ])
}

/// The agent, recording into `bench.swk`.
pub fn start(device: &Device) -> Result<Program<'_>> {
    device.sh("rm -f bench.swk")?;
    device.start("./sleepwalkd record -o bench.swk --interval 60s", "ready")
}

/// A file of the agent's in /proc.
pub fn proc(device: &Device, agent: &Program, file: &str) -> Result<String> {
    device.sh(&format!("cat /proc/{}/{file}", agent.pid))
}

/// How often the agent's threads gave the CPU up, which they do once for each time they were woken.
fn idle_wakeups(device: &Device) -> Result<u64> {
    let agent = start(device)?;
    sleep(SETTLE);
    let count = || {
        let status = proc(device, &agent, "task/*/status")?;
        switches(&status).context("voluntary_ctxt_switches")
    };
    let before = count()?;
    sleep(IDLE);
    let after = count()?;
    agent.stop()?;
    Ok(after.saturating_sub(before))
}

fn first_snapshot_ns(device: &Device) -> Result<u64> {
    let bytes = device.pull("bench.swk")?;
    let mut reader = Reader::open(&bytes).context("the agent's trace")?;
    let first = reader.by_ref().find_map(|item| match item {
        Item::Record(stamped) if matches!(stamped.record, Record::Snapshot(_)) => Some(stamped.at),
        _ => None,
    });
    ensure!(reader.damage() == Default::default(), "the agent's trace: {:?}", reader.damage());
    Ok(first.context("the agent's trace has no snapshot")?.0)
}

/// When a process began, in CLOCK_BOOTTIME: field 22 of its `stat`, rounded down by less than a tick
/// (`do_task_stat`, fs/proc/array.c). The name in field 2 may hold anything.
fn born_ns(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(22 - 3)?.parse::<u64>().ok()?.checked_mul(TICK_NS)
}

/// `VmRSS:     1234 kB` and its like.
pub fn bytes_of(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The sum over all threads' `status`.
fn switches(status: &str) -> Option<u64> {
    let key = "voluntary_ctxt_switches:";
    let lines = status.lines().filter_map(|line| line.strip_prefix(key));
    let counts: Option<Vec<u64>> = lines.map(|count| count.trim().parse().ok()).collect();
    counts.filter(|counts| !counts.is_empty()).map(|counts| counts.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_start_behind_any_name() {
        let after = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 20 0 1 0 1234 999 888";
        for name in ["sleepwalkd", "a) b", "x y"] {
            let stat = format!("77 ({name}) {after}\n");
            assert_eq!(born_ns(&stat), Some(12_340_000_000), "{stat}");
        }
        assert_eq!(born_ns(""), None);
        assert_eq!(born_ns("77 (x) S 1 2"), None);
    }

    #[test]
    fn memory_out_of_status() {
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nVmSwap: 0 kB";
        assert_eq!(bytes_of(status, "VmRSS:"), Some(2_097_152));
        assert_eq!(bytes_of("Name:\tx\n", "VmRSS:"), None);
    }

    #[test]
    fn switches_of_all_threads() {
        let status = "voluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t50\n\
                      voluntary_ctxt_switches:\t4\n";
        assert_eq!(switches(status), Some(7));
        assert_eq!(switches("nonvoluntary_ctxt_switches:\t50\n"), None);
    }
}
