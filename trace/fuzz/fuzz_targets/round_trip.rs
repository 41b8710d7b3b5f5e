//! Decoded records stay the same when they are encoded again.
#![no_main]

use sleepwalk_trace::chunk::file_header;
use sleepwalk_trace::time::Clocks;
use sleepwalk_trace::write::ChunkWriter;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let records = sleepwalk_trace_fuzz::read(&sleepwalk_trace_fuzz::fix_checksums(bytes));
    let mut writer = ChunkWriter::default();
    for record in &records {
        writer.push_stamped(record);
    }
    let mut again = file_header(0).to_vec();
    again.extend(writer.seal(Clocks::default()).unwrap_or_default());
    assert_eq!(sleepwalk_trace_fuzz::read(&again), records);
});
