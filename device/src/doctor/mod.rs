//! The checks of `sleepwalkd doctor`.

mod capabilities;
pub mod check;
mod kernel;

use check::Check;

/// Runs every check.
pub fn checks() -> Vec<Check> {
    let mut checks = capabilities::checks();
    checks.extend(kernel::checks());
    checks
}
