//! How fast a trace is decoded, for `cargo xtask bench host`: one JSON object with the best of some
//! passes over the file's bytes in memory, in nanoseconds.

use std::process::ExitCode;
use std::time::Instant;

use sleepwalk_trace::chunk::crc32c;
use sleepwalk_trace::read::{Item, Reader};
use sleepwalk_trace::record::{Record, Stamped};

const PASSES: u32 = 5;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: decode TRACE");
        return ExitCode::from(2);
    };
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("decode: {}: {error}", path.to_string_lossy());
            return ExitCode::FAILURE;
        }
    };
    let edges = count(&bytes);
    if edges == 0 {
        eprintln!("decode: {}: no edge can be read from it", path.to_string_lossy());
        return ExitCode::FAILURE;
    }
    println!(
        "{{\"edges\":{edges},\"bytes\":{},\"decode_ns\":{},\"crc_ns\":{},\"sum_ns\":{}}}",
        bytes.len(),
        best(|| count(&bytes)),
        best(|| u64::from(crc32c(&bytes))),
        best(|| sum(&bytes)),
    );
    ExitCode::SUCCESS
}

/// The shortest of some runs; the others were disturbed.
fn best(mut pass: impl FnMut() -> u64) -> u128 {
    let mut best = u128::MAX;
    for _ in 0..PASSES {
        let start = Instant::now();
        std::hint::black_box(pass());
        best = best.min(start.elapsed().as_nanos());
    }
    best
}

/// Decodes everything and looks at each edge.
fn count(bytes: &[u8]) -> u64 {
    let Ok(reader) = Reader::open(bytes) else { return 0 };
    let mut edges = 0;
    for item in reader {
        if let Item::Record(Stamped { at, record: Record::Edge(edge) }) = &item {
            std::hint::black_box((at, edge));
            edges += 1;
        }
    }
    edges
}

/// A plain read of the memory.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
    words.fold(0, u64::wrapping_add)
}
