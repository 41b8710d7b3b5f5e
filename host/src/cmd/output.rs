//! The file that a trace is brought to. It is begun before the capture, so that hours of capture do
//! not end at a folder that can't be written to, and it has its name only once it is whole.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tempfile::NamedTempFile;

/// A file under way.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    part: NamedTempFile,
    force: bool,
}

impl Output {
    /// Begins the file; unless `force`, there must be none of its name.
    pub fn begin(path: &Path, force: bool) -> Result<Self> {
        if path.is_dir() {
            bail!("{} is a folder: name a file in it with -o", path.display());
        }
        if !force && path.symlink_metadata().is_ok() {
            bail!("{} exists already: name another with -o, or say --force", path.display());
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.exists() {
            bail!("there is no folder {}: make it, or name another file with -o", folder.display());
        }
        let part =
            tempfile::Builder::new().prefix(".sleepwalk-").suffix(".part").tempfile_in(folder);
        let part = part.with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self { path: path.to_owned(), part, force })
    }

    /// Where the bytes go meanwhile.
    pub fn part(&self) -> &Path {
        self.part.path()
    }

    /// What the file will be called.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<PathBuf> {
        let Self { path, part, force } = self;
        let named = if force { part.persist(&path) } else { part.persist_noclobber(&path) };
        named.with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(path)
    }
}
