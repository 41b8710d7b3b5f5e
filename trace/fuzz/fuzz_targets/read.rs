//! Any bytes are read to their end.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sleepwalk_trace_fuzz::read(bytes);
});
