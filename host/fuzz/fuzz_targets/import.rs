//! Any file is read to its end, each line of a text is counted once, and two can be subtracted.
#![no_main]

use sleepwalk::import::{difference, read_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let import = read_bytes("fuzz.pftrace", bytes);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    difference(&read_bytes("first", first), &read_bytes("second", second));
    // UTF-16 and Perfetto traces have other lines.
    if let Ok(text) = std::str::from_utf8(bytes)
        && !bytes.contains(&0)
        && !bytes.starts_with(&[0x0a])
        && !text.starts_with('\u{feff}')
    {
        let counted = import.parts.iter().map(|part| part.used + part.not_understood + part.not_read);
        assert_eq!(counted.sum::<u64>(), text.lines().count() as u64);
    }
});
