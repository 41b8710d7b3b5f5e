//! Exit codes, and the errors that choose them.

use thiserror::Error;

use crate::device::error::DeviceError;
use crate::session::decode::TraceError;

/// The exit code of `check` when a limit is broken.
pub const LIMIT_BROKEN: u8 = 3;
/// The exit code of `diff --fail-on` when there is such a change: like a broken limit, a verdict on the
/// build.
pub const REGRESSION: u8 = LIMIT_BROKEN;
/// The exit code when no device can be used.
pub const NO_DEVICE: u8 = 4;

/// Arguments that are wrong in a way that clap cannot check; exit code 2.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// The exit code for an error: 2 for wrong usage, 4 if no device can be used, 5 if a trace cannot
/// be read, else 1.
pub fn code(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() {
        2
    } else if error.chain().any(|cause| cause.is::<DeviceError>()) {
        NO_DEVICE
    } else if error.chain().any(|cause| cause.is::<TraceError>()) {
        5
    } else {
        1
    }
}
