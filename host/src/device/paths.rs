//! Where things are on a device.

/// The folder that every program may use.
pub const TMP: &str = "/data/local/tmp";

/// The folder of the agent and its traces.
pub const DIR: &str = "/data/local/tmp/sleepwalk";
