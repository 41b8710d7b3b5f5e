//! The virtual device: an arm64 kernel with real suspend and a real adbd under qemu.
//!
//! [`Vdev`] is an instance with a name and a folder `target/vdev/run/NAME`, [`OwnDevice`] one that a
//! task has to itself, and [`Device`] is how tasks and tests speak to a running one, over adb.

mod boot;
pub mod debian;
mod device;
mod disk;
mod gki;
mod initramfs;
mod instance;
mod modules;
mod own;
mod packages;
pub mod parts;
pub mod paths;
mod program;
mod qemu;
pub mod sh;
pub mod system;

pub use boot::{Boot, Refuses};
pub use device::{Device, FOLDER};
pub use instance::{DEADLINE, DEFAULT_NAME, Vdev};
pub use own::{OwnDevice, Reserved};
pub use packages::Kernel;
pub use program::Program;
