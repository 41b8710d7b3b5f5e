//! The kernel's own account of failed attempts, in `/sys/power/suspend_stats`.

use std::fs;

use anyhow::{Context as _, Result};

const FOLDER: &str = "/sys/power/suspend_stats";
/// Its counters of failures; each belongs to a step.
const STEPS: [&str; 5] = ["freeze", "prepare", "suspend", "suspend_late", "suspend_noirq"];

/// The counters at one time.
pub struct Stats([u64; STEPS.len()]);

impl Stats {
    /// As they are now.
    pub fn read() -> Result<Stats> {
        let mut counts = [0; STEPS.len()];
        for (count, step) in counts.iter_mut().zip(STEPS) {
            let text = read(&format!("failed_{step}"))?;
            *count = text.parse().with_context(|| format!("failed_{step}: `{text}`"))?;
        }
        Ok(Stats(counts))
    }

    /// The step that has failed since `before`.
    pub fn failed_since(&self, before: &Stats) -> Option<&'static str> {
        let rose = self.0.iter().zip(before.0).zip(STEPS).find(|((now, then), _)| **now > *then);
        rose.map(|(_, step)| step)
    }
}

fn read(name: &str) -> Result<String> {
    let path = format!("{FOLDER}/{name}");
    let text = fs::read_to_string(&path).context(path)?;
    Ok(text.trim().to_owned())
}
