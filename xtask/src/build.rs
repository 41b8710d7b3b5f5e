//! `cargo xtask build`: the probe, the agent that embeds it, and the host program that embeds the
//! agent, into `target/dist`.
//!
//! Each has a target folder of its own: they differ in flags and environment, and cargo would build
//! everything again each time they took turns in one.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use object::build::elf;
use object::elf::SHT_STRTAB;

use crate::setup::rust_src::{self, RustSrc};
use crate::setup::rustc::Rustc;
use crate::{paths, setup, sh};

const BPF: &str = "bpfel-unknown-none";
const STATIC: &str = "aarch64-unknown-linux-musl";
const ANDROID: &str = "aarch64-linux-android";

/// The probe's programs: each is one object.
const PROBES: [&str; 3] = ["walk", "hooks", "empty"];

/// One part of the build.
#[derive(Clone, Copy, ValueEnum)]
pub enum Part {
    /// The BPF objects
    Probe,
    /// sleepwalkd, with the probe inside
    Agent,
    /// The demo's workload
    Workload,
    /// sleepwalk, with the agent inside
    Host,
}

/// Builds one part, or everything.
pub fn run(part: Option<Part>) -> Result<()> {
    match part {
        None => all(),
        Some(Part::Probe) => probe().map(drop),
        Some(Part::Agent) => agent().map(drop),
        Some(Part::Workload) => workload().map(drop),
        Some(Part::Host) => host().map(drop),
    }
}

/// Everything.
pub fn all() -> Result<()> {
    host()?;
    workload()?;
    for program in [paths::host_program(), paths::agent_program(), paths::workload_program()] {
        let bytes = fs::metadata(&program)?.len();
        sh::progress(format!("{} ({} KiB)", shown(&program), bytes.div_ceil(1024)));
    }
    Ok(())
}

/// The probe's objects; returns their folder.
pub fn probe() -> Result<PathBuf> {
    let (rust_src, linker) = setup::probe()?;
    let mut cargo = bpf_cargo("build", &rust_src);
    cargo.arg("--bins").env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker);
    rust_src.allow_build_std(&mut cargo);
    sh::run(&mut cargo)?;
    for name in PROBES {
        let made = paths::target().join("probe").join(BPF).join("probe").join(name);
        let object = without_debug_info(&made)?;
        sh::write_if_changed(&paths::probe_objects().join(format!("{name}.o")), &object)?;
    }
    Ok(paths::probe_objects())
}

/// The object as the agent carries it. BTF was made from its DWARF, which nobody reads on a device.
fn without_debug_info(object: &Path) -> Result<Vec<u8>> {
    let about = || object.display().to_string();
    let bytes = fs::read(object).with_context(about)?;
    let mut builder = elf::Builder::read(&bytes[..]).with_context(about)?;
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        section.delete = name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
    }
    // LLVM keeps the sections' names with those of the symbols.
    let names = builder.sections.add();
    names.name = b".shstrtab"[..].into();
    names.sh_type = SHT_STRTAB;
    names.data = elf::SectionData::SectionString;
    builder.delete_orphans();
    let mut stripped = Vec::new();
    builder.write(&mut stripped).with_context(about)?;
    Ok(stripped)
}

/// Clippy for the probe, which no other clippy run reaches: it is for the BPF target only.
pub fn probe_clippy() -> Result<()> {
    let rust_src = setup::build_std()?;
    let mut cargo = bpf_cargo("clippy", &rust_src);
    rust_src.allow_build_std(&mut cargo);
    sh::run(cargo.args(["--", "-D", "warnings"]))
}

fn bpf_cargo(verb: &str, rust_src: &RustSrc) -> Command {
    let mut cargo = sh::cargo();
    cargo
        .args([verb, "--package", "sleepwalk-ebpf", "--profile", "probe", "--target", BPF])
        .args(["-Z", "build-std=core", "--target-dir"])
        .arg(paths::target().join("probe"))
        // BTF is how the kernel knows the probe's types. The other flag names
        // registers a traced function has: a phone's, not this machine's.
        .env(
            "CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS",
            format!(
                "-C link-arg=--btf --cfg=bpf_target_arch=\"aarch64\"{}",
                no_paths_of_this_machine(rust_src.library())
            ),
        );
    cargo
}

/// Flags that keep this machine's paths, and with them a person's name, out of what is shipped.
fn no_paths_of_this_machine(library: &Path) -> String {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")));
    remap(&[
        // Still found from where cargo runs: the probe's BTF quotes its sources.
        (Some(paths::root()), "."),
        (cargo_home.as_deref(), "cargo"),
        (Some(library), "library"),
    ])
}

/// The last prefix that fits counts, so an inner folder comes after an outer one. Cargo splits flags
/// at blanks, so a folder with one stays as it is.
fn remap(folders: &[(Option<&Path>, &str)]) -> String {
    folders
        .iter()
        .filter_map(|(folder, name)| Some((folder.as_ref()?.to_str()?, name)))
        .filter(|(folder, _)| !folder.contains(char::is_whitespace))
        .map(|(folder, name)| format!(" --remap-path-prefix={folder}={name}"))
        .collect()
}

/// The agent, static for any arm64 Linux, with the probe inside.
pub fn agent() -> Result<PathBuf> {
    let objects = probe()?;
    let program = paths::agent_program();
    static_arm64("sleepwalkd", &program, &[("SLEEPWALK_PROBE_DIR", &objects)])?;
    Ok(program)
}

/// The demo's workload, static for any arm64 Linux.
pub fn workload() -> Result<PathBuf> {
    let program = paths::workload_program();
    static_arm64("sleepwalk-workload", &program, &[])?;
    Ok(program)
}

fn static_arm64(package: &str, to: &Path, environment: &[(&str, &Path)]) -> Result<()> {
    let (rust_src, zig) = setup::agent()?;
    let target_dir = paths::target().join("agent");
    let mut cargo = zig.cargo_zigbuild();
    cargo
        .args(["--package", package, "--profile", "agent", "--target", STATIC])
        .args(["-Z", "build-std=std,panic_abort", "--target-dir"])
        .arg(&target_dir)
        // The sysroot has no musl of its own for this target; zig brings one.
        .env(
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUSTFLAGS",
            format!("-C link-self-contained=no{}", no_paths_of_this_machine(rust_src.library())),
        );
    for (name, value) in environment {
        cargo.env(name, value);
    }
    rust_src.allow_build_std(&mut cargo);
    sh::run(&mut cargo)?;
    copy_if_changed(&target_dir.join(STATIC).join("agent").join(package), to)
}

/// The host program with the agent inside.
pub fn host() -> Result<PathBuf> {
    let agent = agent()?;
    // Where its sources are installed, rustc names the ready-made library by them.
    let library = rust_src::in_sysroot(&Rustc::ask()?);
    let target_dir = paths::target().join("host");
    let mut cargo = sh::cargo();
    cargo
        .args(["build", "--release", "--package", "sleepwalk", "--target-dir"])
        .arg(&target_dir)
        .env("SLEEPWALK_AGENT", agent)
        .env("RUSTFLAGS", no_paths_of_this_machine(&library).trim_start());
    sh::run(&mut cargo)?;
    let program = paths::host_program();
    copy_if_changed(&target_dir.join("release/sleepwalk"), &program)?;
    Ok(program)
}

/// Compiles the agent for Android without linking it: that needs no NDK, so CI can run it.
pub fn check_android() -> Result<()> {
    let objects = probe()?;
    let rust_src = setup::build_std()?;
    let mut cargo = sh::cargo();
    cargo
        .args(["check", "--package", "sleepwalkd", "--target", ANDROID])
        .args(["-Z", "build-std=std,panic_abort", "--target-dir"])
        .arg(paths::target().join("android"))
        .env("SLEEPWALK_PROBE_DIR", objects);
    rust_src.allow_build_std(&mut cargo);
    sh::run(&mut cargo)
}

fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from)
        .with_context(|| format!("{} cannot be read: the build left no such file", shown(from)))?;
    if bytes.is_empty() {
        bail!("{} is empty", shown(from));
    }
    sh::write_if_changed(to, &bytes)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())
        .with_context(|| format!("{} cannot be made executable", shown(to)))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(paths::root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_remapped_unless_they_have_blanks() {
        let (home, blank) = (Path::new("/home/a"), Path::new("/home/a b"));
        let flags = remap(&[(Some(home), "."), (None, "x"), (Some(blank), "y")]);
        assert_eq!(flags, " --remap-path-prefix=/home/a=.");
    }
}
