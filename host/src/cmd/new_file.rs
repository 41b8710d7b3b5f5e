//! A file that appears complete or not at all.
//!
//! It is created before the work begins, so that hours of recording do not end at a folder without
//! write permission, and it gets its name once it is complete.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tempfile::NamedTempFile;

use crate::fix::Fixable;

/// A file that is being written.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    part: NamedTempFile,
    force: bool,
}

impl NewFile {
    /// Creates the file under a temporary name. With `force` it replaces a file that exists.
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        let shown = path.display();
        let existing = path.metadata().ok();
        if path.is_dir() {
            bail!(Fixable::new(format!("{shown} is a folder"), "name a file in it with -o"));
        }
        if !force && path.symlink_metadata().is_ok() {
            bail!(Fixable::new(
                format!("{shown} exists already"),
                "name another file with -o, or replace it with --force",
            ));
        }
        if existing.as_ref().is_some_and(|file| !file.is_file()) {
            bail!(Fixable::new(
                format!("{shown} is not a regular file"),
                "name another file with -o",
            ));
        }
        // A symbolic link stays, and the file that it points to is replaced.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.exists() {
            bail!(Fixable::new(
                format!("{shown}: there is no folder {}", folder.display()),
                "create it, or name another file with -o",
            ));
        }
        let part = temporary(folder).with_context(|| format!("{shown} cannot be written"))?;
        if let Some(existing) = existing {
            // Who may read the file stays as it was, where this user may set it.
            let _ = part.as_file().set_permissions(existing.permissions());
        }
        Ok(Self { path: target, part, force })
    }

    /// The temporary name.
    pub fn part(&self) -> &Path {
        self.part.path()
    }

    /// The file, to write to.
    pub fn file(&mut self) -> &mut File {
        self.part.as_file_mut()
    }

    /// The name that the file will have.
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

/// An empty file in `folder`, with the permissions of any new file there.
fn temporary(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".sleepwalk-").suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}
