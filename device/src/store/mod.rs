//! The trace on disk, within its size limit: chunks are written whole, and stay readable at every
//! instant.
//!
//! A trace is one region of `--max-size`, or a ring of regions of which the oldest is dropped for a
//! new one; see [`sleepwalk_trace::chunk`].
//!
//! **Power cuts.** The kernel writes pages back in any order. A magic may reach the disk before the
//! rest of its chunk; the checksum reveals that. Two syncs limit the loss. The recorder
//! [syncs](Store::sync) everything within seconds. And a region that is used again is synced after
//! it was erased and before it is written: otherwise old chunks could follow new ones.

mod disk;
mod name;
pub mod sigbus;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Result, bail, ensure};
use sleepwalk_trace::chunk::{
    CHUNK_HEADER, CHUNK_MAGIC, FILE_HEADER, MAX_PAYLOAD, file_header, length_by_header,
};

pub use self::disk::{Disk, MappedFile};
pub use self::name::choose;

/// A ring has this many regions, so it keeps at least seven eighths of its records.
const REGIONS: u64 = 8;
/// It has fewer if they would be shorter than this, because every region repeats all sources.
const SHORTEST: u64 = 128 << 10;

/// Room for a last chunk with nothing but the reason for the end.
const CLOSING: u64 = 1024;

/// The choice for a trace that reaches its size limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// The capture ends.
    Stop,
    /// The oldest records are dropped.
    Ring,
}

/// The size limit of a trace, and the choice for a trace that reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The file is never longer, in bytes; at least
    /// [`LEAST_SIZE`](sleepwalk_trace::chunk::LEAST_SIZE).
    pub max_size: u64,
    /// The choice at the limit.
    pub on_full: OnFull,
}

impl Bounds {
    /// Length of a region; 0 if there is only one.
    fn region(self) -> u64 {
        match self.on_full {
            OnFull::Stop => 0,
            OnFull::Ring => {
                let count = (self.max_size / SHORTEST).clamp(2, REGIONS);
                (self.max_size - FILE_HEADER as u64) / count / 8 * 8
            }
        }
    }
}

/// The reason why no more can be recorded.
#[derive(Debug)]
pub enum Full {
    /// The trace has reached its size limit.
    Size,
    /// The disk has no room.
    Disk(anyhow::Error),
}

/// The file of a running capture.
#[derive(Debug)]
pub struct Store<D = MappedFile> {
    disk: D,
    /// Length of a region; 0 if there is only one.
    region: u64,
    /// The file is never longer.
    limit: u64,
    /// Start of the current region.
    start: u64,
    /// End of the current region.
    end: u64,
    /// Place of the next chunk.
    at: u64,
    /// End of the last chunk of the file.
    used: u64,
    /// Bytes written in total.
    written: u64,
    /// Something was written since the last sync.
    dirty: bool,
    full: Option<Full>,
}

impl Store {
    /// Creates the file, which must not exist, with its header.
    pub fn create(path: &Path, page: u64, bounds: Bounds) -> Result<Self> {
        let disk = MappedFile::create(path, page, bounds.max_size)?;
        let mut store = Self::new(disk, bounds.region(), bounds.max_size);
        match store.open() {
            Ok(()) => Ok(store),
            Err(error) => {
                store.disk.remove();
                Err(error)
            }
        }
    }

    /// Removes a file that has nothing worth keeping.
    pub fn remove(self) {
        self.disk.remove();
    }

    /// Waits until the file's name and its data so far are on the disk.
    pub fn sync_all(&mut self) -> Result<()> {
        self.disk.sync_name();
        self.sync()
    }

    /// Truncates the file to the written part, and waits until it is on the disk.
    pub fn finish(self) -> Result<()> {
        self.disk.finish(self.used)
    }
}

impl<D: Disk> Store<D> {
    fn new(disk: D, region: u64, limit: u64) -> Self {
        let start = FILE_HEADER as u64;
        let (limit, end) = match region {
            0 => (limit / 8 * 8, limit / 8 * 8),
            _ => (start + (limit - start) / region * region, start + region),
        };
        let (written, full) = (start, None);
        Self { disk, region, limit, start, end, at: start, used: start, written, dirty: true, full }
    }

    /// Writes the file's header.
    fn open(&mut self) -> Result<()> {
        self.disk.reserve(self.start + CLOSING)?;
        self.disk.write(0, &file_header(self.region))
    }

    /// Bytes written so far, including dropped ones.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether something was written since the last [`Store::sync`].
    pub fn dirty(&self) -> bool {
        self.dirty
    }

    /// The reason why no more can be recorded, once there is one. The end of the trace still fits.
    pub fn full(&mut self) -> Option<Full> {
        self.full.take()
    }

    /// Whether [`Store::full`] has a reason.
    pub fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// The preferred maximum length of a chunk.
    pub fn chunk(&self) -> usize {
        const LONGEST: u64 = 64 << 10;
        ((self.end - self.start) / 8).min(LONGEST) as usize
    }

    /// Whether a chunk of `length` bytes fits into the current region.
    pub fn fits(&self, length: usize) -> bool {
        self.at + length as u64 + CLOSING <= self.end
    }

    /// Drops the oldest region and starts a new one there, which has room for `length` bytes. After
    /// an error the current region stays in use.
    pub fn next_region(&mut self, length: usize) -> Result<()> {
        let needed = length as u64 + CLOSING;
        ensure!(
            needed <= self.region,
            "the trace is too small: each of its regions needs {needed} bytes, and has {}; give a larger \
             --max-size",
            self.region
        );
        let next = if self.end < self.limit { self.end } else { FILE_HEADER as u64 };
        self.disk.reserve(next + needed)?;
        if next < self.used {
            self.drop_region(next)?;
        }
        (self.start, self.end, self.at) = (next, next + self.region, next);
        Ok(())
    }

    /// Erases a region from its end: a reader sees the whole region, then a shorter and shorter
    /// one, then none.
    fn drop_region(&mut self, start: u64) -> Result<()> {
        let end = (start + self.region).min(self.used);
        let mut chunks = Vec::new();
        let mut at = start;
        while at + CHUNK_HEADER as u64 <= end {
            let mut header = [0; CHUNK_HEADER];
            self.disk.read(at, &mut header)?;
            let Some(length) = length_by_header(&header) else { break };
            chunks.push(at);
            at += length as u64;
        }
        for at in chunks.into_iter().rev() {
            self.disk.erase(at, CHUNK_MAGIC.len() as u64)?;
        }
        self.disk.erase(start, end - start)?;
        self.disk.sync()?;
        self.dirty = false;
        Ok(())
    }

    /// Makes sure that a chunk of `length` bytes can be appended, and `keep` bytes after it; `None`
    /// if it is the last. If only the chunk and the end of the trace fit, the trace is
    /// [full](Store::full).
    pub fn make_room(&mut self, length: usize, keep: Option<u64>) -> Result<()> {
        let least = self.at + length as u64 + keep.map_or(0, |_| CLOSING);
        let wanted = least + keep.unwrap_or(0);
        ensure!(
            least <= self.end,
            "the trace has no room for {length} more bytes: give a larger --max-size"
        );
        if let Err(error) = self.disk.reserve(wanted.min(self.limit)) {
            if self.disk.reserve(least).is_err() {
                return Err(error);
            }
            self.full = Some(Full::Disk(error));
        } else if self.region == 0 && wanted > self.limit {
            self.full = Some(Full::Size);
        }
        Ok(())
    }

    /// Appends one sealed chunk that fits, under the commit rule of [`sleepwalk_trace::chunk`].
    /// After an error no part of it is in the file, and the chunks before it stay whole.
    pub fn append(&mut self, chunk: &[u8]) -> Result<()> {
        if !chunk.starts_with(&CHUNK_MAGIC) || chunk.len() > CHUNK_HEADER + MAX_PAYLOAD {
            bail!("a chunk of {} bytes was not sealed", chunk.len());
        }
        let behind = self.at + chunk.len() as u64;
        ensure!(behind <= self.end, "a chunk of {} bytes has no room", chunk.len());
        let rest = &chunk[CHUNK_MAGIC.len()..];
        self.disk.write(self.at + CHUNK_MAGIC.len() as u64, rest)?;
        self.disk.commit(self.at)?;
        self.at = behind;
        self.used = self.used.max(behind);
        self.written += chunk.len() as u64;
        self.dirty = true;
        Ok(())
    }

    /// Waits until everything that was written is on the disk.
    ///
    /// This writes the changed pages, usually one or two, and the file system's journal: about 20
    /// KiB. It takes a few ms, during which events wait in the probe's ring.
    pub fn sync(&mut self) -> Result<()> {
        if self.dirty {
            self.disk.sync()?;
            self.dirty = false;
        }
        Ok(())
    }
}
