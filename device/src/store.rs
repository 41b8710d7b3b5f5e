//! The trace on disk: a file that grows by segments, each allocated and then mapped.
//!
//! The only module that knows memmap2. A store into a mapped hole of a full disk is a SIGBUS, so a
//! segment's blocks are allocated before it is mapped, and the file is cut to length only after the
//! mapping is gone.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use memmap2::{MmapMut, MmapOptions};
use nix::errno::Errno;
use nix::fcntl::posix_fallocate;
use sleepwalk_trace::chunk::{CHUNK_MAGIC, file_header};

/// A segment is at least this long.
const SEGMENT: u64 = 256 << 10;

/// The file under way.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: File,
    page: u64,
    map: Option<MmapMut>,
    /// Where in the file the mapping begins.
    map_at: u64,
    /// Bytes written; the rest of the file is zero.
    length: u64,
}

impl Store {
    /// Creates the file, which must not exist, with its header.
    pub fn create(path: &Path, page: u64) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("{} can't be created", path.display()))?;
        let path = path.to_owned();
        let mut store = Self { path, file, page, map: None, map_at: 0, length: 0 };
        if let Err(error) = store.write(&file_header(0), 0) {
            let _ = std::fs::remove_file(&store.path);
            return Err(error);
        }
        Ok(store)
    }

    /// Bytes written so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends one sealed chunk under the commit rule of [`sleepwalk_trace::chunk`]. On an error
    /// nothing of it is in the file, and what was there before stays whole.
    pub fn append(&mut self, chunk: &[u8]) -> Result<()> {
        if !chunk.starts_with(&CHUNK_MAGIC) {
            bail!("a chunk of {} bytes was not sealed", chunk.len());
        }
        self.write(chunk, CHUNK_MAGIC.len())
    }

    /// Writes `bytes` at the end, the first `commit` of them (0 or 4) last.
    fn write(&mut self, bytes: &[u8], commit: usize) -> Result<()> {
        let start = self.reserve(bytes.len() as u64)?;
        let Some(map) = &mut self.map else { bail!("{} is not mapped", self.path.display()) };
        let to = &mut map[start..start + bytes.len()];
        to[commit..].copy_from_slice(&bytes[commit..]);
        if commit != 0 {
            let magic = u32::from_ne_bytes(CHUNK_MAGIC);
            // SAFETY: four bytes within the mapping, aligned because chunks and mappings are; a
            // reader in another process maps the same page.
            let word = unsafe { AtomicU32::from_ptr(to.as_mut_ptr().cast()) };
            word.store(magic, Ordering::Release);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Sees to it that `more` bytes behind the end are mapped; returns where in the mapping they
    /// begin.
    fn reserve(&mut self, more: u64) -> Result<usize> {
        let mapped = self.map.as_ref().map_or(0, |map| map.len() as u64);
        if self.length + more > self.map_at + mapped {
            // One mapping at a time, so that the resident memory does not grow with the trace.
            self.map = None;
            let at = self.length / self.page * self.page;
            let length = (self.length - at + more).max(SEGMENT).next_multiple_of(self.page);
            allocate(&self.file, at, length).with_context(|| self.path.display().to_string())?;
            let mut options = MmapOptions::new();
            options.offset(at).len(length as usize);
            // SAFETY: the file is ours alone (created anew, mode 0600) and is not cut while mapped;
            // a reader only reads.
            let map = unsafe { options.map_mut(&self.file) };
            self.map =
                Some(map.with_context(|| format!("{} can't be mapped", self.path.display()))?);
            self.map_at = at;
        }
        Ok((self.length - self.map_at) as usize)
    }

    /// Gives up a file in which there is nothing worth keeping.
    pub fn remove(self) {
        // It was created by `self`, and the error that led here is the one to tell.
        let _ = std::fs::remove_file(&self.path);
    }

    /// Cuts the file to what was written and waits until it is on the disk.
    pub fn finish(mut self) -> Result<()> {
        self.map = None;
        let name = || format!("{} can't be finished", self.path.display());
        self.file.set_len(self.length).with_context(name)?;
        self.file.sync_all().with_context(name)
    }
}

/// Allocates blocks for a part of the file.
fn allocate(file: &File, at: u64, length: u64) -> Result<()> {
    loop {
        match posix_fallocate(file.as_fd(), at as i64, length as i64) {
            Ok(()) => return Ok(()),
            // A signal, or the freezer, which some file systems (tmpfs) do not wait out.
            Err(Errno::EINTR) => {}
            Err(error @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG)) => {
                return Err(error)
                    .with_context(|| format!("no room for {length} bytes more: make room there"));
            }
            // Without it, a disk that fills up later would be a SIGBUS.
            Err(error) => {
                return Err(error)
                    .context("this file system can't reserve room: give a file on another");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use sleepwalk_trace::read::{Item, Reader};
    use sleepwalk_trace::record::{Record, Text};
    use sleepwalk_trace::time::{BootNanos, Clocks};
    use sleepwalk_trace::write::ChunkWriter;

    use super::*;

    fn chunk(writer: &mut ChunkWriter, length: usize) -> Vec<u8> {
        let text = Text { id: 1, bytes: vec![b'x'; length] };
        writer.push(BootNanos(1), &Record::Text(text));
        writer.seal(Clocks::default()).unwrap()
    }

    fn records(bytes: &[u8]) -> usize {
        Reader::open(bytes).unwrap().filter(|i| matches!(i, Item::Record(_))).count()
    }

    #[test]
    fn chunks_of_any_size_are_whole_at_any_time_and_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.swk");
        let mut store = Store::create(&path, 4096).unwrap();
        let mut writer = ChunkWriter::default();
        let sizes = [1, 100, 4096, SEGMENT as usize, 3 * SEGMENT as usize, 7, 0];
        for (n, size) in sizes.into_iter().enumerate() {
            store.append(&chunk(&mut writer, size)).unwrap();
            assert_eq!(records(&std::fs::read(&path).unwrap()), n + 1);
        }
        let length = store.length();
        store.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, length);
        let mut reader = Reader::open(&bytes).unwrap();
        assert_eq!(reader.by_ref().filter(|i| matches!(i, Item::Record(_))).count(), sizes.len());
        assert_eq!(reader.damage(), Default::default());
    }

    #[test]
    fn a_trace_is_private_and_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.swk");
        Store::create(&path, 4096).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = format!("{:#}", Store::create(&path, 4096).unwrap_err());
        assert!(error.contains("a.swk can't be created: File exists"), "{error}");
    }
}
