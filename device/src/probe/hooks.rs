//! The tracing programs, attached: a stream of events.

use std::mem::offset_of;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, RawFd};

use anyhow::{Context, Result, bail};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, RingBuf};
use aya::programs::{Program, ProgramError};
use aya::{Btf, Ebpf};
use aya_obj::generated::bpf_prog_info;
use sleepwalk_trace::abi::{EVENT_KINDS, STACK_FRAMES};
use sleepwalk_trace::record::{Hook, HookRun, HookRuns};

use super::btf::Kernel;
use super::events::ProbeEvent;
use super::run_prog::{program_info, retry_interrupted};
use super::{hooks_object, lean_aya};

/// Something to watch, and the ways to watch it, best first.
struct Watched {
    /// One of [`sleepwalk_trace::record::HOOKS`].
    what: &'static str,
    forms: [Form; 2],
}

/// One way to watch it: its name in the trace, and its programs with the function or tracepoint of
/// each.
struct Form {
    how: &'static str,
    programs: &'static [(&'static str, &'static str)],
}

const SUSPEND: &str = "pm_suspend";
const GET: &str = "pm_get_wakeup_count";
const SAVE: &str = "pm_save_wakeup_count";
const WAKE: &str = "pm_system_irq_wakeup";
const PHASE: &str = "suspend_resume";
const ACTIVATE: &str = "wakeup_source_activate";
const DEACTIVATE: &str = "wakeup_source_deactivate";

/// In the order of [`sleepwalk_trace::record::HOOKS`].
const WATCHED: [Watched; 6] = [
    Watched {
        what: "phase",
        forms: [
            Form { how: "tp_btf", programs: &[("phase_tp_btf", PHASE)] },
            Form { how: "raw_tp", programs: &[("phase_raw_tp", PHASE)] },
        ],
    },
    Watched {
        what: "return",
        forms: [
            Form { how: "fexit", programs: &[("return_fexit", SUSPEND)] },
            Form { how: "kretprobe", programs: &[("return_kretprobe", SUSPEND)] },
        ],
    },
    Watched {
        what: "edge",
        forms: [
            Form {
                how: "tp_btf",
                programs: &[("activate_tp_btf", ACTIVATE), ("deactivate_tp_btf", DEACTIVATE)],
            },
            Form {
                how: "raw_tp",
                programs: &[("activate_raw_tp", ACTIVATE), ("deactivate_raw_tp", DEACTIVATE)],
            },
        ],
    },
    Watched {
        what: "wait",
        forms: [
            Form { how: "fexit", programs: &[("wait_begin_fentry", GET), ("wait_end_fexit", GET)] },
            Form {
                how: "kretprobe",
                programs: &[("wait_begin_kprobe", GET), ("wait_end_kretprobe", GET)],
            },
        ],
    },
    Watched {
        what: "save",
        forms: [
            Form { how: "fexit", programs: &[("save_fexit", SAVE)] },
            Form { how: "kretprobe", programs: &[("save_kretprobe", SAVE)] },
        ],
    },
    Watched {
        what: "wake",
        forms: [
            Form { how: "fentry", programs: &[("wake_fentry", WAKE)] },
            Form { how: "kprobe", programs: &[("wake_kprobe", WAKE)] },
        ],
    },
];

/// The names that the best forms need from the kernel's BTF: functions, and typedefs for
/// tracepoints.
pub const TRACED: [&str; 7] = [
    SUSPEND,
    GET,
    SAVE,
    WAKE,
    "btf_trace_suspend_resume",
    "btf_trace_wakeup_source_activate",
    "btf_trace_wakeup_source_deactivate",
];

/// An environment variable with comma-separated forms to leave out, to test the other forms on a
/// kernel that takes the first.
pub const WITHOUT: &str = "SLEEPWALK_WITHOUT";

/// Whether the kernel counts runs of programs.
const BPF_STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// The attached programs. Dropping it detaches them.
pub struct Hooks {
    events: RingBuf<MapData>,
    dropped: PerCpuArray<MapData, [u64; EVENT_KINDS]>,
    awake: Array<MapData, u32>,
    drops_reported: u64,
    attached: Vec<Hook>,
    programs: Ebpf,
    stacks: Option<Stacks>,
}

/// The probe's stacks, by their keys.
#[derive(Debug)]
pub struct Stacks(HashMap<MapData, u64, [u64; STACK_FRAMES]>);

impl Stacks {
    /// The return addresses of a stack, the innermost first; `None` if there is none of this key.
    pub fn frames(&self, key: u64) -> Option<Vec<u64>> {
        let frames = self.0.get(&key, 0).ok()?;
        Some(frames.into_iter().take_while(|address| *address != 0).collect())
    }
}

/// One of the attached programs, and the function or tracepoint that it is attached to.
#[derive(Debug)]
pub struct Attached<'a> {
    /// Its name in the probe.
    pub name: &'static str,
    /// The function or tracepoint.
    pub target: &'static str,
    /// The program.
    pub program: &'a Program,
}

impl Hooks {
    /// Loads and attaches the programs, each in the first form that this kernel takes. The first
    /// forms need BTF (`kernel`). If no form works, or `edges` are not wanted, [`Hooks::attached`]
    /// has the reason. Activations have `frames` frames of their stacks, if that is not 0.
    pub fn attach(kernel: Option<&Kernel>, edges: bool, frames: usize) -> Result<Self> {
        let object = hooks_object()?;
        let (frames, unknown) = (frames as u32, u32::MAX);
        let preempt_count_at = kernel.and_then(|k| k.preempt_count_at).unwrap_or(unknown);
        let mut loader = lean_aya::loader()?;
        loader.override_global("ACTIVATOR_FRAMES", &frames, true);
        loader.override_global("PREEMPT_COUNT_AT", &preempt_count_at, true);
        if frames == 0 {
            loader.map_max_entries("STACKS", 1);
        }
        let mut programs = loader.load(object).context("the probe's hooks cannot be loaded")?;
        let btf = kernel.map(lean_aya::lookup_btf).transpose()?;
        let without = std::env::var(WITHOUT).unwrap_or_default();
        let attached = WATCHED.iter().map(|watched| {
            if watched.what == "edge" && !edges {
                return Hook { what: "edge".into(), how: "".into(), why: "--no-edges".into() };
            }
            watched.attach(&mut programs, btf.as_ref(), &without)
        });
        let attached = attached.collect();
        let mut map = |name| {
            programs.take_map(name).with_context(|| format!("the probe lacks the map {name}"))
        };
        Ok(Self {
            events: RingBuf::try_from(map("EVENTS")?)?,
            dropped: PerCpuArray::try_from(map("DROPPED")?)?,
            awake: Array::try_from(map("AWAKE")?)?,
            drops_reported: 0,
            attached,
            stacks: Some(Stacks(HashMap::try_from(map("STACKS")?)?)),
            programs,
        })
    }

    /// As [`Hooks::attach`]; without activators if activations cannot be recorded with them, and then with the reason.
    pub fn attach_best(
        kernel: Option<&Kernel>,
        edges: bool,
        frames: usize,
    ) -> (Result<Self>, Option<String>) {
        let with = Self::attach(kernel, edges, frames);
        if frames == 0 || !edges || with.as_ref().is_ok_and(|hooks| hooks.sees("edge")) {
            return (with, None);
        }
        let why = match with {
            Err(error) => format!("{error:#}"),
            Ok(hooks) => {
                let edge = hooks.attached.iter().find(|hook| hook.what == "edge");
                edge.map(|hook| hook.why.clone()).unwrap_or_default()
            }
        };
        let without = Self::attach(kernel, edges, 0);
        // Where there are no activations either, activators are not the reason.
        let sees = without.as_ref().is_ok_and(|hooks| hooks.sees("edge"));
        (without, sees.then_some(why))
    }

    /// The hooks, sorted as in [`sleepwalk_trace::record::HOOKS`].
    pub fn attached(&self) -> &[Hook] {
        &self.attached
    }

    /// Whether `what` is watched.
    pub fn sees(&self, what: &str) -> bool {
        self.attached.iter().any(|hook| hook.what == what && !hook.how.is_empty())
    }

    /// How often the programs of each attached hook ran, and how many runs the kernel left out.
    pub fn runs(&self) -> HookRuns {
        let counted = std::fs::read(BPF_STATS).is_ok_and(|on| on.trim_ascii() == b"1");
        let attached = self.attached.iter().filter(|hook| !hook.how.is_empty());
        let run = |hook: &Hook| {
            let infos = self.programs_of(hook).map(|attached| {
                let info = program_info(attached.program.fd().ok()?.as_fd());
                info.inspect_err(|error| log::info!("{}: bpf(2): {error}", attached.name)).ok()
            });
            let infos: Option<Vec<_>> = infos.collect();
            let sum = |of: fn(&bpf_prog_info) -> u64, end: usize| {
                let mut infos = infos.as_ref()?.iter();
                infos.try_fold(0, |sum, (info, length)| (*length >= end).then(|| sum + of(info)))
            };
            let runs = offset_of!(bpf_prog_info, run_cnt) + size_of::<u64>();
            let missed = offset_of!(bpf_prog_info, recursion_misses) + size_of::<u64>();
            HookRun {
                what: hook.what.clone(),
                runs: sum(|info| info.run_cnt, runs).filter(|_| counted),
                missed: sum(|info| info.recursion_misses, missed),
            }
        };
        HookRuns { hooks: attached.map(run).collect() }
    }

    /// The programs that are attached.
    pub fn programs(&self) -> Vec<Attached<'_>> {
        self.attached.iter().flat_map(|hook| self.programs_of(hook)).collect()
    }

    fn programs_of(&self, hook: &Hook) -> impl Iterator<Item = Attached<'_>> {
        let watched = WATCHED.iter().find(|watched| watched.what == hook.what);
        let form = watched.and_then(|watched| watched.form(&hook.how));
        form.into_iter().flat_map(|form| form.programs).filter_map(|(name, target)| {
            self.programs.program(name).map(|program| Attached { name, target, program })
        })
    }

    /// The stacks of activations, once.
    pub fn take_stacks(&mut self) -> Option<Stacks> {
        self.stacks.take()
    }

    /// Becomes readable when the agent should look for events.
    pub fn fd(&self) -> BorrowedFd<'_> {
        let fd: RawFd = self.events.as_raw_fd();
        // SAFETY: the ring buffer keeps it open for as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }

    /// The next event, if there is one.
    pub fn next_event(&mut self) -> Option<ProbeEvent> {
        loop {
            let item = self.events.next()?;
            match ProbeEvent::parse(&item) {
                Some(event) => return Some(event),
                None => log::warn!("the probe sent an unknown event of {} bytes", item.len()),
            }
        }
    }

    /// How many events were dropped since the last call.
    pub fn newly_dropped(&mut self) -> Result<u64> {
        let total: u64 = self.dropped.get(&0, 0)?.iter().flatten().sum();
        let new = total.wrapping_sub(self.drops_reported);
        self.drops_reported = total;
        Ok(new)
    }

    /// Makes the next event wake the agent. Read the events once more after this, for those that
    /// came just before.
    pub fn wake_on_next_event(&mut self) -> Result<()> {
        self.awake.set(0, 0, 0).context("the probe's map AWAKE cannot be written")?;
        // The probe makes an event visible, then checks whether the agent sleeps. The agent does it
        // in the opposite order. Neither order may change, so that at least one of the two sees the
        // other.
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        Ok(())
    }
}

impl Watched {
    fn form(&self, how: &str) -> Option<&Form> {
        self.forms.iter().find(|form| form.how == how)
    }

    fn attach(&self, programs: &mut Ebpf, btf: Option<&Btf>, without: &str) -> Hook {
        let mut why = Vec::new();
        for form in &self.forms {
            let attached = match without.split(',').any(|how| how == form.how) {
                true => Err(anyhow::anyhow!("{WITHOUT} leaves it out")),
                false => form.attach(programs, btf),
            };
            match attached {
                Ok(()) => {
                    return Hook {
                        what: self.what.into(),
                        how: form.how.into(),
                        why: why.join("; "),
                    };
                }
                Err(error) => why.push(format!("{}: {error:#}", form.how)),
            }
            log::info!("{}: {}", self.what, why.join("; "));
        }
        Hook { what: self.what.into(), how: String::new(), why: why.join("; ") }
    }
}

impl Form {
    /// Attaches all of its programs, or none.
    fn attach(&self, programs: &mut Ebpf, btf: Option<&Btf>) -> Result<()> {
        for (n, (name, target)) in self.programs.iter().enumerate() {
            if let Err(error) = attach(find(programs, name)?, target, btf) {
                for (name, _) in &self.programs[..n] {
                    detach(find(programs, name)?)?;
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Loads `program` and attaches it to the function or tracepoint `target`.
pub(super) fn attach(program: &mut Program, target: &str, btf: Option<&Btf>) -> Result<()> {
    let btf = || btf.context("there is no BTF");
    match program {
        Program::BtfTracePoint(program) => {
            let btf = btf()?;
            retry_interrupted(|| program.load(target, btf), interrupted)?;
            program.attach()?;
        }
        Program::RawTracePoint(program) => {
            retry_interrupted(|| program.load(), interrupted)?;
            program.attach(target)?;
        }
        Program::FEntry(program) => {
            let btf = btf()?;
            retry_interrupted(|| program.load(target, btf), interrupted)?;
            program.attach()?;
        }
        Program::FExit(program) => {
            let btf = btf()?;
            retry_interrupted(|| program.load(target, btf), interrupted)?;
            program.attach()?;
        }
        Program::KProbe(program) => {
            retry_interrupted(|| program.load(), interrupted)?;
            program.attach(target, 0)?;
        }
        other => bail!("a program of the type {:?} is none of these hooks", other.prog_type()),
    }
    Ok(())
}

/// Undoes [`attach`].
fn detach(program: &mut Program) -> Result<()> {
    match program {
        Program::BtfTracePoint(program) => program.unload()?,
        Program::RawTracePoint(program) => program.unload()?,
        Program::FEntry(program) => program.unload()?,
        Program::FExit(program) => program.unload()?,
        Program::KProbe(program) => program.unload()?,
        other => bail!("a program of the type {:?} is none of these hooks", other.prog_type()),
    }
    Ok(())
}

fn interrupted(error: &ProgramError) -> bool {
    let again = Some(nix::libc::EAGAIN);
    matches!(error, ProgramError::LoadError { io_error, .. } if io_error.raw_os_error() == again)
}

fn find<'a>(programs: &'a mut Ebpf, name: &str) -> Result<&'a mut Program> {
    programs.program_mut(name).with_context(|| format!("the probe lacks the program {name}"))
}

#[cfg(test)]
mod tests {
    use sleepwalk_trace::record::HOOKS;

    use super::*;

    #[test]
    fn hooks_have_the_names_of_the_trace() {
        assert_eq!(WATCHED.map(|watched| watched.what), HOOKS);
    }
}
