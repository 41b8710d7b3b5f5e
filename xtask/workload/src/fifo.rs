//! A wakeup source of a chosen name that is active when it is told to be.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::clock::boot_ns;
use crate::event::{self, Event};
use crate::wake_set::WakeSet;

/// A named pipe: in a [`WakeSet`], it has a wakeup source of the file's name, which is active from
/// the write of a byte until the set settles after the byte was read.
pub struct Fifo {
    path: PathBuf,
    file: File,
}

impl Fifo {
    /// Makes the file and opens both its ends.
    pub fn new(folder: &Path, name: &OsStr) -> Result<Fifo> {
        let path = folder.join(name);
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)
            .with_context(|| format!("FIFO {path:?} cannot be made"))?;
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&path);
        match opened {
            Ok(file) => Ok(Fifo { path, file }),
            Err(error) => {
                // The reason given is the open's, not that of cleaning up after it.
                let _ = fs::remove_file(&path);
                Err(error).with_context(|| format!("FIFO {path:?} cannot be opened"))
            }
        }
    }

    /// Something to read: the source is active.
    pub fn fill(&self) -> Result<()> {
        (&self.file).write_all(b"!").with_context(|| format!("write to {:?}", self.path))
    }

    /// Nothing to read: the source is inactive as soon as its set has settled.
    pub fn drain(&self) -> Result<()> {
        let mut byte = [0];
        (&self.file).read_exact(&mut byte).with_context(|| format!("read of {:?}", self.path))
    }
}

impl AsFd for Fifo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        // The folder goes too, with whatever is left in it.
        let _ = fs::remove_file(&self.path);
    }
}

/// A FIFO in a set of its own: one wakeup source, and what it does is printed.
///
/// Fields drop in this order, so the source dies by its set's end, as with a process that exits.
pub struct Source {
    set: WakeSet,
    fifo: Fifo,
    name: String,
}

impl Source {
    /// Registers the source.
    pub fn new(folder: &Path, name: &OsStr) -> Result<Source> {
        let fifo = Fifo::new(folder, name)?;
        let set = WakeSet::new()?;
        set.add(&fifo)?;
        let name = event::shown(name);
        event::now(Event::Born { source: &name })?;
        Ok(Source { set, fifo, name })
    }

    /// Makes it active.
    pub fn activate(&self) -> Result<()> {
        let t_ns = boot_ns();
        self.fifo.fill()?;
        event::at(t_ns, Event::Activate { source: &self.name })
    }

    /// Makes it inactive.
    pub fn relax(&self) -> Result<()> {
        self.fifo.drain()?;
        self.set.settle()?;
        event::now(Event::Relax { source: &self.name })
    }

    /// Ends it.
    pub fn end(self) -> Result<()> {
        let Source { set, fifo, name } = self;
        drop(set);
        drop(fifo);
        event::now(Event::Dead { source: &name })
    }
}
