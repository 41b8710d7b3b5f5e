//! Loads programs that run through BPF_PROG_RUN alone. BPF_PROG_TYPE_SYSCALL, since 5.14, is the only type
//! that may call the wakeup-source kfuncs; BPF_PROG_TYPE_RAW_TRACEPOINT runs so since 5.10. aya 0.14 runs
//! neither; its parser and its maps are used as they are.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result};
use aya::maps::MapData;
use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_prog_info, bpf_prog_type};
use nix::libc;
use thiserror::Error;

/// `BPF_F_SLEEPABLE`, `include/uapi/linux/bpf.h`; syscall programs must have it (`bpf_check`).
const SLEEPABLE: u32 = 1 << 4;

/// Room for the verifier's log.
const LOG_ROOM: usize = 64 << 10;

/// `BPF_LOG_LEVEL1` and `BPF_LOG_STATS`, `include/linux/bpf_verifier.h`.
const LOG_LEVEL1: u32 = 1;
const LOG_STATS: u32 = 4;

/// bpf(2) did not load a program.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct LoadError(pub io::Error);

/// How a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// It may sleep, and reads and writes its context.
    Syscall,
    /// It has no context: its state is in a map.
    RawTracepoint,
}

/// A loaded program.
#[derive(Debug)]
pub struct RunProgram {
    fd: OwnedFd,
}

impl RunProgram {
    /// Loads `program` of `object`, whose kfunc calls are linked, with the maps that it uses.
    pub fn load(
        mut object: aya_obj::Object,
        (program, kind): (&str, Type),
        maps: &[(&str, &MapData)],
    ) -> Result<Self> {
        // The other programs may call functions that this kernel lacks.
        let others = object.programs.iter().filter(|(name, _)| *name != program);
        let others: Vec<_> = others.map(|(_, program)| program.function_key()).collect();
        object.functions.retain(|key, _| !others.contains(key));
        object.programs.retain(|name, _| name == program);
        let text = object.functions.keys().map(|(section, _)| *section).collect();
        let definitions = object.maps.clone();
        let maps = maps.iter().filter_map(|(name, map)| {
            Some((*name, map.fd().as_fd().as_raw_fd(), definitions.get(*name)?))
        });
        object.relocate_maps(maps, &text)?;
        object.relocate_calls(&text)?;

        let btf = load_btf(&mut object).context("the kernel refused the probe's BTF")?;
        let key = object.programs.get(program).map(aya_obj::Program::function_key);
        let function = key.and_then(|key| object.functions.get(&key));
        let function =
            function.with_context(|| format!("the probe lacks the program {program}"))?;
        let func_info = function.func_info.func_info_bytes();

        // SAFETY: `bpf_attr` is a union of plain structs for which zero is valid.
        let mut attr = unsafe { std::mem::zeroed::<bpf_attr>() };
        // SAFETY: BPF_PROG_LOAD uses this member of the union.
        let load = unsafe { &mut attr.__bindgen_anon_3 };
        (load.prog_type, load.prog_flags) = match kind {
            Type::Syscall => (bpf_prog_type::BPF_PROG_TYPE_SYSCALL as u32, SLEEPABLE),
            Type::RawTracepoint => (bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT as u32, 0),
        };
        load.insns = function.instructions.as_ptr() as u64;
        load.insn_cnt = function.instructions.len() as u32;
        load.license = object.license.as_ptr() as u64;
        load.prog_btf_fd = btf.as_raw_fd() as u32;
        load.func_info = func_info.as_ptr() as u64;
        load.func_info_cnt = function.func_info.len() as u32;
        load.func_info_rec_size = function.func_info_rec_size as u32;
        name_into(&mut load.prog_name, program);
        if log::log_enabled!(log::Level::Debug) {
            log::debug!("verifier log of {program}: {}", verifier_log(&mut attr, LOG_STATS));
        }
        let loaded = retry_interrupted(
            || bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr),
            |error| error.raw_os_error() == Some(libc::EAGAIN),
        );
        match loaded {
            Ok(fd) => Ok(Self { fd }),
            Err(error) => {
                let text = verifier_log(&mut attr, LOG_LEVEL1);
                log::debug!("verifier log of {program}:\n{text}");
                let last = text.lines().rev().take(3).collect::<Vec<_>>();
                let last = last.into_iter().rev().collect::<Vec<_>>().join("; ");
                Err(LoadError(error))
                    .with_context(|| format!("the kernel refused the program {program} ({last})"))
            }
        }
    }

    /// The time of all runs so far, if the sysctl `kernel.bpf_stats_enabled` is on; else 0.
    pub fn run_time_ns(&self) -> io::Result<u64> {
        program_info(self.fd.as_fd()).map(|(info, _)| info.run_time_ns)
    }

    /// Runs a [`Type::RawTracepoint`] once.
    pub fn run_alone(&self) -> io::Result<()> {
        // SAFETY: as in `load`.
        let mut attr = unsafe { std::mem::zeroed::<bpf_attr>() };
        attr.test.prog_fd = self.fd.as_raw_fd() as u32;
        bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr).map(drop)
    }

    /// Runs a [`Type::Syscall`] once with `context`, which it may read and write.
    ///
    /// `T` is `repr(C)` and has no padding, like everything in `sleepwalk_trace::abi`.
    pub fn run<T: Copy>(&self, context: &mut T) -> io::Result<()> {
        // SAFETY: as in `load`.
        let mut attr = unsafe { std::mem::zeroed::<bpf_attr>() };
        attr.test.prog_fd = self.fd.as_raw_fd() as u32;
        attr.test.ctx_in = std::ptr::from_mut(context) as u64;
        attr.test.ctx_size_in = size_of::<T>() as u32;
        bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr).map(drop)
    }
}

/// Loads a program, up to five times. The verifier fails with EAGAIN if a signal is pending
/// (`do_check`, `kernel/bpf/verifier.c`), and the freezer of a suspend attempt counts as one.
pub fn retry_interrupted<T, E>(
    mut load: impl FnMut() -> Result<T, E>,
    interrupted: impl Fn(&E) -> bool,
) -> Result<T, E> {
    for _ in 1..5 {
        match load() {
            Err(error) if interrupted(&error) => {}
            done => return done,
        }
    }
    load()
}

/// Loads once more to get the verifier's log. It is not part of every load, because the log costs
/// time, and a log that is longer than its room makes the load fail.
fn verifier_log(attr: &mut bpf_attr, level: u32) -> String {
    let mut log = vec![0u8; LOG_ROOM];
    // SAFETY: BPF_PROG_LOAD uses this member of the union.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.log_buf = log.as_mut_ptr() as u64;
    load.log_size = log.len() as u32;
    load.log_level = level;
    let _ = bpf_fd(bpf_cmd::BPF_PROG_LOAD, attr);
    // SAFETY: as above. The log is freed at the end of this function.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    (load.log_buf, load.log_size, load.log_level) = (0, 0, 0);
    String::from_utf8_lossy(&log).trim_end_matches('\0').trim_end().to_owned()
}

/// The callback of bpf_loop must be static, and only BTF has that information (`check_ld_imm`,
/// `kernel/bpf/verifier.c`).
fn load_btf(object: &mut aya_obj::Object) -> Result<OwnedFd> {
    let features = aya::features().btf().context("this kernel takes no BTF")?;
    let btf = object.fixup_and_sanitize_btf(features)?.context("the probe has no BTF")?.to_bytes();
    // SAFETY: as in `load`.
    let mut attr = unsafe { std::mem::zeroed::<bpf_attr>() };
    // SAFETY: BPF_BTF_LOAD uses this member of the union.
    let load = unsafe { &mut attr.__bindgen_anon_7 };
    load.btf = btf.as_ptr() as u64;
    load.btf_size = btf.len() as u32;
    Ok(bpf_fd(bpf_cmd::BPF_BTF_LOAD, &mut attr)?)
}

fn name_into(room: &mut [libc::c_char], name: &str) {
    // The last byte stays NUL.
    let fits = room.len() - 1;
    for (to, from) in room[..fits].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
}

/// The kernel's facts about a program (`bpf_prog_get_info_by_fd`, `kernel/bpf/syscall.c`). A kernel that is
/// older than a field does not set it: the second value is the length that it filled.
pub fn program_info(program: BorrowedFd<'_>) -> io::Result<(bpf_prog_info, usize)> {
    // SAFETY: a plain struct for which zero is valid.
    let mut info = unsafe { std::mem::zeroed::<bpf_prog_info>() };
    // SAFETY: as in `load`.
    let mut attr = unsafe { std::mem::zeroed::<bpf_attr>() };
    attr.info.bpf_fd = program.as_raw_fd() as u32;
    attr.info.info_len = size_of::<bpf_prog_info>() as u32;
    attr.info.info = std::ptr::from_mut(&mut info) as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    // SAFETY: BPF_OBJ_GET_INFO_BY_FD uses this member of the union.
    let length = unsafe { attr.info.info_len };
    Ok((info, length as usize))
}

fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the commands passed to this function return a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<libc::c_long> {
    let size = size_of::<bpf_attr>();
    // SAFETY: bpf(2) reads and writes `attr` and the memory that it points to; all of it outlives
    // the call.
    let returned = unsafe {
        libc::syscall(libc::SYS_bpf, command as libc::c_long, std::ptr::from_mut(attr), size)
    };
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}
