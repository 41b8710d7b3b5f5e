//! What the tests of the HTML report share: Chromium, driven through a pipe, and reports to show.

pub mod chromium;
pub mod page;
pub mod sample;
