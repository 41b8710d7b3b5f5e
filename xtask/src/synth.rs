//! `cargo xtask synth`: a large trace of a device that never was, for measurements.
//!
//! The same options give the same bytes. It is free of contradictions: counters follow
//! from the edges, a wait ends when nothing is held, MONOTONIC stops in `machine_suspend`. It
//! goes to the file chunk by chunk, and takes a few seconds for ten million edges.

mod device;
mod random;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::Args;
use sleepwalk_trace::chunk::file_header;
use sleepwalk_trace::record::{Record, Session};
use sleepwalk_trace::time::{BootNanos, Clocks, RealNanos};
use sleepwalk_trace::write::ChunkWriter;

use self::device::Device;

/// A chunk is closed when it holds as much, as the agent does.
const CHUNK: usize = 64 << 10;
/// CLOCK_REALTIME at boot: 2026-01-01.
const BOOTED: i64 = 1_767_225_600_000_000_000;

/// How large the trace becomes.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Activations and deactivations together
    #[arg(long, value_name = "N", default_value_t = LARGE.edges)]
    pub edges: u64,
    /// Suspend attempts
    #[arg(long, value_name = "N", default_value_t = LARGE.attempts)]
    pub attempts: u64,
    /// Wakeup sources
    #[arg(long, value_name = "N", default_value_t = LARGE.sources)]
    pub sources: u32,
}

/// The largest trace that reports must bear.
pub const LARGE: Size = Size { edges: 10_000_000, attempts: 10_000, sources: 300 };

/// Roughly a trace of the demo.
pub const SMALL: Size = Size { edges: 300, attempts: 10, sources: 20 };

impl Size {
    /// Each attempt has at least a blocker before it and a source that wakes it or aborts it.
    fn check(self) -> Result<()> {
        ensure!(self.attempts > 0, "--attempts {}: at least 1", self.attempts);
        ensure!((8..=1 << 20).contains(&self.sources), "--sources {}: 8 to 1048576", self.sources);
        let least = 4 * self.attempts;
        ensure!(
            self.edges >= least && self.edges.is_multiple_of(2),
            "--edges {}: even, and at least {least} for {} attempts",
            self.edges,
            self.attempts
        );
        Ok(())
    }
}

/// Writes the trace.
pub fn write(file: &Path, size: Size) -> Result<()> {
    size.check()?;
    let failed = || format!("{} cannot be written", file.display());
    let mut out = BufWriter::new(File::create(file).with_context(failed)?);
    out.write_all(&file_header(0)).with_context(failed)?;
    let mut trace = Trace { out, writer: ChunkWriter::default(), suspended_ns: 0 };
    Device::new(size).run(&mut trace).with_context(failed)?;
    trace.out.flush().with_context(failed)
}

/// The sink of the device's records.
struct Trace {
    out: BufWriter<File>,
    writer: ChunkWriter,
    suspended_ns: u64,
}

impl Trace {
    fn push(&mut self, at: u64, record: &Record) {
        self.writer.push(BootNanos(at), record);
    }

    /// Whether the chunk is full.
    fn full(&self) -> bool {
        self.writer.pending() >= CHUNK
    }

    /// Closes the chunk.
    fn commit(&mut self, at: u64) -> std::io::Result<()> {
        let clocks = Clocks {
            boot: BootNanos(at),
            suspended_ns: self.suspended_ns,
            real: RealNanos(BOOTED + at as i64),
        };
        match self.writer.seal(clocks) {
            Some(chunk) => self.out.write_all(&chunk),
            None => Ok(()),
        }
    }
}

fn session() -> Record {
    Record::Session(Session {
        agent: "synthetic".to_owned(),
        device: "Synthetic device".to_owned(),
        kernel: "7.3.0-synthetic".to_owned(),
        machine: "aarch64".to_owned(),
        page_size: 4096,
        boot_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        source: "kfunc".to_owned(),
        hooks: device::hooks(),
        interval_ns: device::INTERVAL,
        edges: true,
        ..Session::default()
    })
}

#[cfg(test)]
mod tests {
    use sleepwalk_trace::read::{Damage, Item, Reader};
    use sleepwalk_trace::record::EDGE_ACTIVE;
    use sleepwalk_trace::snapshot::DeltaDecoder;

    use super::*;

    fn made(size: Size) -> Vec<u8> {
        let name = format!("synth-{}-{}.swk", std::process::id(), size.edges);
        let file = std::env::temp_dir().join(name);
        write(&file, size).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        bytes
    }

    #[test]
    fn it_has_its_size_and_no_contradictions() {
        let size = Size { edges: 20_000, attempts: 50, sources: 60 };
        let bytes = made(size);
        let mut reader = Reader::open(&bytes).unwrap();
        let (mut edges, mut attempts, mut last) = (0, 0, 0);
        let (mut replay, mut held) = (DeltaDecoder::default(), vec![0u64; 60]);
        for item in reader.by_ref() {
            let Item::Record(stamped) = item else { continue };
            assert!(stamped.at.0 >= last, "stamps run forwards");
            last = stamped.at.0;
            match stamped.record {
                Record::Edge(edge) => {
                    edges += 1;
                    let active = edge.flags & EDGE_ACTIVE != 0;
                    let held = &mut held[edge.source as usize];
                    assert_eq!(*held, u64::from(!active), "{edge:?}");
                    *held = u64::from(active);
                }
                Record::Return(_) => attempts += 1,
                Record::WaitEnd(_) => assert_eq!(held.iter().sum::<u64>(), 0),
                Record::Snapshot(snapshot) => {
                    let states = replay.apply(stamped.at, &snapshot).unwrap();
                    for (instance, state) in states {
                        assert_eq!(u64::from(state.active()), held[*instance as usize]);
                    }
                }
                _ => (),
            }
        }
        assert_eq!((edges, attempts), (size.edges, size.attempts));
        assert_eq!(reader.damage(), Damage::default());
        assert!(bytes == made(size), "the same options give the same bytes");
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        for (edges, attempts, sources) in
            [(3, 1, 8), (40, 11, 8), (41, 10, 8), (40, 0, 8), (40, 10, 7)]
        {
            assert!(Size { edges, attempts, sources }.check().is_err(), "{edges} {attempts}");
        }
        SMALL.check().unwrap();
        LARGE.check().unwrap();
    }
}
