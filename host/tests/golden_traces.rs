//! Old traces stay readable, and the reader in Python that was written from the documentation alone
//! reads what ours reads, of sound files and of damaged ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sleepwalk::render::records;
use sleepwalk_trace::chunk::{FILE_HEADER, MIN_REGION, file_header};
use sleepwalk_trace::record::{End, Record, SourceDef, StringDef, Waiters};
use sleepwalk_trace::time::{BootNanos, Clocks};
use sleepwalk_trace::write::ChunkWriter;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The traces in a folder, by name.
fn traces(folder: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = root().join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let files = entries.flatten().map(|entry| entry.path());
    let traces = files.filter(|f| f.extension().is_some_and(|e| e == "swk"));
    let read = |f: PathBuf| {
        let name = f.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, fs::read(&f).expect("a readable trace"))
    };
    traces.map(read).collect()
}

/// The output of `dump`.
fn ours(bytes: &[u8]) -> Vec<Value> {
    let mut out = Vec::new();
    let _ = records::write(bytes, &mut out).expect("a Vec takes everything");
    lines(&out)
}

fn lines(text: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(text).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The output of the documented reader.
fn documented(bytes: &[u8], name: &str) -> Vec<Value> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), bytes).expect("a temporary file");
    let script = root().join("docs/read_trace.py");
    let run = Command::new("python3").arg(&script).arg(file.path()).output();
    let run = run.expect("this test needs python3, in Debian's package of that name");
    let complaint = String::from_utf8_lossy(&run.stderr);
    assert!(!complaint.contains("Traceback"), "{name}: {complaint}");
    lines(&run.stdout)
}

#[track_caller]
fn same(bytes: &[u8], name: &str) {
    let (ours, documented) = (ours(bytes), documented(bytes, name));
    for (n, (our, their)) in ours.iter().zip(&documented).enumerate() {
        assert_eq!(our, their, "{name}, line {n}");
    }
    assert_eq!(ours.len(), documented.len(), "{name}");
}

#[test]
fn golden_traces_say_what_they_said() {
    let goldens = traces("trace/tests/golden");
    assert!(!goldens.is_empty(), "`cargo xtask golden` makes them");
    for (name, bytes) in goldens {
        let mut said = ours(&bytes);
        for line in &mut said {
            // The program's version, and what its file's checksum is.
            if let Some(agent) = line.get_mut("agent") {
                *agent = Value::Null;
            }
        }
        let said = abridged(said.iter().map(|line| format!("{line}\n")).collect());
        let file = root().join(format!("trace/tests/golden/{name}.jsonl"));
        if std::env::var_os("SLEEPWALK_BLESS").is_some() {
            fs::write(&file, said).expect("a golden file");
            continue;
        }
        let golden = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{name}.jsonl: {e}"));
        for (n, (now, then)) in said.lines().zip(golden.lines()).enumerate() {
            assert_eq!(now, then, "{name}, line {n}");
        }
        assert_eq!(said.len(), golden.len(), "{name}");
    }
}

/// A long text by its begin, and a checksum over all of it.
fn abridged(said: Vec<String>) -> String {
    let all = said.concat();
    match said.get(..500) {
        None => all,
        Some(begin) => {
            let crc = sleepwalk_trace::chunk::crc32c(all.as_bytes());
            format!("{}{} lines, CRC32C {crc:08x}\n", begin.concat(), said.len())
        }
    }
}

/// Every trace that the repository holds.
fn all() -> BTreeMap<String, Vec<u8>> {
    let mut all = traces("trace/tests/golden");
    all.extend(traces("trace/fuzz/corpus"));
    all.insert("ring".to_owned(), ring());
    all
}

#[test]
fn the_documentation_is_enough_for_a_reader() {
    for (name, bytes) in all() {
        assert!(ours(&bytes).len() > 10, "{name} says too little to compare");
        same(&bytes, &name);
    }
}

#[test]
fn the_document_reads_damaged_traces() {
    for (name, bytes) in all() {
        let bytes = &bytes[..bytes.len().min(60_000)];
        let third = bytes.len() / 3;
        same(&bytes[..2 * third], &format!("{name}, cut"));
        let mut damaged = bytes.to_vec();
        damaged[third] ^= 0x20;
        same(&damaged, &format!("{name}, a flipped bit"));
        damaged[third..third + 4096.min(third)].fill(0);
        same(&damaged, &format!("{name}, a hole"));
        let mut damaged = bytes.to_vec();
        reseal(&mut damaged);
        same(&damaged, &format!("{name}, bad records"));
    }
}

#[test]
fn the_documentation_has_waiters() {
    let mut writer = ChunkWriter::default();
    for (how, threads) in [("", vec![]), ("wchan,stack", vec![7, 70_000])] {
        let (how, why) = (how.to_owned(), "é".to_owned());
        let waiters = Waiters { how, why, took_ns: 1 << 40, seen: 300, threads };
        writer.push(BootNanos(9), &Record::Waiters(waiters));
    }
    let chunk = writer.seal(Clocks::default()).expect("a chunk");
    let bytes = [&file_header(0)[..], &chunk].concat();
    assert_eq!(ours(&bytes).len(), 3);
    same(&bytes, "waiters");
}

/// A part that was written while the file was copied.
#[test]
fn the_document_reads_a_ring_in_progress() {
    let mut bytes = ring();
    let region = MIN_REGION as usize;
    let (newest, oldest) = (FILE_HEADER + region, FILE_HEADER + 2 * region);
    // The writer is in the second region; in the copy, part of what it has written is in the oldest.
    for from in [200, 1200, 2000] {
        bytes.copy_within(newest + from..newest + region, oldest + from);
        same(&bytes, &format!("from {from} on"));
    }
}

/// Breaks each 97th byte of the payloads, and fixes the checksums, so that records are bad.
fn reseal(file: &mut [u8]) {
    let mut at = FILE_HEADER;
    while let Some(head) = file.get(at..at + 48) {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let end = at + 48 + length;
        if &head[..4] != b"SWCK" || end > file.len() {
            at += 8;
            continue;
        }
        file[at + 48..end].iter_mut().skip(40).step_by(97).for_each(|byte| *byte ^= 0xff);
        let covered = [&file[at + 4..at + 12], &file[at + 16..end]].concat();
        let crc = sleepwalk_trace::chunk::crc32c(&covered);
        file[at + 12..at + 16].copy_from_slice(&crc.to_le_bytes());
        at = end.next_multiple_of(8);
    }
}

/// Three regions whose writer is in the second for the second time; one of the oldest's chunks is
/// damaged.
fn ring() -> Vec<u8> {
    let mut writer = ChunkWriter::default();
    let mut chunk = |n: u64, prologue: bool| {
        if prologue {
            let text = StringDef { id: 1, bytes: b"a\xff".to_vec() };
            writer.push(BootNanos(n), &Record::String(text));
        }
        let source = SourceDef {
            instance: n as u32,
            name: 1,
            name_cut: false,
            id: None,
            address: n,
            name_pointer: u64::MAX,
        };
        writer.push(BootNanos(n + 1), &Record::Source(source));
        writer.push(BootNanos(n), &Record::End(End { reason: "x".repeat(900) }));
        writer.seal(Clocks::default()).expect("a chunk")
    };
    let mut regions = vec![Vec::new(); 3];
    let mut n = 0;
    for turn in 0..5 {
        let region = &mut regions[turn % 3];
        region.clear();
        for place in 0..4 {
            // The writer is not through with the last one.
            if (turn, place) != (4, 3) {
                region.extend(chunk(n, place == 0));
            }
            n += 1;
        }
    }
    let oldest = &mut regions[2];
    let second = oldest.len() / 4 + 60;
    oldest[second] ^= 1;
    let mut file = file_header(MIN_REGION).to_vec();
    for mut region in regions {
        region.resize(MIN_REGION as usize, 0);
        file.extend(region);
    }
    file
}
