//! The tracing programs, attached: a stream of suspend events.

use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

use anyhow::{Context, Result, anyhow};
use aya::maps::{MapData, PerCpuArray, RingBuf};
use aya::programs::{BtfTracePoint, FExit, KProbe, ProgramError, RawTracePoint};
use aya::{Btf, Ebpf};
use sleepwalk_trace::abi::SuspendEvent;
use sleepwalk_trace::record::Hook;

use super::btf::Kernel;
use super::syscall_prog::patiently;
use super::{hooks_object, lean_aya};

/// The traced function.
pub const SUSPEND: &str = "pm_suspend";
/// The traced tracepoint.
const PHASE: &str = "suspend_resume";
/// The typedef that BTF has for it.
pub const PHASE_TYPE: &str = "btf_trace_suspend_resume";

/// The attached programs. Dropping it detaches them.
pub struct Hooks {
    events: RingBuf<MapData>,
    dropped: PerCpuArray<MapData, u64>,
    drops_told: u64,
    /// How the phases of an attempt are seen: `tp_btf` or `raw_tp`.
    pub phase: &'static str,
    /// How an attempt's return is seen: `fexit` or `kretprobe`.
    pub returned: &'static str,
    _programs: Ebpf,
}

impl Hooks {
    /// Loads and attaches them, each in the first form that this kernel takes.
    pub fn attach(kernel: &Kernel) -> Result<Self> {
        let object = hooks_object()?;
        let mut programs =
            lean_aya::loader()?.load(object).context("the probe's hooks can't be loaded")?;
        let (phase, returned) = {
            let btf = lean_aya::lookup_btf(kernel)?;
            let phase = match tp_btf(&mut programs, &btf) {
                Ok(()) => Ok("tp_btf"),
                Err(first) => fallback("tp_btf", first, "raw_tp", raw_tp(&mut programs)),
            };
            let returned = match fexit(&mut programs, &btf) {
                Ok(()) => Ok("fexit"),
                Err(first) => fallback("fexit", first, "kretprobe", kretprobe(&mut programs)),
            };
            (phase, returned)
        };
        let events = programs.take_map("EVENTS").context("the probe lacks the map EVENTS")?;
        let dropped = programs.take_map("DROPPED").context("the probe lacks the map DROPPED")?;
        Ok(Self {
            events: RingBuf::try_from(events)?,
            dropped: PerCpuArray::try_from(dropped)?,
            drops_told: 0,
            phase: phase.with_context(|| format!("the tracepoint {PHASE} can't be attached to"))?,
            returned: returned.with_context(|| format!("{SUSPEND} can't be attached to"))?,
            _programs: programs,
        })
    }

    /// What is seen and how, for the trace.
    pub fn told(&self) -> Vec<Hook> {
        let seen = [("phase", self.phase), ("return", self.returned)];
        seen.map(|(what, how)| Hook { what: what.into(), how: how.into(), why: String::new() })
            .into()
    }

    /// Readable when there are events.
    pub fn fd(&self) -> BorrowedFd<'_> {
        let fd: RawFd = self.events.as_raw_fd();
        // SAFETY: the ring buffer keeps it open for as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }

    /// The next event, if there is one.
    pub fn next_event(&mut self) -> Option<SuspendEvent> {
        let item = self.events.next()?;
        let bytes: &[u8; size_of::<SuspendEvent>()] = item.as_ref().try_into().ok()?;
        // SAFETY: integers only, so every bit pattern is a value; the probe of this very build wrote
        // it, and the read needs no alignment.
        Some(unsafe { bytes.as_ptr().cast::<SuspendEvent>().read_unaligned() })
    }

    /// How many more events were dropped since the last call.
    pub fn newly_dropped(&mut self) -> Result<u64> {
        let total: u64 = self.dropped.get(&0, 0)?.iter().sum();
        let new = total.wrapping_sub(self.drops_told);
        self.drops_told = total;
        Ok(new)
    }
}

/// The name of the fallback, if that went well; else what went wrong with both.
fn fallback(
    first: &str,
    error: anyhow::Error,
    second: &'static str,
    attempt: Result<()>,
) -> Result<&'static str> {
    log::info!("{first}: {error:#}; trying {second}");
    attempt.map(|()| second).map_err(|e| anyhow!("{first}: {error:#}; {second}: {e:#}"))
}

fn tp_btf(programs: &mut Ebpf, btf: &Btf) -> Result<()> {
    let program: &mut BtfTracePoint = find(programs, "phase_tp_btf")?.try_into()?;
    patiently(|| program.load(PHASE, btf), interrupted)?;
    program.attach()?;
    Ok(())
}

fn raw_tp(programs: &mut Ebpf) -> Result<()> {
    let program: &mut RawTracePoint = find(programs, "phase_raw_tp")?.try_into()?;
    patiently(|| program.load(), interrupted)?;
    program.attach(PHASE)?;
    Ok(())
}

fn fexit(programs: &mut Ebpf, btf: &Btf) -> Result<()> {
    let program: &mut FExit = find(programs, "return_fexit")?.try_into()?;
    patiently(|| program.load(SUSPEND, btf), interrupted)?;
    program.attach()?;
    Ok(())
}

fn kretprobe(programs: &mut Ebpf) -> Result<()> {
    let program: &mut KProbe = find(programs, "return_kretprobe")?.try_into()?;
    patiently(|| program.load(), interrupted)?;
    program.attach(SUSPEND, 0)?;
    Ok(())
}

fn interrupted(error: &ProgramError) -> bool {
    let again = Some(nix::libc::EAGAIN);
    matches!(error, ProgramError::LoadError { io_error, .. } if io_error.raw_os_error() == again)
}

fn find<'a>(programs: &'a mut Ebpf, name: &str) -> Result<&'a mut aya::programs::Program> {
    programs.program_mut(name).with_context(|| format!("the probe lacks the program {name}"))
}
