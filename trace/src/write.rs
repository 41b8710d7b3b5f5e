//! Records → chunks.

use bincode::enc::Encode;

use crate::chunk::{self, CHUNK_HEADER, ChunkHeader};
use crate::record::{Record, Stamped};
use crate::time::{BootNanos, Clocks};

/// Collects records into one chunk after another.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk: Vec<u8>,
    scratch: Vec<u8>,
    base: BootNanos,
    last: BootNanos,
    sequence: u32,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self {
            chunk: vec![0; CHUNK_HEADER],
            scratch: Vec::new(),
            base: BootNanos(0),
            last: BootNanos(0),
            sequence: 0,
        }
    }
}

impl ChunkWriter {
    /// Bytes of payload collected since the last [`ChunkWriter::seal`].
    pub fn pending(&self) -> usize {
        self.chunk.len() - CHUNK_HEADER
    }

    /// Appends one record.
    pub fn push(&mut self, at: BootNanos, record: &Record) {
        if self.pending() == 0 {
            self.base = at;
            self.last = at;
        }
        self.scratch.clear();
        self.scratch.push(record.kind());
        put(&mut self.scratch, &(at.0.wrapping_sub(self.last.0) as i64));
        match record {
            Record::Session(body) => put(&mut self.scratch, body),
            Record::String(body) => put(&mut self.scratch, body),
            Record::Source(body) => put(&mut self.scratch, body),
            Record::Snapshot(body) => put(&mut self.scratch, body),
            Record::Phase(body) => put(&mut self.scratch, body),
            Record::Return(body) => put(&mut self.scratch, body),
            Record::Lost(body) => put(&mut self.scratch, body),
            Record::Overhead(body) => put(&mut self.scratch, body),
            Record::End(body) => put(&mut self.scratch, body),
            Record::Edge(body) => put(&mut self.scratch, body),
            Record::WaitBegin(body) => put(&mut self.scratch, body),
            Record::WaitEnd(body) => put(&mut self.scratch, body),
            Record::CountWrite(body) => put(&mut self.scratch, body),
            Record::Irq(body) => put(&mut self.scratch, body),
            Record::Wake(body) => put(&mut self.scratch, body),
            Record::PowerSupply(body) => put(&mut self.scratch, body),
            Record::SuspendStats(body) => put(&mut self.scratch, body),
            Record::Waiters(body) => put(&mut self.scratch, body),
            Record::WakeReason(body) => put(&mut self.scratch, body),
            Record::HookRuns(body) => put(&mut self.scratch, body),
            Record::Note(body) => put(&mut self.scratch, body),
            Record::Activator(body) => put(&mut self.scratch, body),
            Record::ActivatedBy(body) => put(&mut self.scratch, body),
            Record::SourceDevice(body) => put(&mut self.scratch, body),
            Record::EpollWaiter(body) => put(&mut self.scratch, body),
            Record::ServiceDump(body) => put(&mut self.scratch, body),
        }
        put(&mut self.chunk, &(self.scratch.len() as u32));
        self.chunk.extend_from_slice(&self.scratch);
        self.last = at;
    }

    /// Appends one record with its stamp.
    pub fn push_stamped(&mut self, stamped: &Stamped) {
        self.push(stamped.at, &stamped.record);
    }

    /// Drops the records since the last [`ChunkWriter::seal`].
    pub fn discard(&mut self) {
        self.chunk.truncate(CHUNK_HEADER);
    }

    /// Closes `earlier` as the chunk before the current one, which gets the next sequence number.
    pub fn seal_before(&mut self, mut earlier: Self, clocks: Clocks) -> Option<Vec<u8>> {
        earlier.sequence = self.sequence;
        let chunk = earlier.seal(clocks);
        self.sequence = earlier.sequence;
        chunk
    }

    /// Closes the chunk and returns its bytes with header and padding. The next record starts a new
    /// chunk. `None` if there is nothing to write.
    pub fn seal(&mut self, clocks: Clocks) -> Option<Vec<u8>> {
        if self.pending() == 0 {
            return None;
        }
        let header = ChunkHeader { sequence: self.sequence, base: self.base, clocks };
        chunk::seal(&mut self.chunk, &header);
        self.sequence = self.sequence.wrapping_add(1);
        Some(std::mem::replace(&mut self.chunk, vec![0; CHUNK_HEADER]))
    }
}

/// Encoding into a `Vec` only fails for types that refuse to be encoded; none of ours does.
fn put(out: &mut Vec<u8>, value: &impl Encode) {
    struct Sink<'a>(&'a mut Vec<u8>);
    impl bincode::enc::write::Writer for Sink<'_> {
        fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }
    let encoded = bincode::encode_into_writer(value, Sink(out), bincode::config::standard());
    debug_assert!(encoded.is_ok(), "a record refused to be encoded: {encoded:?}");
}
