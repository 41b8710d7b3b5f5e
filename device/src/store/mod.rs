//! The trace on disk, within its bounds: chunks go into it whole, and stay readable at every instant.
//!
//! A trace is one region as long as `--max-size` allows, or, as a ring, a row of regions of which the
//! oldest is dropped for a new one; see [`sleepwalk_trace::chunk`].
//!
//! **What a power cut leaves.** The kernel writes pages back in any order: a magic may reach the disk
//! before the rest of its chunk, which the checksum gives away. Two things must not be left to chance.
//! What was written is [synced](Store::sync) by the recorder, seconds later at the latest. And a
//! region that is used again is synced once it is erased, before anything is written to it: else old
//! chunks could stand behind new ones.

mod disk;
mod name;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Result, bail, ensure};
use sleepwalk_trace::chunk::{
    CHUNK_HEADER, CHUNK_MAGIC, FILE_HEADER, MAX_PAYLOAD, file_header, length_by_header,
};

pub use self::disk::{Disk, MappedFile};
pub use self::name::choose;

/// A ring has so many regions, so that at least seven eighths of it are kept.
const REGIONS: u64 = 8;
/// Fewer where they would be shorter than this: every region repeats all sources.
const SHORTEST: u64 = 128 << 10;

/// What is always left for a last chunk that says why the capture ended, and no more.
const CLOSING: u64 = 1024;

/// What happens when the trace is as long as it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// The capture ends.
    Stop,
    /// The oldest is dropped.
    Ring,
}

/// How long a trace may be, and what comes then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The file's length never exceeds it, in bytes; at least
    /// [`LEAST_SIZE`](sleepwalk_trace::chunk::LEAST_SIZE).
    pub max_size: u64,
    /// What comes then.
    pub on_full: OnFull,
}

impl Bounds {
    /// Length of a region; 0 where there is one only.
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

/// Why no more can be recorded.
#[derive(Debug)]
pub enum Full {
    /// The trace is as long as it may be.
    Size,
    /// The disk has no room.
    Disk(anyhow::Error),
}

/// The file under way.
#[derive(Debug)]
pub struct Store<D = MappedFile> {
    disk: D,
    /// Length of a region; 0 where there is one only.
    region: u64,
    /// The file never gets longer.
    limit: u64,
    /// Where the region under way begins.
    start: u64,
    /// Where it ends.
    end: u64,
    /// Where the next chunk goes.
    at: u64,
    /// Behind the last chunk of the file.
    used: u64,
    /// Bytes written in all.
    written: u64,
    /// Something was written since it was synced last.
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

    /// Gives up a file in which there is nothing worth keeping.
    pub fn remove(self) {
        self.disk.remove();
    }

    /// Waits until the file's name is on the disk, and all that it has so far.
    pub fn sync_all(&mut self) -> Result<()> {
        self.disk.sync_name();
        self.sync()
    }

    /// Cuts the file to what was written and waits until it is on the disk.
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

    /// Bytes written so far, those included that were dropped.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether something was written since the last [`Store::sync`].
    pub fn dirty(&self) -> bool {
        self.dirty
    }

    /// Why no more can be recorded, once that is so: there is room for the end still.
    pub fn full(&mut self) -> Option<Full> {
        self.full.take()
    }

    /// Whether there is a reason to stop, see [`Store::full`].
    pub fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// Chunks had better not be longer.
    pub fn chunk(&self) -> usize {
        const LONGEST: u64 = 64 << 10;
        ((self.end - self.start) / 8).min(LONGEST) as usize
    }

    /// Whether a chunk of `length` bytes goes into the region under way.
    pub fn fits(&self, length: usize) -> bool {
        self.at + length as u64 + CLOSING <= self.end
    }

    /// Drops the oldest region and begins a new one there, in which `length` bytes find room. On an
    /// error the region under way goes on.
    pub fn next_region(&mut self, length: usize) -> Result<()> {
        let needed = length as u64 + CLOSING;
        ensure!(
            needed <= self.region,
            "the trace is too small for what has to stand in each of its regions: {needed} bytes of \
             {}; give a larger --max-size",
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

    /// Erases a region so that a reader sees it whole, then shorter and shorter, then not at all.
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

    /// Sees to it that a chunk of `length` bytes can be appended, on which `keep` bytes must be able
    /// to follow; `None` if it is the last. Where there is room for the chunk, but not for more than a
    /// word on the end behind it, the trace is [full](Store::full).
    pub fn make_room(&mut self, length: usize, keep: Option<u64>) -> Result<()> {
        let least = self.at + length as u64 + keep.map_or(0, |_| CLOSING);
        let wanted = least + keep.unwrap_or(0);
        ensure!(
            least <= self.end,
            "the trace has no room for {length} bytes more: give a larger --max-size"
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

    /// Appends one sealed chunk, for which there is room, under the commit rule of
    /// [`sleepwalk_trace::chunk`]. On an error nothing of it is in the file, and what was there before
    /// stays whole.
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

    /// Waits until all that was written is on the disk, if anything was.
    ///
    /// It costs a write of the pages that changed, mostly one or two, and of the file system's
    /// journal: 20 KiB or so, and some ms in which events wait in the probe's ring.
    pub fn sync(&mut self) -> Result<()> {
        if self.dirty {
            self.disk.sync()?;
            self.dirty = false;
        }
        Ok(())
    }
}
