//! Any bytes behind right checksums, so that records are reached.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sleepwalk_trace_fuzz::read(&sleepwalk_trace_fuzz::mend(bytes));
});
