//! Report → text. Pure: no clock, no terminal, no file.

pub mod html;
pub mod json;
pub mod records;
pub mod table;
