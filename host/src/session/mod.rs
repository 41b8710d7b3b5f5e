//! A trace as a session: decoded once ([`decode`]), and put in order once ([`order`]).

pub mod decode;
pub mod order;
