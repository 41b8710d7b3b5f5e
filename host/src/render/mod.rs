//! Report → text. Pure: no clock, no terminal, no file.

pub mod csv;
pub mod findings;
pub mod html;
pub mod json;
pub mod labels;
pub mod markdown;
pub mod page;
pub mod pages;
pub mod records;
pub mod terminal;
