//! Any text is read to its end, each of its lines is counted once, and two can be subtracted.
#![no_main]

use sleepwalk::import::{difference, read_text};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let import = read_text("fuzz", text);
    let counted = import.parts.iter().map(|part| part.used + part.not_understood + part.not_read);
    assert_eq!(counted.sum::<u64>(), text.lines().count() as u64);
    let (first, second) = text.split_at(text.floor_char_boundary(text.len() / 2));
    difference(&read_text("first", first), &read_text("second", second));
});
