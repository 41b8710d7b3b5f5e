//! A running capture: the loop, and the records on their way into the trace.

pub mod detach;
pub mod journal;
pub mod lock;
mod prologue;
pub mod recorder;
mod snapshotter;
mod suspend_stats_returns;
mod user_space;
pub mod wakeups;
