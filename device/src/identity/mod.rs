//! Which source is which, and the numbers that the trace gives to sources and strings.

pub mod instances;
pub mod name_table;
pub mod strings;
