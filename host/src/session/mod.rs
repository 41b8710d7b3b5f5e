//! A trace as a session: decoded once ([`decode`]), sorted once ([`order`]), and when each
//! source was held ([`held`]). [`hooks`] decides which events the trace has.

pub mod decode;
pub mod dumps;
pub mod held;
pub mod hooks;
pub mod order;
mod place;
mod slept;
pub mod slots;
pub mod stretch;
