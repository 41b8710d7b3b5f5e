//! The folders of the tasks. Everything that a task makes is under `target/`, so `cargo clean` undoes it all.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The workspace's root.
pub fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest)
}

/// `target/`, wherever `CARGO_TARGET_DIR` points: the tools and the device are large, and are kept
/// in one known place.
pub fn target() -> PathBuf {
    root().join("target")
}

/// The programs and sources that `setup` brought in.
pub fn tools() -> PathBuf {
    target().join("tools")
}

/// The programs that `build` leaves for people.
pub fn dist() -> PathBuf {
    target().join("dist")
}

/// The probe's objects; the agent embeds them.
pub fn probe_objects() -> PathBuf {
    dist().join("probe")
}

/// The host program.
pub fn host_program() -> PathBuf {
    dist().join("sleepwalk")
}

/// The agent, static for arm64 Linux.
pub fn agent_program() -> PathBuf {
    dist().join("sleepwalkd")
}

/// The demo's workload, static for arm64 Linux.
pub fn workload_program() -> PathBuf {
    dist().join("sleepwalk-workload")
}

/// Output of long commands, one file per command.
pub fn logs() -> PathBuf {
    target().join("logs")
}

/// The virtual device's packages and instances.
pub fn vdev() -> PathBuf {
    target().join("vdev")
}

/// The files of a folder, sorted.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        folder.read_dir().with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}
