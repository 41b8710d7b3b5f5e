//! The folder that the FIFOs live in, gone when the program ends.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::event;

/// A folder of our own in the current one.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes it.
    pub fn new() -> Result<Scratch> {
        Scratch::under(&std::env::current_dir().context("the current folder")?)
    }

    fn under(parent: &Path) -> Result<Scratch> {
        let path = parent.join(format!("sleepwalk-workload.{}", std::process::id()));
        fs::create_dir(&path).with_context(|| {
            format!("folder {path:?} cannot be made: run this where FIFOs can be, as in /tmp")
        })?;
        Ok(Scratch { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            event::complain(format_args!("{:?} stays behind: {error}", self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_everything_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::under(parent.path()).unwrap();
        fs::write(scratch.path().join("left"), "behind").unwrap();
        drop(scratch);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
