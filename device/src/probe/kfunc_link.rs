//! Calls of undefined symbols → calls of kernel functions.
//!
//! rustc compiles a call of an undefined `extern "C"` function to the kind of `call` for BPF-to-BPF
//! calls, with a relocation that names the symbol. The kernel needs the kind for kfuncs and the
//! function's BTF id instead (`bpf_add_kfunc_call`, `kernel/bpf/verifier.c`). aya 0.14 does not do
//! this. A later aya resolves such symbols, and then this file can go.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use aya_obj::generated::bpf_insn;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget};

use super::btf::Named;

/// `BPF_PSEUDO_KFUNC_CALL`, `include/uapi/linux/bpf.h`.
const PSEUDO_KFUNC_CALL: u8 = 2;

/// Points every call of an undefined function in `program` of `object`, and in the callbacks of all programs, at
/// the kernel function of that name. Other programs, and their callbacks, may call functions that this kernel
/// lacks.
pub fn link(
    elf: &[u8],
    object: &mut aya_obj::Object,
    program: &str,
    ids: &BTreeMap<&'static str, Named>,
) -> Result<()> {
    let section = object.programs.get(program).map(|program| program.function_key().0);
    let section = section.with_context(|| format!("the probe lacks the program {program}"))?;
    let programs: BTreeSet<_> = object.programs.values().map(|p| p.function_key().0).collect();
    let is_callback = |call: &Call| !programs.contains(&call.section);
    for call in calls(elf)? {
        if call.section != section && !is_callback(&call) {
            continue;
        }
        let Some(function) = ids.get(call.name.as_str()) else {
            if is_callback(&call) {
                continue;
            }
            bail!("this kernel has no function {}", call.name);
        };
        let instruction = object
            .functions
            .values_mut()
            .filter(|f| f.section_index.0 == call.section)
            .find_map(|f| at(f, call.offset))
            .with_context(|| format!("the probe's call of {} is in no program", call.name))?;
        instruction.set_src_reg(PSEUDO_KFUNC_CALL);
        instruction.off = 0;
        instruction.imm = function.id as i32;
    }
    Ok(())
}

fn at(function: &mut aya_obj::Function, offset: u64) -> Option<&mut bpf_insn> {
    let within = (offset as usize).checked_sub(function.section_offset)?;
    function.instructions.get_mut(within / size_of::<bpf_insn>())
}

struct Call {
    section: usize,
    /// In bytes from the start of the section.
    offset: u64,
    name: String,
}

fn calls(elf: &[u8]) -> Result<Vec<Call>> {
    let file = object::File::parse(elf).context("the probe's object cannot be parsed")?;
    let mut calls = Vec::new();
    for section in file.sections().filter(|s| s.kind() == object::SectionKind::Text) {
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else {
                continue;
            };
            let symbol = file.symbol_by_index(index)?;
            if symbol.is_undefined() {
                let name = symbol.name()?.to_owned();
                calls.push(Call { section: section.index().0, offset, name });
            }
        }
    }
    Ok(calls)
}
