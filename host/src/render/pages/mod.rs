//! Each report as a [`Page`](super::page::Page) that every skin can draw.

mod activators;
mod attempts;
mod candidates;
mod capture;
pub mod check;
mod devices;
pub mod diff;
mod findings;
pub mod import;
mod ledger;
pub mod merged;
mod next_steps;
mod ranking;
pub mod report;
mod user_space;
mod warnings;
