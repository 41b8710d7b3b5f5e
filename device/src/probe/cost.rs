//! The cost of the hooks per event, beside programs that do nothing on the same tracepoints and functions.

use std::os::fd::AsFd as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::programs::Program;
use aya_obj::generated::bpf_prog_info;
use serde::Serialize;

use super::btf::Kernel;
use super::hooks::{Attached, Hooks, attach};
use super::run_prog::program_info;
use super::{empty_object, lean_aya};

/// How long the ring buffer fills before it is read.
const PAUSE: Duration = Duration::from_millis(5);

/// The runs of a hook's program, and of the empty one. All 0 unless the sysctl `kernel.bpf_stats_enabled` is on.
#[derive(Debug, Serialize)]
pub struct Cost {
    program: &'static str,
    /// The tracepoint or function.
    target: &'static str,
    /// `run_cnt`, `include/uapi/linux/bpf.h`.
    runs: u64,
    /// `run_time_ns` of all runs.
    run_time_ns: u64,
    empty_runs: u64,
    empty_run_time_ns: u64,
}

/// Attaches the hooks, which read `frames` frames of each activation's stack, and the empty programs for `length`.
pub fn measure(kernel: Option<&Kernel>, length: Duration, frames: usize) -> Result<Vec<Cost>> {
    let mut hooks = Hooks::attach(kernel, true, frames)?;
    let mut empty = Vec::new();
    for attached in hooks.programs() {
        empty.push(attach_empty(&attached, kernel).with_context(|| attached.name.to_owned())?);
    }
    let end = Instant::now() + length;
    while Instant::now() < end {
        while hooks.next_event().is_some() {}
        sleep(PAUSE);
    }
    let costs = hooks.programs().into_iter().zip(&mut empty).map(|(attached, (ebpf, name))| {
        let hook = info(attached.program)?;
        let empty = info(ebpf.program(name).context("the empty program is gone")?)?;
        Ok(Cost {
            program: attached.name,
            target: attached.target,
            runs: hook.run_cnt,
            run_time_ns: hook.run_time_ns,
            empty_runs: empty.run_cnt,
            empty_run_time_ns: empty.run_time_ns,
        })
    });
    costs.collect()
}

/// The empty program of the same type, on the same target.
fn attach_empty(attached: &Attached<'_>, kernel: Option<&Kernel>) -> Result<(Ebpf, &'static str)> {
    let name = match attached.program {
        Program::BtfTracePoint(_) => "empty_tp_btf",
        Program::RawTracePoint(_) => "empty_raw_tp",
        Program::FEntry(_) => "empty_fentry",
        Program::FExit(_) => "empty_fexit",
        // Both are of one type.
        _ if attached.name.ends_with("kretprobe") => "empty_kretprobe",
        _ => "empty_kprobe",
    };
    let mut ebpf = lean_aya::loader()?.load(empty_object()?).context("the empty programs")?;
    let btf = kernel.map(lean_aya::lookup_btf).transpose()?;
    let program = ebpf.program_mut(name).with_context(|| format!("no empty program {name}"))?;
    attach(program, attached.target, btf.as_ref())?;
    Ok((ebpf, name))
}

fn info(program: &Program) -> Result<bpf_prog_info> {
    Ok(program_info(program.fd()?.as_fd()).context("bpf(2)")?.0)
}
