//! Sleepwalk's two contracts, and no I/O.
//!
//! - [`abi`]: the memory that the probe in the kernel and the agent in user space share. One build
//!   makes both and embeds the probe in the agent, so it has no version and may change in any
//!   commit.
//! - The trace file ([`chunk`], [`record`], [`snapshot`], [`mod@write`], [`read`]): written on a
//!   device, read years later on another machine. A reader of version *n* reads every file of a
//!   version up to *n*, skips the record kinds it does not know, and refuses newer versions by
//!   name. `docs/trace-format.md` describes it to the byte.
//!
//! Everything decoded here comes from a device and is treated as hostile: damage is counted or
//! returned as an error, never a panic.
#![cfg_attr(not(any(feature = "file", feature = "units")), no_std)]

pub mod abi;
#[cfg(feature = "file")]
pub mod chunk;
#[cfg(feature = "file")]
pub mod read;
#[cfg(feature = "file")]
pub mod record;
#[cfg(feature = "file")]
pub mod snapshot;
#[cfg(feature = "file")]
pub mod time;
#[cfg(feature = "units")]
pub mod units;
#[cfg(feature = "file")]
mod varint;
#[cfg(feature = "file")]
pub mod write;
