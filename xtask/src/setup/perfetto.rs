//! Perfetto's descriptors, out of its Python package: exports are decoded with them in the tests.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::zig;
use crate::{paths, sh};

/// The release that the messages in `host/src/export/perfetto/proto.rs` were taken from.
const PACKAGE: &str = "perfetto==0.59.*";

/// The folder with the package and what it needs, for `PYTHONPATH`; brought in where it is missing.
pub fn ensure() -> Result<PathBuf> {
    let home = paths::tools().join("perfetto");
    let imports = "import perfetto.protos.perfetto.trace.perfetto_trace_pb2";
    let complete =
        || sh::read(Command::new("python3").args(["-c", imports]).env("PYTHONPATH", &home)).is_ok();
    if complete() {
        return Ok(home);
    }
    sh::progress("Perfetto's descriptors: as a Python package");
    let remedy = "install python3-pip, or `perfetto` where python3 finds it";
    sh::retry(|| {
        let mut pip = zig::pip("exports are checked by Perfetto's descriptors")?;
        pip.args(["install", "--quiet", "--upgrade", "--no-compile"])
            .args(["--root-user-action=ignore", "--target"])
            .arg(&home)
            .arg(PACKAGE);
        sh::run_logged("perfetto", &mut pip, sh::LONG, remedy)
    })?;
    Ok(home)
}
