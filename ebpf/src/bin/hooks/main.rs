//! The tracing programs: they send events of wakeup sources and suspend attempts as they happen.
//!
//! Each hook has two forms, and the agent attaches the first that the kernel takes. One form needs
//! the kernel's BTF, the other does not.
#![no_std]
#![no_main]

mod activators;
mod edges;
mod out;
mod suspend;
mod waits;

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
