//! The clock that stands still in sleep.

use sleepwalk_trace::time::BootNanos;

/// How long the device has been within `machine_suspend`: nobody held it awake meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slept {
    ns: u64,
    inside: Option<BootNanos>,
    deep: bool,
}

impl Slept {
    /// One `power:suspend_resume` event.
    pub fn phase(&mut self, at: BootNanos, action: &str, value: i32, begin: bool) {
        match (action, begin) {
            ("machine_suspend", true) => {
                self.end(at);
                self.inside = Some(at);
                // `PM_SUSPEND_TO_IDLE`; below it the clock stands still up to `syscore_resume`.
                self.deep = value != 1;
            }
            ("machine_suspend", false) if self.deep => {}
            ("machine_suspend" | "syscore_resume", false) => self.end(at),
            ("suspend_enter" | "dpm_resume_noirq" | "dpm_resume_early" | "dpm_resume", true) => {
                self.end(at);
            }
            _ => {}
        }
    }

    /// Whatever is under way, it does not sleep any more.
    pub fn end(&mut self, at: BootNanos) {
        if let Some(since) = self.inside.take() {
            self.ns += at.since(since);
        }
    }

    /// A clock that stands still meanwhile.
    pub fn awake(&self, at: BootNanos) -> u64 {
        let inside = self.inside.map_or(0, |since| at.since(since));
        at.0.saturating_sub(self.ns).saturating_sub(inside)
    }
}
