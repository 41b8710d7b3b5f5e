//! The embedded probe, and everything that loads it into the kernel. Only this module and
//! [`crate::snapshot`] know aya.

pub mod btf;
pub mod cost;
pub mod events;
pub mod hooks;
pub mod kfunc_link;
pub mod lean_aya;
pub mod refusal;
pub mod run_prog;

use std::fs::File;
use std::io::Read as _;

use anyhow::{Context as _, Result, ensure};

use btf::Kernel;

/// The kfuncs, Linux 7.2 and android16-6.12, `drivers/base/power/wakeup.c`.
pub const KFUNCS: [&str; 3] = [
    "bpf_wakeup_sources_read_lock",
    "bpf_wakeup_sources_read_unlock",
    "bpf_wakeup_sources_get_head",
];

/// The kfunc by which a program loads from any address, `kernel/bpf/helpers.c`.
const RDONLY_CAST: &str = "bpf_rdonly_cast";

/// The kernel's own type information.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Reads the types that the probe needs from the kernel's BTF.
pub fn kernel() -> Result<Kernel> {
    let mut bytes = Vec::new();
    File::open(VMLINUX).and_then(|mut file| file.read_to_end(&mut bytes)).with_context(|| {
        match std::fs::exists(VMLINUX) {
            Ok(false) => format!("{VMLINUX}: the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)"),
            _ => format!("{VMLINUX} cannot be read"),
        }
    })?;
    Ok(btf::scan(
        &bytes,
        &[&KFUNCS[..], &[RDONLY_CAST, events::COUNTED_DISABLES], &hooks::TRACED[..]].concat(),
    )?)
}

/// The object with the walk programs.
pub fn walk_object() -> Result<&'static [u8]> {
    present(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/walk.o")))
}

/// The object with the tracing programs.
pub fn hooks_object() -> Result<&'static [u8]> {
    present(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/hooks.o")))
}

/// The object with the programs that do nothing.
pub fn empty_object() -> Result<&'static [u8]> {
    present(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/empty.o")))
}

fn present(object: &'static [u8]) -> Result<&'static [u8]> {
    ensure!(
        !object.is_empty(),
        "this sleepwalkd was built without its probe: build it with `cargo xtask build`"
    );
    Ok(object)
}
