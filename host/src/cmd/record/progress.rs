//! The progress bar of a recording.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cmd::console::say;
use crate::interrupt;
use crate::text::one_line;
use crate::units::duration;

/// The progress of a recording: a bar on a terminal, else one line at the start.
pub(super) struct Progress {
    bar: ProgressBar,
    begun: Instant,
}

impl Progress {
    /// Shows the start of a recording on device `serial`.
    pub(super) fn start(length: Duration, serial: &str) -> Self {
        let (text, serial) = (duration(length), one_line(serial));
        let message =
            format!("recording on {serial} for {text}; Ctrl-C stops early and keeps the trace");
        let bar = ProgressBar::new(length.as_secs());
        if bar.is_hidden() {
            say(&message);
        } else {
            let template = "{msg}\n[{bar:40}] {elapsed} of {prefix}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_message(message);
            bar.set_prefix(text);
        }
        Self { bar, begun: Instant::now() }
    }

    /// The time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Moves the bar for the length of `pause`, or until Ctrl-C.
    pub(super) fn pass(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while interrupt::count() == 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            interrupt::sleep(left.min(Duration::from_millis(500)), 0);
            self.bar.set_position(self.elapsed().as_secs());
        }
    }

    /// Prints a message above the bar.
    pub(super) fn say(&self, message: &str) {
        self.bar.suspend(|| say(message));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
