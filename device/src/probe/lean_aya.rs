//! aya without its copy of the kernel's BTF.
//!
//! Every loader of aya 0.14 parses `/sys/kernel/btf/vmlinux` into 150,000 boxed types, for CO-RE
//! relocations that a Rust probe does not have, and aya parses it again to find the function that a
//! program attaches to. In the virtual device that took seconds, peaked at 42 MB, and left 12 MB
//! resident: too much for an agent that runs on a phone for days. This file avoids both without a
//! change to aya. Remove it when aya's loader can work without the kernel's BTF.

use anyhow::{Context, Result};
use aya::{Btf, EbpfLoader, Endianness};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::btf::Kernel;

/// A loader without the kernel's BTF.
///
/// `EbpfLoader::new` works without it if the file cannot be opened. So no file can be opened during
/// that one call: the limit on descriptors is zero. This program has one thread.
pub fn loader() -> Result<EbpfLoader<'static>> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
    setrlimit(Resource::RLIMIT_NOFILE, 0, hard).context("setrlimit")?;
    let loader = EbpfLoader::new();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).context("setrlimit")?;
    Ok(loader)
}

const MAGIC_AND_VERSION: u32 = 0x0001_eb9f;
const HEADER: u32 = 24;
const KIND_FWD: u32 = 7;
/// Size of a type without members, in bytes.
const TYPE: u32 = 12;

/// BTF with the names and ids of the functions and typedefs in `kernel`, and fillers for all other
/// ids. That is enough for aya to find the function that a program attaches to.
pub fn lookup_btf(kernel: &Kernel) -> Result<Btf> {
    let count = kernel.ids.values().map(|named| named.id).max().unwrap_or(0);
    let mut types = vec![[0, KIND_FWD << 24, 0]; count as usize];
    let mut strings = vec![0];
    for (name, named) in &kernel.ids {
        // Id 0 is void and is not listed.
        if let Some(entry) = types.get_mut((named.id as usize).wrapping_sub(1)) {
            *entry = [strings.len() as u32, named.kind << 24, 0];
            strings.extend(name.bytes().chain([0]));
        }
    }
    let (types_len, strings_len) = (count * TYPE, strings.len() as u32);
    let header = [MAGIC_AND_VERSION, HEADER, 0, types_len, types_len, strings_len];
    let mut bytes = Vec::with_capacity((HEADER + types_len + strings_len) as usize);
    bytes.extend(header.iter().chain(types.iter().flatten()).flat_map(|word| word.to_le_bytes()));
    bytes.extend(strings);
    Btf::parse(&bytes, Endianness::Little).context("the lookup table for aya cannot be parsed")
}

#[cfg(test)]
mod tests {
    use aya_obj::btf::BtfKind;

    use super::super::btf::{KIND_FUNC, KIND_TYPEDEF, Named};
    use super::*;

    #[test]
    fn aya_finds_the_ids_of_the_kernel() {
        let mut kernel = Kernel::default();
        kernel.ids.insert("pm_suspend", Named { id: 70_000, kind: KIND_FUNC });
        kernel.ids.insert("btf_trace_suspend_resume", Named { id: 3, kind: KIND_TYPEDEF });
        let btf = lookup_btf(&kernel).unwrap();
        let id = |name, kind| btf.id_by_type_name_kind(name, kind).ok();
        assert_eq!(id("pm_suspend", BtfKind::Func), Some(70_000));
        assert_eq!(id("btf_trace_suspend_resume", BtfKind::Typedef), Some(3));
        assert_eq!(id("pm_suspend", BtfKind::Typedef), None);
        assert!(lookup_btf(&Kernel::default()).is_ok());
    }
}
