//! Snapshots by the probe's walk of the kernel's list.

use std::os::fd::AsFd as _;

use anyhow::{Context, Result, bail};
use aya::maps::MapData;
use memmap2::{MmapOptions, MmapRaw};
use sleepwalk_trace::abi::{
    SLOT_NAME_CUT, SLOT_NAME_FAULT, SLOT_TORN, Slot, WALK_CHANGED, WALK_DONE, WALK_ENDLESS,
    WALK_FAULT, Walk,
};
use sleepwalk_trace::record::STATE_TORN;
use sleepwalk_trace::time::{BootNanos, MonoNanos};

use super::layout::Layout;
use super::{Key, Sample, SnapshotSummary};
use crate::probe::btf::Kernel;
use crate::probe::syscall_prog::SyscallProgram;
use crate::probe::{kfunc_link, walk_object};

const MAP: &str = "SLOTS";

/// One of the probe's two walk programs, loaded.
#[derive(Debug)]
pub struct Walker {
    program: SyscallProgram,
    layout: Layout,
    slots: MmapRaw,
    capacity: u32,
    /// Address of the list's head; 0 if the program finds it on its own.
    head: u64,
    /// Keeps the map's descriptor, and with it the mapping's object, for [`Walker::slots`].
    _map: MapData,
}

impl Walker {
    /// Loads `program` with room for `capacity` sources. It starts at `head`, unless that is 0.
    pub fn load(kernel: &Kernel, program: &str, head: u64, capacity: u32) -> Result<Self> {
        let layout = Layout::new(kernel)?;
        let elf = walk_object()?;
        let mut object = aya_obj::Object::parse(elf).context("the probe cannot be parsed")?;
        kfunc_link::link(elf, &mut object, program, &kernel.ids)?;

        let mut definition = object.maps.get(MAP).context("the probe lacks its map")?.clone();
        definition.set_max_entries(capacity);
        let map = MapData::create(definition, MAP, None)
            .with_context(|| format!("the kernel gives no map for {capacity} sources"))?;
        let program = SyscallProgram::load(object, program, MAP, &map)?;
        let length = capacity as usize * size_of::<Slot>();
        let slots = MmapOptions::new()
            .len(length)
            .map_raw_read_only(&map.fd().as_fd())
            .context("the probe's map cannot be mapped")?;
        Ok(Self { program, layout, slots, capacity, head, _map: map })
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
        self.program.run(&mut walk).context("the walk cannot be run")?;
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
            seen: walk.seen,
            stored,
            broken: walk.status != WALK_DONE,
        }
    }
}
