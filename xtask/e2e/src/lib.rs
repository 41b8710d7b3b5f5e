//! What the end-to-end tests need: the device over adb, and the kernel's own word to compare with.
//!
//! `cargo xtask test` builds everything, boots the virtual device and names it in the environment.
//! The tests speak to the device through adb alone, and take as true only what ftrace, debugfs and
//! sysfs say.

pub mod debugfs;
pub mod device;
pub mod ftrace;
pub mod trace;

pub use device::Device;
