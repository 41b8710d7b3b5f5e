//! Sleepwalk on the host: finds what keeps an Android device awake.
//!
//! Data flows one way: [`device`] copies a trace from the device, [`session`] decodes it, [`analyze`]
//! turns it into findings, [`report`] gives them a shape, [`compare`] compares several reports or
//! checks them against a policy, [`render`] turns them into text and [`export`] writes files for other
//! programs. Everything from [`session`] on is pure: after the capture, all runs offline on a saved
//! trace. [`import`] reads Android's own counters from bug reports instead. [`cmd`] has one file per command.

pub mod analyze;
pub mod cmd;
pub mod compare;
pub mod device;
pub mod export;
pub mod fix;
pub mod import;
pub mod interrupt;
pub mod render;
pub mod report;
pub mod session;
pub mod text;
pub mod units;
