//! Errors that name their fix.

use thiserror::Error;

use crate::device::error::DeviceError;

/// An error message, and how to fix it.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct Fixable {
    message: String,
    fix: String,
}

impl Fixable {
    /// An error with its fix.
    pub fn new(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { message: message.into(), fix: fix.into() }
    }
}

/// How to fix `error`: the first remedy that it or one of its causes names.
pub fn remedy(error: &anyhow::Error) -> Option<&str> {
    // A context is found on the error itself only, a cause in its chain only.
    let context = error.downcast_ref::<Fixable>().map(|fixable| fixable.fix.as_str());
    context.or_else(|| {
        error.chain().find_map(|cause| {
            let fixable = cause.downcast_ref::<Fixable>().map(|fixable| fixable.fix.as_str());
            fixable.or_else(|| cause.downcast_ref::<DeviceError>().and_then(DeviceError::remedy))
        })
    })
}
