//! Sleepwalk on the host: finds what keeps an Android device awake.
//!
//! Data flows one way: [`adb`] brings a trace from the device, [`session`] decodes it, [`analyze`]
//! turns it into findings, [`report`] gives them a shape, [`compare`] sets several of those against
//! each other or against a policy, [`render`] makes text of that and [`export`] files for other
//! programs. From [`session`] on all is pure, so that everything after the capture runs offline on a
//! saved trace. [`cmd`] has one file per command.

pub mod adb;
pub mod agent;
pub mod analyze;
pub mod capture;
pub mod cli;
pub mod cmd;
pub mod compare;
pub mod export;
pub mod interrupt;
pub mod render;
pub mod report;
pub mod session;
pub mod shell;
pub mod text;
pub mod units;
