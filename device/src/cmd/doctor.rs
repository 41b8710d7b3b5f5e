//! `sleepwalkd doctor`: what works here, and what is lost without the rest.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::json;

use crate::preflight::{State, checks};

/// The text to print, and whether this device can be recorded.
pub fn run(json: bool) -> Result<(String, bool)> {
    let checks = checks();
    let usable = checks.iter().all(|check| check.state != State::Missing);
    if json {
        return Ok((serde_json::to_string(&json!({ "checks": checks }))? + "\n", usable));
    }
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for check in &checks {
        let state = match check.state {
            State::Ok => "ok",
            State::Degraded => "degraded",
            State::Missing => "missing",
        };
        writeln!(text, "{state:<8}  {:<width$}  {}", check.name, check.found)?;
        for (what, said) in [("lost", check.lost), ("mend", check.mend)] {
            if !said.is_empty() {
                writeln!(text, "{:8}  {:width$}  {what}: {said}", "", "")?;
            }
        }
    }
    Ok((text, usable))
}
