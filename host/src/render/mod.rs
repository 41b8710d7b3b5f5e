//! Report → text. Pure: no clock, no terminal, no file.

pub mod check;
pub mod csv;
pub mod diff;
pub mod doc;
pub mod html;
pub mod json;
pub mod markdown;
pub mod merged;
pub mod records;
pub mod said;
pub mod summary;
pub mod table;
pub mod terminal;
