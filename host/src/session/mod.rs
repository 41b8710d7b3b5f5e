//! A trace as a session: decoded once ([`decode`]), put in order once ([`order`]), and who is held
//! when ([`held`]).

pub mod decode;
pub mod held;
pub mod order;
mod place;
mod slept;
pub mod stretch;
