//! The result of a check.

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
    pub lost: &'static str,
    /// The fix; empty if nothing is lost.
    pub fix: &'static str,
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

impl Check {
    /// The check `name`: ok with what was found, or `otherwise` with the error.
    pub fn new(
        name: &'static str,
        otherwise: CheckState,
        result: Result<String>,
        lost: &'static str,
        fix: &'static str,
    ) -> Self {
        match result {
            Ok(found) => Self { name, state: CheckState::Ok, found, lost: "", fix: "" },
            Err(error) => Self { name, state: otherwise, found: format!("{error:#}"), lost, fix },
        }
    }
}
