//! A file of the kernel's that is set for a while.

use std::fs;

use anyhow::{Context as _, Result};

/// Goes back to what it was when this is dropped.
pub struct Setting {
    path: &'static str,
    back: &'static str,
}

impl Setting {
    /// Sets it; `back` is what it gets afterwards.
    pub fn put(path: &'static str, value: &str, back: &'static str) -> Result<Setting> {
        write(path, value)?;
        Ok(Setting { path, back })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if let Err(error) = write(self.path, self.back) {
            crate::event::complain(format_args!("{error:#}"));
        }
    }
}

fn write(path: &str, value: &str) -> Result<()> {
    fs::write(path, value).with_context(|| format!("`{value}` into {path}"))
}
