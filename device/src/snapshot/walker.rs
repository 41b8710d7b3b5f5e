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
const CHANGED: &str = "CHANGED";

/// One of the probe's walk programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// As the next one, and it stores only what has changed: Linux 6.17 (`bpf_rdonly_cast` to `void`).
    Compared,
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
            Self::Compared => "walk_compared",
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
    /// How many slots the last walk stored again, and their indices; for [`Program::Compared`] alone.
    changed: Option<MmapRaw>,
    /// How many sources the last walk saw, if it was whole.
    seen_before: Option<u32>,
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
        let mut named = vec![(SLOTS, slots)];
        let (mut steps, mut changed) = (None, None);
        let kind = match program {
            Program::Locked | Program::Unlocked => Type::Syscall,
            Program::Compared => {
                let list = map(CHANGED, capacity + 1)?;
                changed = Some(mapped(&list, (capacity as usize + 1) * size_of::<u64>())?);
                named.push((CHANGED, list));
                Type::Syscall
            }
            Program::Steps => {
                let state = map(STEPS, 1)?;
                steps = Some(mapped(&state, size_of::<Steps>())?);
                named.push((STEPS, state));
                Type::RawTracepoint
            }
        };
        let by_name: Vec<_> = named.iter().map(|(name, map)| (*name, map)).collect();
        let program = RunProgram::load(object, (program.name(), kind), &by_name)?;
        let maps = named.into_iter().map(|(_, map)| map).collect();
        let slots = mapped_slots;
        Ok(Self {
            program,
            layout,
            slots,
            capacity,
            head,
            changed,
            seen_before: None,
            steps,
            _maps: maps,
        })
    }

    fn slot(&self, n: usize) -> &Slot {
        debug_assert!(n < self.capacity as usize);
        // SAFETY: within the mapping, which is page-aligned and holds `capacity` slots of integers
        // only; the probe writes them in `run` alone, which takes `self` mutably.
        unsafe { &*self.slots.as_ptr().cast::<Slot>().add(n) }
    }

    /// The indices of the slots that the last walk stored again.
    fn changed(&self) -> &[u64] {
        let Some(map) = &self.changed else { return &[] };
        let list = map.as_ptr().cast::<u64>();
        // SAFETY: the mapping has `capacity + 1` integers; the probe writes them in `run` alone.
        unsafe {
            std::slice::from_raw_parts(list.add(1), (*list).min(self.capacity.into()) as usize)
        }
    }

    /// Walks the list once and fills the slots. Returns also whether each slot has the source that it had after
    /// the walk before, of which [`Program::Compared`] alone is sure.
    pub fn run(&mut self) -> Result<(Walk, bool)> {
        let before = self.seen_before.take();
        let mut walk = Walk { head: self.head, ..self.layout.walk(self.capacity) };
        if let Some(changed) = &self.changed {
            // SAFETY: the mapping is page-aligned, and begins with the count; no walk runs now.
            unsafe { changed.as_mut_ptr().cast::<u64>().write_volatile(0) };
        }
        if let Some(steps) = &self.steps {
            walk = run_steps(&self.program, steps, walk)?;
        } else {
            self.program.run(&mut walk).context("the walk cannot be run")?;
        }
        match walk.status {
            WALK_DONE => {
                self.seen_before = Some(walk.seen);
                let same = walk.moved == 0 && before == self.seen_before;
                Ok((walk, self.changed.is_some() && same))
            }
            WALK_FAULT | WALK_ENDLESS | WALK_CHANGED => Ok((walk, false)),
            other => bail!("the walk ended with the unknown status {other}"),
        }
    }

    /// Follows the list and stores nothing.
    pub fn follow(&mut self) -> Result<()> {
        let mut walk = Walk { head: self.head, ..self.layout.walk(0) };
        self.program.run(&mut walk).context("the walk cannot be run")
    }

    /// The time that the program has run so far, if the kernel counts it.
    pub fn run_time_ns(&self) -> Result<u64> {
        self.program.run_time_ns().context("bpf(2) says nothing of the walk")
    }

    /// Hands each source that `walk` has found to `visit`; with `changes_only`, each that it stored again.
    pub fn for_each(
        &self,
        walk: &Walk,
        changes_only: bool,
        visit: &mut dyn FnMut(&Sample<'_>),
    ) -> SnapshotSummary {
        let stored = walk.stored.min(self.capacity);
        if changes_only {
            let changed = self.changed().iter().filter(|n| **n < stored.into());
            changed.for_each(|n| self.hand_out(*n as usize, visit));
        } else {
            (0..stored as usize).for_each(|n| self.hand_out(n, visit));
        }
        SnapshotSummary {
            begin: BootNanos(walk.begin_ns),
            mono: MonoNanos(walk.begin_mono_ns),
            end: BootNanos(walk.end_ns),
            end_mono: MonoNanos(walk.end_mono_ns),
            seen: walk.seen,
            stored,
            broken: walk.status != WALK_DONE,
            changes_only,
        }
    }

    fn hand_out(&self, n: usize, visit: &mut dyn FnMut(&Sample<'_>)) {
        let slot = self.slot(n);
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
