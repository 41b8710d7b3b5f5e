//! Code that the targets share.

use sleepwalk_trace::chunk::{
    self, ALIGN, CHUNK_HEADER, CHUNK_MAGIC, FILE_HEADER, MIN_REGION, crc32c, file_header,
};
use sleepwalk_trace::read::{Item, Reader};
use sleepwalk_trace::record::{Record, Stamped};
use sleepwalk_trace::snapshot::DeltaDecoder;

/// Reads everything, decodes the snapshots, checks what holds for any file, and returns the
/// records.
pub fn read(bytes: &[u8]) -> Vec<Stamped> {
    let Ok(mut reader) = Reader::open(bytes) else {
        return Vec::new();
    };
    let mut decoder = DeltaDecoder::default();
    let mut records = Vec::new();
    let mut gaps = 0u64;
    for item in reader.by_ref() {
        match item {
            Item::Chunk(_) => (),
            Item::Gap => {
                gaps += 1;
                decoder.forget();
            }
            Item::Record(stamped) => {
                if let Record::Snapshot(snapshot) = &stamped.record {
                    let _ = decoder.apply(stamped.at, snapshot);
                }
                records.push(stamped);
            }
        }
    }
    let damage = reader.damage();
    assert!(damage.bytes <= bytes.len() as u64, "more is damaged than there is: {damage:?}");
    assert!(damage.bad_records <= gaps, "a bad record without a gap: {damage:?}");
    assert!(reader.position() <= bytes.len().next_multiple_of(ALIGN), "it reads beyond the end");
    assert!(reader.next().is_none(), "the end is the end");
    records
}

/// The file with a sound header, and the right checksum in everything that looks like a chunk:
/// random bytes would not pass these checks.
pub fn fix_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    file.resize(file.len().max(FILE_HEADER), 0);
    let region = u64::from_le_bytes(file[16..24].try_into().unwrap_or_default()) % (1 << 20);
    let region = if region == 0 { 0 } else { (region / 8 * 8).max(MIN_REGION) };
    file[..FILE_HEADER].copy_from_slice(&file_header(region));
    let mut at = FILE_HEADER;
    while let Some(head) = file.get(at..at + CHUNK_HEADER) {
        let payload = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let end = at.saturating_add(CHUNK_HEADER).saturating_add(payload);
        if head[..4] != CHUNK_MAGIC || end > file.len() {
            at += ALIGN;
            continue;
        }
        let covered = [&file[at + 4..at + 12], &file[at + 16..end]].concat();
        file[at + 12..at + 16].copy_from_slice(&crc32c(&covered).to_le_bytes());
        at += chunk::chunk_len(payload);
    }
    file
}
