//! The device: everything that goes over adb.
//!
//! [`adb`] runs commands and copies files, [`agent`] installs the agent, [`guard`] keeps others away
//! from both, [`capture`] runs one
//! capture from start to end, and [`remote`] finds and controls a capture by its name.

pub mod adb;
pub mod agent;
pub mod call;
pub mod capture;
pub mod error;
pub mod files;
pub mod guard;
pub mod paths;
pub mod remote;
pub mod state;

mod connect;
mod root;
mod select;
mod shell;
