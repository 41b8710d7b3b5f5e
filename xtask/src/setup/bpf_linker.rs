//! bpf-linker, built against the LLVM that rustc itself runs on: its bitcode is of that version, and
//! no system LLVM is needed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::rustc::Rustc;
use crate::{paths, sh};

/// The series whose LLVM features and options this module knows.
const VERSION: &str = "^0.13";

/// The linker's path; it is built when it is missing or made for another compiler.
pub fn ensure(rustc: &Rustc) -> Result<PathBuf> {
    let home = paths::tools().join("bpf-linker");
    let program = home.join("bin/bpf-linker");
    let stamp = home.join("made-for");
    let made_for = format!("bpf-linker {VERSION}\n{}\n", rustc.identity);
    if program.is_file() && fs::read_to_string(&stamp).is_ok_and(|text| text == made_for) {
        return Ok(program);
    }
    sh::progress(format!("bpf-linker with rustc's LLVM {}: building", rustc.llvm_major));

    // The build looks for `lib/libLLVM.so` in one folder, so it gets one.
    let llvm = home.join("llvm");
    let link = llvm.join("lib/libLLVM.so");
    fs::create_dir_all(llvm.join("lib"))?;
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(rustc.llvm_library()?, &link)
        .with_context(|| format!("{} cannot be made", link.display()))?;

    let rustflags = format!(
        "-L {} -C link-arg=-Wl,-rpath,{}",
        llvm.join("lib").display(),
        rustc.sysroot.join("lib").display()
    );
    sh::retry(|| {
        let mut cargo = sh::cargo();
        cargo
            .args(["install", "bpf-linker", "--locked", "--force", "--version"])
            .arg(VERSION)
            .args(["--no-default-features", "--features"])
            .arg(format!("llvm-{}", rustc.llvm_major))
            .arg("--root")
            .arg(&home)
            .arg("--target-dir")
            .arg(home.join("build"))
            // It is run for seconds; optimising it takes longer than it ever saves.
            .args(["--profile", "dev"])
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("LLVM_PREFIX", &llvm)
            .env("RUSTFLAGS", &rustflags);
        sh::run_logged("bpf-linker", &mut cargo, sh::LONG, "bpf-linker does not build here")
    })?;
    fs::write(&stamp, made_for)?;
    let _ = fs::remove_dir_all(home.join("build"));
    Ok(program)
}
