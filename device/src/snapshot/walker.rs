//! Snapshots by the probe's walk of the kernel's list.

use std::os::fd::AsFd as _;

use anyhow::{Context, Result, bail};
use aya::maps::MapData;
use memmap2::{MmapOptions, MmapRaw};
use sleepwalk_trace::abi::{
    MAX_NODES, SLOT_NAME_CUT, SLOT_NAME_FAULT, SLOT_TORN, Slot, Steps, WALK_CHANGED, WALK_DONE,
    WALK_ENDLESS, WALK_FAULT, WALK_STEPPED, Walk,
};
use sleepwalk_trace::record::STATE_TORN;
use sleepwalk_trace::time::{BootNanos, MonoNanos};

use super::layout::Layout;
use super::{Key, Sample, SnapshotSummary};
use crate::probe::btf::Kernel;
use crate::probe::run_prog::{RunProgram, Type};
use crate::probe::{kfunc_link, walk_object};

const SLOTS: &str = "SLOTS";
const STEPS: &str = "STEPS";

/// One of the probe's walk programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Under the kernel's own lock: Linux 7.2, android16-6.12 of mid-2026.
    Locked,
    /// Without it: Linux 5.17 (`bpf_loop`).
    Unlocked,
    /// Without it and in steps: Linux 5.10.
    Steps,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Locked => "walk_locked",
            Self::Unlocked => "walk_unlocked",
            Self::Steps => "walk_steps",
        }
    }
}

/// One of the probe's walk programs, loaded.
#[derive(Debug)]
pub struct Walker {
    program: RunProgram,
    layout: Layout,
    slots: MmapRaw,
    capacity: u32,
    /// Address of the list's head; 0 if the program finds it on its own.
    head: u64,
    /// For [`Program::Steps`] alone.
    steps: Option<MmapRaw>,
    /// Keep the maps' descriptors, and with them the mappings' objects.
    _maps: Vec<MapData>,
}

impl Walker {
    /// Loads `program` with room for `capacity` sources. It starts at `head`, unless that is 0.
    pub fn load(kernel: &Kernel, program: Program, head: u64, capacity: u32) -> Result<Self> {
        let layout = Layout::new(kernel)?;
        let elf = walk_object()?;
        let mut object = aya_obj::Object::parse(elf).context("the probe cannot be parsed")?;
        kfunc_link::link(elf, &mut object, program.name(), &kernel.ids)?;

        let map = |name, entries| {
            let mut definition = object.maps.get(name).context("the probe lacks its map")?.clone();
            definition.set_max_entries(entries);
            MapData::create(definition, name, None)
                .with_context(|| format!("the kernel gives no map for {capacity} sources"))
        };
        let mapped = |map: &MapData, length| {
            MmapOptions::new().len(length).map_raw(&map.fd().as_fd()).context("mmap of a map")
        };
        let slots = map(SLOTS, capacity)?;
        let mapped_slots = mapped(&slots, capacity as usize * size_of::<Slot>())?;
        let (kind, steps, mapped_steps) = match program {
            Program::Locked | Program::Unlocked => (Type::Syscall, None, None),
            Program::Steps => {
                let steps = map(STEPS, 1)?;
                let mapped = mapped(&steps, size_of::<Steps>())?;
                (Type::RawTracepoint, Some(steps), Some(mapped))
            }
        };
        let named = [(SLOTS, Some(&slots)), (STEPS, steps.as_ref())];
        let named: Vec<_> =
            named.into_iter().filter_map(|(name, map)| Some((name, map?))).collect();
        let program = RunProgram::load(object, (program.name(), kind), &named)?;
        let maps = [slots].into_iter().chain(steps).collect();
        let (slots, steps) = (mapped_slots, mapped_steps);
        Ok(Self { program, layout, slots, capacity, head, steps, _maps: maps })
    }

    fn slot(&self, n: usize) -> &Slot {
        debug_assert!(n < self.capacity as usize);
        // SAFETY: within the mapping, which is page-aligned and holds `capacity` slots of integers
        // only; the probe writes them in `run` alone, which takes `self` mutably.
        unsafe { &*self.slots.as_ptr().cast::<Slot>().add(n) }
    }

    /// Walks the list once and fills the slots.
    pub fn run(&mut self) -> Result<Walk> {
        let mut walk = Walk { head: self.head, ..self.layout.walk(self.capacity) };
        if let Some(steps) = &self.steps {
            walk = run_steps(&self.program, steps, walk)?;
        } else {
            self.program.run(&mut walk).context("the walk cannot be run")?;
        }
        match walk.status {
            WALK_DONE | WALK_FAULT | WALK_ENDLESS | WALK_CHANGED => Ok(walk),
            other => bail!("the walk ended with the unknown status {other}"),
        }
    }

    /// Hands each source that `walk` has found to `visit`.
    pub fn for_each(&self, walk: &Walk, visit: &mut dyn FnMut(&Sample<'_>)) -> SnapshotSummary {
        let stored = walk.stored.min(self.capacity);
        for slot in (0..stored as usize).map(|n| self.slot(n)) {
            let mut state = self.layout.state(&slot.node);
            if slot.flags & SLOT_TORN != 0 {
                state.state |= STATE_TORN;
            }
            let length = slot.name.iter().position(|b| *b == 0).unwrap_or(slot.name.len());
            visit(&Sample {
                key: Key::Address(slot.address),
                name_pointer: slot.name_pointer,
                id: Some(self.layout.id(&slot.node)),
                name: &slot.name[..length],
                name_cut: slot.flags & (SLOT_NAME_CUT | SLOT_NAME_FAULT) != 0,
                state,
            });
        }
        SnapshotSummary {
            begin: BootNanos(walk.begin_ns),
            mono: MonoNanos(walk.begin_mono_ns),
            end: BootNanos(walk.end_ns),
            end_mono: MonoNanos(walk.end_mono_ns),
            seen: walk.seen,
            stored,
            broken: walk.status != WALK_DONE,
        }
    }
}

/// Runs until the walk is over.
fn run_steps(program: &RunProgram, mapping: &MmapRaw, walk: Walk) -> Result<Walk> {
    let steps = mapping.as_mut_ptr().cast::<Steps>();
    // SAFETY: the mapping holds one `Steps`, page-aligned; the probe uses it in `run_alone` alone.
    unsafe { steps.write_volatile(Steps { walk, ..Steps::default() }) };
    loop {
        program.run_alone().context("the walk cannot be run")?;
        // SAFETY: as above.
        let walk = unsafe { steps.read_volatile() }.walk;
        match walk.status {
            WALK_STEPPED if walk.seen < MAX_NODES => {}
            WALK_STEPPED => return Ok(Walk { status: WALK_ENDLESS, ..walk }),
            _ => return Ok(walk),
        }
    }
}
