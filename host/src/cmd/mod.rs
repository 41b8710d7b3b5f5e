//! One file per command: its arguments and a short `run`; and the input and output that they share.

pub mod check;
pub mod diff;
pub mod doctor;
pub mod dump;
pub mod exit;
pub mod export;
pub mod help;
pub mod import;
pub mod look;
pub mod pull;
pub mod record;
pub mod report;
pub mod status;
pub mod stop;

mod console;
mod input;
mod new_file;
mod output;
mod target;
