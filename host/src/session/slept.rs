//! When the machine sleeps.

use sleepwalk_trace::time::BootNanos;

/// Whether the device is within `machine_suspend`: nothing holds it awake meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slept {
    inside: Option<BootNanos>,
    deep: bool,
}

impl Slept {
    /// One `power:suspend_resume` event.
    pub fn phase(&mut self, at: BootNanos, action: &[u8], value: i32, begin: bool) {
        match (action, begin) {
            (b"machine_suspend", true) => {
                self.end();
                self.inside = Some(at);
                // `PM_SUSPEND_TO_IDLE`; below it the clock stops until `syscore_resume`.
                self.deep = value != 1;
            }
            (b"machine_suspend", false) if self.deep => {}
            (b"machine_suspend" | b"syscore_resume", false) => self.end(),
            (
                b"suspend_enter" | b"dpm_resume_noirq" | b"dpm_resume_early" | b"dpm_resume",
                true,
            ) => {
                self.end();
            }
            _ => {}
        }
    }

    /// The sleep is over, whatever else is in progress.
    pub fn end(&mut self) {
        self.inside = None;
    }

    /// Since when it sleeps.
    pub fn since(&self) -> Option<BootNanos> {
        self.inside
    }
}
