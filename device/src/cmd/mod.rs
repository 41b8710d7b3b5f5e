//! One file per command.

pub mod doctor;
pub mod measure;
pub mod record;
pub mod snapshot;
pub mod version;
