//! Whether a file and a capture are of one boot.

use anyhow::{Result, bail};
use sleepwalk_trace::time::BootNanos;

use super::facts::{AppHolds, Import};
use crate::fix::Fixable;
use crate::report::Traced;
use crate::session::decode::Model;

/// CLOCK_REALTIME may be set by as much between the two. A boot takes longer.
const NEAR_NS: u128 = 10_000_000_000;

/// The app wakelocks of `import`, if it is of the boot of the capture.
pub fn of_the_same_boot(import: &Import, model: &Model) -> Result<Traced> {
    let AppHolds { from_ns, to_ns, holds, real_at_boot_ns } = &import.app_holds;
    let file = import.files.join(", ");
    if holds.is_empty() {
        bail!(Fixable::new(
            format!("{file} has no app wakelocks with stamps"),
            "give a Perfetto trace with the data source android.app_wakelocks (Android 16 and later)",
        ));
    }
    let start_real = i128::from(model.start_real().0) - i128::from(model.start.0);
    let other_boot = real_at_boot_ns.is_some_and(|real| real.abs_diff(start_real) > NEAR_NS);
    if other_boot || *to_ns <= model.start.0 || *from_ns >= model.end.0 {
        bail!(Fixable::new(
            format!("{file} is of another boot or another time than the capture"),
            "give a Perfetto trace that was taken while the capture ran",
        ));
    }
    Ok(Traced { from: BootNanos(*from_ns), to: BootNanos(*to_ns), holds: holds.clone() })
}
