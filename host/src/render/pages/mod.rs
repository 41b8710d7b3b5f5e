//! What each report shows, as a [`Page`](super::page::Page) that every skin can draw.

pub mod check;
pub mod diff;
pub mod merged;
