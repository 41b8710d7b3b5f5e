//! `sleepwalkd doctor`: what works on this device, what is lost without the rest, and how to fix
//! it.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::json;

use crate::doctor::check::CheckState;
use crate::doctor::checks;

/// The text to print, and whether this device can be recorded.
pub fn run(json: bool) -> Result<(String, bool)> {
    let checks = checks();
    let usable = checks.iter().all(|check| check.state != CheckState::Missing);
    if json {
        return Ok((serde_json::to_string(&json!({ "checks": checks }))? + "\n", usable));
    }
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for check in &checks {
        let state = match check.state {
            CheckState::Ok => "ok",
            CheckState::Degraded => "degraded",
            CheckState::Missing => "missing",
        };
        writeln!(text, "{state:<8}  {:<width$}  {}", check.name, check.found)?;
        for (label, line) in [("lost", &check.lost), ("fix", &check.fix)] {
            if !line.is_empty() {
                writeln!(text, "{:8}  {:width$}  {label}: {line}", "", "")?;
            }
        }
    }
    Ok((text, usable))
}
