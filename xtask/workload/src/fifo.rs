//! A wakeup source of a chosen name that is active on command.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::builder::{OsStringValueParser, TypedValueParser};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, pipe2};

use crate::clock::boot_ns;
use crate::event::{self, Event};
use crate::wake_set::WakeSet;

/// The longest name of a file, in bytes (NAME_MAX).
const NAME_MAX: usize = 255;
/// `sources` appends at most `_999999` to its prefix.
const LONGEST_SUFFIX: usize = 7;

/// Reads a name on the command line. A wakeup source made here has a file's name, so it can be
/// whatever a file can be called; an empty one is for a pipe.
pub fn name_parser() -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new().try_map(|name| file_name(name, 0))
}

/// Reads the start of such names.
pub fn prefix_parser() -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new().try_map(|name| file_name(name, LONGEST_SUFFIX))
}

fn file_name(name: OsString, suffix: usize) -> Result<OsString, String> {
    let bytes = name.as_bytes();
    if suffix == 0 && matches!(bytes, b"." | b"..") || bytes.contains(&b'/') {
        return Err(format!(
            "{name:?} is no name for a file: leave out `/`, and don't call it `.`"
        ));
    }
    match bytes.len() + suffix {
        length if length > NAME_MAX => {
            Err(format!("{name:?} makes {length} bytes: {NAME_MAX} is the most"))
        }
        _ => Ok(name),
    }
}

/// A named pipe: in a [`WakeSet`], it has a wakeup source of the file's name, which is active from
/// the write of a byte until the set settles after the byte was read.
pub struct Fifo {
    /// None for a pipe.
    path: Option<PathBuf>,
    file: File,
}

impl Fifo {
    /// Makes the file and opens both its ends. Where `name` is empty it is a pipe, for which the kernel
    /// knows no other name.
    pub fn new(folder: &Path, name: &OsStr) -> Result<Fifo> {
        if name.is_empty() {
            return Fifo::nameless();
        }
        let path = folder.join(name);
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)
            .with_context(|| format!("FIFO {path:?} cannot be made"))?;
        match open(&path) {
            Ok(file) => Ok(Fifo { path: Some(path), file }),
            Err(error) => {
                // The reason given is the open's, not that of cleaning up after it.
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    fn nameless() -> Result<Fifo> {
        let (end, _other) = pipe2(OFlag::O_CLOEXEC).context("a pipe cannot be made")?;
        // One file for both ends, as with a FIFO.
        let file = open(Path::new(&format!("/proc/self/fd/{}", end.as_raw_fd())))?;
        Ok(Fifo { path: None, file })
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
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

/// Both ends in one.
fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits());
    options.open(path).with_context(|| format!("FIFO {path:?} cannot be opened"))
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
