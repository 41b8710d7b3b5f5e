//! A trace as a session: decoded once ([`decode`]), sorted once ([`order`]), and when each
//! source was held ([`held`]).

pub mod decode;
pub mod held;
pub mod order;
mod place;
mod slept;
pub mod stretch;
