//! The tracing programs: what happens to wakeup sources and suspend attempts, as it happens.
//!
//! Each hook comes in two forms, of which the agent attaches the first that this kernel takes: one
//! that needs the kernel's BTF, and one that does not.
#![no_std]
#![no_main]

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
