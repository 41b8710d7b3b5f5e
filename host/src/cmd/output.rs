//! Where a command writes its result.

use std::fs::File;
use std::io::{self, IsTerminal as _, StdoutLock, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::look::look;
use super::new_file::NewFile;
use crate::fix::Fixable;
use crate::interrupt;
use crate::render::terminal::Look;

/// `-o FILE` and `--force`.
#[derive(clap::Args, Debug)]
pub struct OutputArgs {
    /// File to write; `-` is standard output [default: -]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(long, requires = "output")]
    force: bool,
}

impl OutputArgs {
    /// The file; `None` for standard output.
    fn file(&self) -> Option<&Path> {
        // By its own name standard output is not opened a second time, and `>>` keeps its meaning.
        let stdout = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
        let path = self.output.as_deref()?;
        (!stdout.iter().any(|name| path == Path::new(name))).then_some(path)
    }

    /// Whether the output goes to a terminal.
    pub fn is_terminal(&self) -> bool {
        self.file().is_none() && io::stdout().is_terminal()
    }

    /// The look of a page in the output.
    pub fn look(&self) -> Look {
        look(self.file())
    }

    /// Opens the output of a command that reads `inputs`. It must not overwrite one of them.
    pub fn open<'a>(&self, inputs: impl IntoIterator<Item = &'a PathBuf>) -> Result<Sink> {
        let Some(path) = self.file() else {
            return Ok(Sink {
                name: "standard output".to_owned(),
                to: To::Stdout(io::stdout().lock()),
            });
        };
        let name = path.display().to_string();
        let real = path.canonicalize().ok();
        if real.is_some() && inputs.into_iter().any(|input| input.canonicalize().ok() == real) {
            bail!(Fixable::new(
                format!("{name} is one of the files that this command reads"),
                "name another file with -o",
            ));
        }
        let to = if is_special(path) {
            To::Special(File::create(path).with_context(|| name.clone())?)
        } else {
            let file = NewFile::create(path, self.force)?;
            interrupt::remove_on_exit(file.part())?;
            To::New(file)
        };
        Ok(Sink { name, to })
    }
}

/// Whether `path` is written to in place: a device, a pipe, or an open file such as `/dev/stderr`.
fn is_special(path: &Path) -> bool {
    let Ok(found) = path.metadata() else { return false };
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok()).unwrap_or_default();
    let is_open_file = folder == Path::new("/dev") || folder.starts_with("/proc");
    is_open_file || !(found.is_file() || found.is_dir())
}

/// An output that was opened. A file gets its name when it is [finished](Sink::finish).
pub struct Sink {
    name: String,
    to: To,
}

enum To {
    Stdout(StdoutLock<'static>),
    Special(File),
    New(NewFile),
}

impl Sink {
    /// The output's name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes all of the result.
    pub fn write_text(mut self, text: &str) -> Result<()> {
        self.write_all(text.as_bytes()).with_context(|| self.name.clone())?;
        self.finish()
    }

    /// Completes the output.
    pub fn finish(mut self) -> Result<()> {
        self.flush().with_context(|| self.name.clone())?;
        match self.to {
            To::Stdout(_) | To::Special(_) => Ok(()),
            To::New(file) => file.finish().map(drop),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.to {
            To::Stdout(out) => out,
            To::Special(file) => file,
            To::New(file) => file.file(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }
}
