//! The state of a capture, and how often it is polled.

use std::time::Duration;

/// The state of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The agent loads its probe.
    Starting,
    /// The agent records.
    Capturing,
    /// The agent exited with this code; `None` if it was killed.
    Ended(Option<i32>),
}

/// The interval between polls while the agent starts or ends. While it records, `cmd::record::poll`
/// asks far less often.
pub const POLL: Duration = Duration::from_millis(200);
