//! Any bytes behind correct checksums, so that the record decoder is reached.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sleepwalk_trace_fuzz::read(&sleepwalk_trace_fuzz::fix_checksums(bytes));
});
