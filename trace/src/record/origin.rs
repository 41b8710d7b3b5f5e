//! Records of the code, the devices, the processes and the wakelocks behind sources.

use bincode::{Decode, Encode};

/// The context in which a source is activated: the function that called the core of wakeup sources
/// (`drivers/base/power/wakeup.c`), and the thread or the interrupt in which it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Activator {
    /// Its number, unique in the trace. Each chunk that needs it defines it again.
    pub id: u32,
    /// [`StringDef::id`](super::StringDef::id) of the function's name; an empty string if it is not known.
    pub function: u32,
    /// [`StringDef::id`](super::StringDef::id) of the name of the module that has it; an empty string for the kernel itself.
    pub module: u32,
    /// One of the `LEVEL_*` values.
    pub level: u8,
    /// The process' id (`tgid`); 0 in an interrupt, which has none, and for the kernel's idle thread.
    pub process: u32,
    /// The thread's id (`pid`); likewise.
    pub thread: u32,
    /// The process' user; likewise.
    pub uid: u32,
    /// [`StringDef::id`](super::StringDef::id) of the thread's name (`comm`); an empty string in an interrupt.
    pub comm: u32,
    /// The functions on the kernel's stack, the innermost first, as `name+0xoffset [module]`; an address without
    /// a symbol is `?`. Empty if the trace has them already, if they were not recorded, or are not known.
    pub frames: Vec<String>,
}

/// A thread ran.
pub const LEVEL_THREAD: u8 = 0;
/// A soft interrupt (`softirq`) was handled.
pub const LEVEL_SOFT_IRQ: u8 = 1;
/// An interrupt was handled (`hardirq`).
pub const LEVEL_HARD_IRQ: u8 = 2;
/// An interrupt that cannot be masked was handled.
pub const LEVEL_NMI: u8 = 3;
/// One of these; which is not known, because the kernel has no BTF. The thread may be a bystander.
pub const LEVEL_UNKNOWN: u8 = 255;

/// The source's activations from here on, in this chunk, have this activator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ActivatedBy {
    /// [`SourceDef::instance`](super::SourceDef::instance).
    pub source: u32,
    /// [`Activator::id`].
    pub activator: u32,
}

/// The device that owns a source (`/sys/class/wakeup/wakeupN/device`). A source without an owner has no such record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SourceDevice {
    /// [`SourceDef::instance`](super::SourceDef::instance).
    pub source: u32,
    /// [`StringDef::id`](super::StringDef::id) of its path below `/sys/devices`.
    pub path: u32,
    /// [`StringDef::id`](super::StringDef::id) of its driver's name, or of that of its nearest parent with one; an empty string if there is
    /// none.
    pub driver: u32,
    /// [`StringDef::id`](super::StringDef::id) of its first `compatible` in the device tree, likewise.
    pub compatible: u32,
    /// The number of its interrupt (`irq` in its folder), which few devices show.
    pub irq: Option<u32>,
}

/// A process that had, when the capture started, an epoll set with EPOLLWAKEUP for a file. The kernel makes a source
/// with the file's name for each such entry, so that the process is a candidate for the sources of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EpollWaiter {
    /// [`StringDef::id`](super::StringDef::id) of the name of the file's source.
    pub name: u32,
    /// The process' id.
    pub process: u32,
    /// The process' user.
    pub uid: u32,
    /// [`StringDef::id`](super::StringDef::id) of the process' name (`comm`).
    pub comm: u32,
}

/// A part of the output of `dumpsys SERVICE`, which the agent runs on Android. The parts of a dump have the same stamp
/// and follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ServiceDump {
    /// The dump's number, unique in the trace.
    pub dump: u32,
    /// The arguments of `dumpsys`.
    pub service: String,
    /// One of the `DUMP_*` values.
    pub status: u8,
    /// From the stamp, at which it began, to its end, in ns of CLOCK_BOOTTIME.
    pub took_ns: u64,
    /// The next bytes of the output, compressed as a zlib stream (RFC 1950).
    pub bytes: Vec<u8>,
}

/// More parts follow.
pub const DUMP_GOES_ON: u8 = 0;
/// The output is whole.
pub const DUMP_WHOLE: u8 = 1;
/// The output was longer than the agent keeps.
pub const DUMP_CUT: u8 = 2;
/// The command took too long, and was killed.
pub const DUMP_TIMED_OUT: u8 = 3;
/// The command could not be run, or failed.
pub const DUMP_FAILED: u8 = 4;
