//! The result of a check.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

/// Result of one check.
#[derive(Debug, Serialize)]
pub struct Check {
    /// The thing that was checked.
    pub name: &'static str,
    /// Whether it works.
    pub state: CheckState,
    /// The finding, or the error.
    pub found: String,
    /// The loss without it; empty if there is none.
    pub lost: String,
    /// The fix; empty if nothing is lost.
    pub fix: String,
}

/// Whether something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// It works.
    Ok,
    /// A capture works, but has less in it.
    Degraded,
    /// Nothing can be recorded.
    Missing,
}

/// The loss of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Kinds of data.
    pub data: &'static str,
    /// The resolution of times.
    pub times: &'static str,
    /// More work for the device.
    pub cost: &'static str,
}

impl Loss {
    /// Nothing is recorded.
    pub const fn everything(why: &'static str) -> Self {
        Self { data: why, times: "all", cost: "none" }
    }

    /// Data alone.
    pub const fn data(data: &'static str) -> Self {
        Self { data, times: "none", cost: "none" }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data: {}; times: {}; cost: {}", self.data, self.times, self.cost)
    }
}

impl Check {
    /// The check `name`: ok with what was found, or `otherwise` with the error.
    pub fn new(
        name: &'static str,
        otherwise: CheckState,
        result: Result<String>,
        lost: Loss,
        fix: impl Into<String>,
    ) -> Self {
        match result {
            Ok(found) => {
                let (lost, fix) = (String::new(), String::new());
                Self { name, state: CheckState::Ok, found, lost, fix }
            }
            Err(error) => {
                let (found, lost, fix) = (format!("{error:#}"), lost.to_string(), fix.into());
                Self { name, state: otherwise, found, lost, fix }
            }
        }
    }
}
