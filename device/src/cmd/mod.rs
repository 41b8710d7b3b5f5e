//! One file per command, and the steps that several of them share.

pub mod doctor;
pub mod measure;
mod own_sources;
pub mod record;
pub mod snapshot;
pub mod version;

use std::fmt;

use anyhow::{Context as _, Result, bail};

use crate::activators::Detail;
use crate::probe::btf::Kernel;
use crate::probe::hooks::Hooks;
use crate::probe::refusal;
use crate::snapshot::{Kind, Opened, open, open_best};
use crate::{capabilities, probe};

/// The context of an error that is due to the device.
#[derive(Clone, Copy, Debug)]
pub struct Unusable;

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this device cannot be used")
    }
}

/// The kernel's types from BTF. Some sources of snapshots and some hooks work without them.
fn kernel() -> Result<Kernel> {
    probe::kernel().inspect_err(|error| log::info!("{error:#}"))
}

/// Opens a source of snapshots: the given one, or the best that works.
fn open_source(
    kind: Option<Kind>,
    kernel: Result<&Kernel, &anyhow::Error>,
    capacity: u32,
) -> Result<Opened> {
    let opened = ensure_usable().and_then(|()| match kind {
        Some(kind) => open(kind, kernel, capacity),
        None => open_best(kernel, capacity),
    });
    let opened = opened.map_err(explained).context(Unusable)?;
    if !opened.why.is_empty() {
        log::warn!("snapshots come from {}: {}", opened.source.name(), opened.why);
    }
    Ok(opened)
}

/// Loads and attaches the hooks; without activators if activations cannot be recorded with them, and then with the
/// reason.
fn attach_hooks(
    kernel: Option<&Kernel>,
    edges: bool,
    activators: Detail,
) -> Result<(Hooks, Option<String>)> {
    let (hooks, lacks) = Hooks::attach_best(kernel, edges, activators.frames());
    Ok((hooks.map_err(explained).context(Unusable)?, lacks))
}

/// Fails where no kernel like this one, or no user like this one, can run the probe.
fn ensure_usable() -> Result<()> {
    capabilities::ensure_required()?;
    match refusal::beforehand() {
        Some(refusal) => bail!("{refusal}: {}", refusal.fix()),
        None => Ok(()),
    }
}

/// The error with the reason why the kernel refuses the probe, where the system shows it.
fn explained(error: anyhow::Error) -> anyhow::Error {
    match refusal::of(&error) {
        Some(refusal) => error.context(format!("{refusal}: {}", refusal.fix())),
        None => error,
    }
}
