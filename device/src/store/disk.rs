//! A file that is allocated before it is mapped, and mapped before it is written.
//!
//! This is the only module that knows memmap2. A store into a mapped hole of a full disk raises
//! SIGBUS. So blocks are allocated first, and the file is truncated only after the mapping is gone.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use memmap2::{MmapMut, MmapOptions};
use nix::errno::Errno;
use nix::fcntl::posix_fallocate;
use sleepwalk_trace::chunk::CHUNK_MAGIC;

/// The amount that is allocated and mapped at once. There is one mapping at a time, so the resident
/// memory does not grow with the trace.
const SEGMENT: u64 = 256 << 10;

/// Zeroes are written in pieces of this length.
const PIECE: usize = 64 << 10;

/// The medium of a trace. Every offset is from the start of the file.
pub trait Disk {
    /// Makes sure that everything before `end` has blocks. They are zero until they are written.
    /// After an error there are as many as before.
    fn reserve(&mut self, end: u64) -> Result<()>;
    /// Writes to existing blocks.
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()>;
    /// Writes a chunk's magic, after everything before it.
    fn commit(&mut self, at: u64) -> Result<()>;
    /// Overwrites with zeroes.
    fn erase(&mut self, at: u64, length: u64) -> Result<()>;
    /// Reads written bytes, or zeroes.
    fn read(&self, at: u64, into: &mut [u8]) -> Result<()>;
    /// Waits until everything is on the disk.
    fn sync(&mut self) -> Result<()>;
}

/// [`Disk`] in a file.
#[derive(Debug)]
pub struct MappedFile {
    path: PathBuf,
    file: File,
    page: u64,
    /// The file never gets longer.
    limit: u64,
    reserved: u64,
    map: Option<MmapMut>,
    /// Start of the mapping in the file.
    map_at: u64,
}

impl MappedFile {
    /// Creates the file, which must not exist.
    pub fn create(path: &Path, page: u64, limit: u64) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => anyhow!("it exists already: choose another name"),
                _ => error.into(),
            })
            .with_context(|| format!("{} cannot be created", path.display()))?;
        Ok(Self { path: path.to_owned(), file, page, limit, reserved: 0, map: None, map_at: 0 })
    }

    /// Removes the file.
    pub fn remove(self) {
        // `self` created the file. The caller reports the error that led here, not this one.
        let _ = std::fs::remove_file(&self.path);
    }

    /// Truncates the file to `length`, and waits until it is on the disk.
    pub fn finish(mut self, length: u64) -> Result<()> {
        self.map = None;
        let name = || format!("{} cannot be finished", self.path.display());
        self.file.set_len(length).with_context(name)?;
        self.file.sync_all().with_context(name)
    }

    /// Waits until the file's name is on the disk too.
    pub fn sync_name(&self) {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let opened = File::open(folder.unwrap_or(Path::new(".")));
        // Some file systems cannot sync a folder, and don't need to.
        if let Err(error) = opened.and_then(|folder| folder.sync_all()) {
            log::debug!("the folder of {} cannot be synced: {error}", self.path.display());
        }
    }

    /// The bytes from `at` on, mapped first if necessary.
    fn mapped(&mut self, at: u64, length: usize) -> Result<&mut [u8]> {
        let end = at + length as u64;
        if end > self.reserved {
            bail!("{} has no blocks up to byte {end}", self.path.display());
        }
        let there = self.map.as_ref().map_or(0, |map| map.len() as u64);
        if at < self.map_at || end > self.map_at + there {
            self.map = None;
            let from = at / self.page * self.page;
            let to = end.max(from + SEGMENT).min(self.reserved);
            let mut options = MmapOptions::new();
            options.offset(from).len((to - from) as usize);
            // SAFETY: only this process writes the file (it is new, with mode 0600), and it is not
            // truncated while mapped.
            let map = unsafe { options.map_mut(&self.file) };
            self.map =
                Some(map.with_context(|| format!("{} cannot be mapped", self.path.display()))?);
            self.map_at = from;
        }
        let Some(map) = &mut self.map else { bail!("{} is not mapped", self.path.display()) };
        let start = (at - self.map_at) as usize;
        Ok(&mut map[start..start + length])
    }
}

impl Disk for MappedFile {
    fn reserve(&mut self, end: u64) -> Result<()> {
        if end <= self.reserved {
            return Ok(());
        }
        let ahead = end.max(self.reserved + SEGMENT).min(self.limit.max(end));
        let name = || self.path.display().to_string();
        // On a nearly full disk, the rest is still useful.
        let got = match allocate(&self.file, self.reserved, ahead) {
            Err(_) if ahead > end => {
                allocate(&self.file, self.reserved, end).with_context(name)?;
                end
            }
            other => {
                other.with_context(name)?;
                ahead
            }
        };
        self.reserved = got;
        Ok(())
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        self.mapped(at, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    fn commit(&mut self, at: u64) -> Result<()> {
        let to = self.mapped(at, CHUNK_MAGIC.len())?;
        // SAFETY: four bytes within the mapping, aligned because chunks and mappings are. A reader
        // in another process may map the same page.
        let word = unsafe { AtomicU32::from_ptr(to.as_mut_ptr().cast()) };
        word.store(u32::from_ne_bytes(CHUNK_MAGIC), Ordering::Release);
        Ok(())
    }

    // Not through the mapping, because a region is much longer. Both use the same page cache.
    fn erase(&mut self, at: u64, length: u64) -> Result<()> {
        let zeroes = [0; PIECE];
        let mut at = at;
        let end = at + length;
        while at < end {
            let piece = PIECE.min((end - at) as usize);
            let written = self.file.write_all_at(&zeroes[..piece], at);
            written.with_context(|| format!("{} cannot be written", self.path.display()))?;
            at += piece as u64;
        }
        Ok(())
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<()> {
        let read = self.file.read_exact_at(into, at);
        read.with_context(|| format!("{} cannot be read", self.path.display()))
    }

    fn sync(&mut self) -> Result<()> {
        // This includes the stores into the mapping, and the file's length.
        let synced = self.file.sync_data();
        synced.with_context(|| format!("{} cannot be written to the disk", self.path.display()))
    }
}

/// Allocates the blocks from `at` to `end`.
fn allocate(file: &File, at: u64, end: u64) -> Result<()> {
    loop {
        match posix_fallocate(file.as_fd(), at as i64, (end - at) as i64) {
            Ok(()) => return Ok(()),
            // A signal or the freezer; some file systems (tmpfs) return early for them.
            Err(Errno::EINTR) => {}
            Err(error @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG)) => {
                return Err(error).with_context(|| {
                    format!("no room for {} more bytes: free some space there", end - at)
                });
            }
            // Without reserved blocks, a disk that fills up later would raise SIGBUS.
            Err(error) => {
                return Err(error)
                    .context("this file system cannot reserve room: give a file on another");
            }
        }
    }
}
