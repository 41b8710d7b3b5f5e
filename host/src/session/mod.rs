//! A trace as a session: decoded once ([`decode`]).

pub mod decode;
