//! The checks of `sleepwalkd doctor`, in the order in which they can be fixed: who runs the agent, then the
//! system's settings, then what only another kernel has.

mod capabilities;
pub mod check;
mod events;
mod kconfig;
mod snapshots;
mod system;

use anyhow::anyhow;

use self::check::Check;
use self::kconfig::Kconfig;
use crate::capabilities::raise_memlock;
use crate::probe::{self, refusal};

/// Runs every check, as a capture does it: with the limit on locked memory raised.
pub fn checks() -> Vec<Check> {
    let kconfig = Kconfig::read();
    let mut checks = capabilities::checks();
    raise_memlock();
    checks.extend(system::checks(&kconfig));
    // Nothing else works then.
    if refusal::beforehand().is_some() {
        return checks;
    }
    let kernel = probe::kernel().map_err(|error| format!("{error:#}"));
    let kernel = || kernel.as_ref().map_err(|error| anyhow!(error.clone()));
    checks.extend(snapshots::checks(&kernel, &kconfig));
    checks.extend(events::checks(kernel().ok(), &kconfig));
    checks
}
