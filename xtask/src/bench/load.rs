//! The cost of a capture when much goes on: the agent's time, the trace's bytes, memory in the long run.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sleepwalk_trace::read::{Item, Reader};
use sleepwalk_trace::record::{Record, Stamped};
use sleepwalk_trace::write::ChunkWriter;
use sleepwalk_vdev::Device;

use super::agent::{SETTLE, bytes_of, proc, start};
use super::figure::{Figure, Limit};
use crate::sh;

/// How long edges and attempts come at their pace. A wakeup of a FIFO is worth four edges: its own two
/// and those of its epoll set; some more than needed, because nothing happens while an attempt sleeps.
const LOAD: Duration = Duration::from_secs(180);
const CHURN: &str = "./sleepwalk-workload sources --count 20 --prefix busy --churn 32";
/// A second asleep, nine awake.
const SUSPEND: &str = "./sleepwalk-workload suspend --times 1000 --alarm 1s --gap 9s";
const EDGES_PER_S: f64 = 100.0;
const ATTEMPT_EVERY_S: f64 = 10.0;

/// The demo's length.
const DEMO_S: u32 = 30;
/// The kernel selftest's walker sends as much of each source.
const SELFTEST_BYTES: u64 = 200;

/// An hour of the above.
const HOUR_EDGES: usize = 360_000;
const HOUR_ATTEMPTS: usize = 360;
/// As fast as the agent takes it; more than needed.
const HOUR_CHURN: &str = "./sleepwalk-workload sources --count 20 --prefix busy --churn 3000";
const HOUR_ROUND: Duration = Duration::from_secs(30);
const HOUR_ROUNDS: u32 = 8;
/// A notifier refuses them, so that they take no time.
const HOUR_SUSPEND: &str = "modprobe pm-notifier-error-inject; \
    inject=/sys/kernel/debug/notifier-error-inject/pm/actions/PM_SUSPEND_PREPARE/error; \
    echo -1 > $inject; n=0; \
    while [ $n -lt 360 ]; do echo mem > /sys/power/state; n=$((n+1)); done 2> refused.txt; \
    echo 0 > $inject; modprobe -r pm-notifier-error-inject";

/// A trace taken apart.
struct Trace {
    records: Vec<Stamped>,
    /// The whole file's length.
    bytes: u64,
}

/// The figures of this file.
pub fn figures(device: &Device) -> Result<Vec<Figure>> {
    let mut figures = under_load(device)?;
    figures.push(of_nothing(device)?);
    figures.push(against_the_selftest(device)?);
    figures.extend(after_an_hour(device)?);
    Ok(figures)
}

/// The agent's time and the trace's bytes, at the pace that the limit is for.
fn under_load(device: &Device) -> Result<Vec<Figure>> {
    sh::progress(format!("{} s of edges and attempts", LOAD.as_secs()));
    let agent = start(device)?;
    sleep(SETTLE);
    let busy = device.start(CHURN, "ready")?;
    let suspending = device.spawn(SUSPEND)?;
    let now = || -> Result<(f64, f64)> {
        let text = device.sh("cat /proc/uptime")?;
        let cpu_ns = cpu_ns(&proc(device, &agent, "task/*/schedstat")?).context("schedstat")?;
        let uptime = text.split_whitespace().next().context("/proc/uptime")?;
        Ok((uptime.parse()?, cpu_ns as f64 / 1e9))
    };
    let (began, cpu_before) = now()?;
    sleep(LOAD);
    let (ended, cpu_after) = now()?;
    let seconds = ended - began;
    // It gets SIGTERM before it is done.
    drop(suspending);
    busy.stop()?;
    agent.stop()?;
    let trace = Trace::pull(device)?;
    let within = |stamped: &&Stamped| (began..ended).contains(&(stamped.at.0 as f64 / 1e9));
    let count = |wanted: fn(&Record) -> bool| {
        trace.records.iter().filter(within).filter(|s| wanted(&s.record)).count() as f64
    };
    let edges = count(|r| matches!(r, Record::Edge(_))) / seconds;
    let every = seconds / count(|r| matches!(r, Record::Return(_)));
    ensure!(
        edges >= EDGES_PER_S && every <= 1.2 * ATTEMPT_EVERY_S,
        "only {edges:.0} edges a second and an attempt every {every:.1} s"
    );
    let percent = (cpu_after - cpu_before) / seconds * 100.0;
    Ok(vec![
        Figure::reported("edges a second", edges, ""),
        Figure::reported("an attempt every", every, "s"),
        Figure::limited("agent's CPU time under these", percent, "%", Limit::AtMost(0.5)),
        Figure::limited("an edge in the trace", trace.edge(), "B", Limit::AtMost(14.0)),
    ])
}

/// Where nothing happens, one snapshot is like the other.
fn of_nothing(device: &Device) -> Result<Figure> {
    device.sh("rm -f bench.swk && ./sleepwalkd record -o bench.swk --interval 500ms -d 10s")?;
    let unchanged = Trace::pull(device)?.unchanged();
    ensure!(unchanged > 0, "no snapshot was like the one before");
    let name = "an unchanged snapshot in the trace, most";
    Ok(Figure::limited(name, unchanged as f64, "B", Limit::AtMost(64.0)))
}

/// The demo's trace against a record of each source for each of its snapshots.
fn against_the_selftest(device: &Device) -> Result<Figure> {
    sh::progress(format!("{DEMO_S} s of the demo's workload"));
    let agent = start(device)?;
    device.sh(&format!("./sleepwalk-workload demo --for {DEMO_S}s > demo.jsonl"))?;
    agent.stop()?;
    let trace = Trace::pull(device)?;
    let sources = trace.records.iter().filter_map(|stamped| match &stamped.record {
        Record::Snapshot(snapshot) => Some(u64::from(snapshot.seen)),
        _ => None,
    });
    let times = (sources.sum::<u64>() * SELFTEST_BYTES) as f64 / trace.bytes as f64;
    let name = format!("smaller than {SELFTEST_BYTES} B per source and snapshot, demo");
    Ok(Figure::limited(name, times, "x", Limit::AtLeast(20.0)))
}

/// Memory after an hour's worth of events, pushed through as fast as they go.
fn after_an_hour(device: &Device) -> Result<Vec<Figure>> {
    sh::progress("an hour's worth of events, as fast as they go");
    let agent = start(device)?;
    device.sh(HOUR_SUSPEND)?;
    let mut memory = 0;
    let busy = device.start(HOUR_CHURN, "ready")?;
    for _ in 0..HOUR_ROUNDS {
        sleep(HOUR_ROUND);
        let status = proc(device, &agent, "status")?;
        memory = bytes_of(&status, "VmRSS:").context("VmRSS")?.max(memory);
        device.sh("cp bench.swk so-far.swk")?;
        if Trace::pull_as(device, "so-far.swk")?.edges() >= HOUR_EDGES {
            break;
        }
    }
    busy.stop()?;
    agent.stop()?;
    let trace = Trace::pull(device)?;
    let attempts = trace.count(|r| matches!(r, Record::Return(_)));
    let edges = trace.edges();
    ensure!(
        edges >= HOUR_EDGES && attempts >= HOUR_ATTEMPTS,
        "only {edges} edges and {attempts} attempts came through"
    );
    Ok(vec![
        Figure::reported("edges pushed through", edges as f64, ""),
        Figure::reported("attempts pushed through", attempts as f64, ""),
        Figure::limited(
            "agent's memory (VmRSS) after them",
            memory as f64 / 1e6,
            "MB",
            Limit::AtMost(8.0),
        ),
    ])
}

impl Trace {
    fn pull(device: &Device) -> Result<Trace> {
        Trace::pull_as(device, "bench.swk")
    }

    fn pull_as(device: &Device, name: &str) -> Result<Trace> {
        let bytes = device.pull(name)?;
        let mut reader = Reader::open(&bytes).context("the agent's trace")?;
        let records = reader.by_ref().filter_map(|item| match item {
            Item::Record(stamped) => Some(stamped),
            _ => None,
        });
        let records = records.collect();
        ensure!(reader.damage() == Default::default(), "damaged: {:?}", reader.damage());
        Ok(Trace { records, bytes: bytes.len() as u64 })
    }

    fn count(&self, wanted: fn(&Record) -> bool) -> usize {
        self.records.iter().filter(|stamped| wanted(&stamped.record)).count()
    }

    fn edges(&self) -> usize {
        self.count(|r| matches!(r, Record::Edge(_)))
    }

    /// Bytes of the file for each edge: all that is not another record, so with activators, every
    /// header of a chunk and all padding.
    fn edge(&self) -> f64 {
        let of_edges = |record: &Record| {
            matches!(record, Record::Edge(_) | Record::Activator(_) | Record::ActivatedBy(_))
        };
        let others = self.records.iter().filter(|s| !of_edges(&s.record));
        let others: u64 = others.map(length).sum();
        self.bytes.saturating_sub(others) as f64 / self.edges() as f64
    }

    /// The longest record of a snapshot in which nothing changed; 0 where there is none.
    fn unchanged(&self) -> u64 {
        let unchanged = self.records.iter().filter(|stamped| match &stamped.record {
            Record::Snapshot(s) => !s.full && s.changed.is_empty() && s.gone.is_empty(),
            _ => false,
        });
        unchanged.map(length).max().unwrap_or(0)
    }
}

/// A record's bytes in a chunk, with the shortest of stamps: what its stamp takes more is counted
/// with the chunk.
fn length(stamped: &Stamped) -> u64 {
    let mut writer = ChunkWriter::default();
    writer.push_stamped(stamped);
    writer.pending() as u64
}

/// The sum over all threads' `schedstat`, whose first number is the time on a CPU in ns
/// (`proc_pid_schedstat`, fs/proc/base.c, 7.3).
fn cpu_ns(schedstat: &str) -> Option<u64> {
    let first = |line: &str| line.split_whitespace().next()?.parse::<u64>().ok();
    let times: Option<Vec<u64>> = schedstat.lines().map(first).collect();
    times.filter(|times| !times.is_empty()).map(|times| times.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_all_threads() {
        assert_eq!(cpu_ns("1000 5 2\n234 0 1\n"), Some(1234));
        assert_eq!(cpu_ns(""), None);
        assert_eq!(cpu_ns("much\n"), None);
    }
}
