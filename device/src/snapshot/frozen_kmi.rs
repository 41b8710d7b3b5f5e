//! `struct wakeup_source` of kernels that do not describe their types: android12-5.10 has no BTF.
//!
//! Google froze the interface between the kernel and its modules for each of its kernels (the KMI), and with it
//! the places of the members. `include/linux/pm_wakeup.h` has the struct, 5.10. It holds a `struct timer_list`
//! (`include/linux/timer.h`): Android's has two words more, reserved by `ANDROID_KABI_RESERVE`. Which of the two
//! a device has, and that it has either, `self_check` finds out.

use std::collections::BTreeMap;

use crate::probe::btf::{Kernel, Member};

/// The release of the kernels in the table starts with this (`uname -r`).
pub const RELEASE: &str = "5.10.";

/// A table of members.
#[derive(Clone, Debug)]
pub struct FrozenKmi {
    /// Whose it is.
    pub name: &'static str,
    /// As BTF would have it.
    pub kernel: Kernel,
}

/// The tables to try, those of phones first.
pub fn tables() -> [FrozenKmi; 2] {
    [
        FrozenKmi { name: "android12-5.10", kernel: with_timer(56) },
        FrozenKmi { name: "Linux 5.10", kernel: with_timer(40) },
    ]
}

/// The struct around a `struct timer_list` of this size.
fn with_timer(timer: u32) -> Kernel {
    // Behind `name`, `id`, `entry`, `lock` and `wakeirq` comes `timer`, at 48.
    let behind = 48 + timer;
    let offsets = [
        ("name", 0),
        ("id", 8),
        ("entry", 16),
        // At `behind` is `timer_expires`.
        ("total_time", behind + 8),
        ("max_time", behind + 16),
        ("last_time", behind + 24),
        ("start_prevent_time", behind + 32),
        ("prevent_sleep_time", behind + 40),
        ("event_count", behind + 48),
        ("active_count", behind + 56),
        ("relax_count", behind + 64),
        ("expire_count", behind + 72),
        ("wakeup_count", behind + 80),
    ];
    let words = offsets.map(|(name, at)| (name, Member { bit_offset: 8 * at, bit_size: 0 }));
    // Behind `dev`.
    let flags = 8 * (behind + 96);
    let bits = [
        ("active", Member { bit_offset: flags, bit_size: 1 }),
        ("autosleep_enabled", Member { bit_offset: flags + 1, bit_size: 1 }),
    ];
    let members = words.into_iter().chain(bits).collect::<BTreeMap<_, _>>();
    Kernel { size: behind + 104, members, ..Kernel::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::layout::Layout;

    #[test]
    fn each_table_makes_a_layout() {
        for table in tables() {
            let layout = Layout::new(&table.kernel);
            assert!(layout.is_ok(), "{}: {layout:?}", table.name);
        }
    }

    /// As a compiler for arm64 places them in mainline's 5.10, whose struct has 192 bytes.
    #[test]
    fn mainlines_struct_has_192_bytes() {
        let [android, mainline] = tables();
        assert_eq!((android.kernel.size, mainline.kernel.size), (208, 192));
        assert_eq!(mainline.kernel.member("active").unwrap().bit_offset, 8 * 184);
    }
}
