//! Puts the probe's objects where the agent can embed them.
//!
//! `cargo xtask build` makes the objects and sets `SLEEPWALK_PROBE_DIR` to their folder. Without
//! it, as in a plain `cargo build` or `cargo test` with a stable Rust, the agent has no probe
//! inside, and reports that when it has to load one.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

const OBJECTS: [&str; 3] = ["walk.o", "hooks.o", "empty.o"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=SLEEPWALK_PROBE_DIR");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let probe = env::var_os("SLEEPWALK_PROBE_DIR").map(PathBuf::from);
    for name in OBJECTS {
        let object = match &probe {
            Some(folder) => read(&folder.join(name))?,
            None => Vec::new(),
        };
        fs::write(out.join(name), object)?;
    }
    Ok(())
}

fn read(object: &Path) -> io::Result<Vec<u8>> {
    println!("cargo::rerun-if-changed={}", object.display());
    fs::read(object).map_err(|e| {
        let path = object.display();
        io::Error::new(e.kind(), format!("{path}, named by SLEEPWALK_PROBE_DIR: {e}"))
    })
}
