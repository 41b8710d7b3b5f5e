//! File header and chunk framing. All integers are little-endian.
//!
//! File header, [`FILE_HEADER`] bytes:
//!
//! | at | size | field |
//! |---|---|---|
//! | 0 | 8 | [`FILE_MAGIC`] |
//! | 8 | 2 | version, [`VERSION`] |
//! | 10 | 2 | length of this header; the first chunk starts there |
//! | 12 | 4 | CRC32C of bytes 0..12 and 16 to the header's end |
//! | 16 | 8 | length of a region; 0: the rest of the file is one region |
//!
//! Chunks follow one another, each at a multiple of 8. Chunk header, [`CHUNK_HEADER`] bytes:
//!
//! | at | size | field |
//! |---|---|---|
//! | 0 | 4 | [`CHUNK_MAGIC`], written last |
//! | 4 | 4 | length of the payload |
//! | 8 | 4 | sequence number, from 0 |
//! | 12 | 4 | CRC32C of bytes 4..12, 16..48 and the payload |
//! | 16 | 8 | base of the first record's stamp, CLOCK_BOOTTIME ns |
//! | 24 | 8 | CLOCK_BOOTTIME ns at the commit |
//! | 32 | 8 | CLOCK_BOOTTIME − CLOCK_MONOTONIC ns at the commit |
//! | 40 | 8 | CLOCK_REALTIME ns since 1970 at the commit, signed |
//!
//! The payload is padded with zeroes to a multiple of 8. A file is allocated before it is written,
//! so zeroes instead of a chunk's magic end the region. If a whole chunk follows, the zeroes are
//! damage. **Commit rule**: a writer stores the magic after the rest of the chunk, so that a reader
//! of a growing file sees only whole chunks.
//!
//! **Regions** limit the size of a file. The first starts after the header; all have the length in
//! the header (the last may be cut); no chunk crosses from one into the next. When a region is
//! full, the writer continues in the next one, and after the last one in the first. The data there
//! is the oldest: the writer zeroes the chunks' magics, from the last chunk to the first, and then
//! the whole region. Each region except the very first starts with a **prologue**, a chunk that has
//! nothing new: it repeats everything a reader needs to continue without the older regions. Readers
//!
//! - sort the regions by the sequence numbers of their first sound chunks, and leave a region where
//!   its numbers reach those of the next: that part was written while the file was copied;
//! - skip the prologue of a region if they have read the chunk before it, and everything since the
//!   prologue before;
//! - count as dropped, not as damaged, the chunks before the lowest sequence number, and those
//!   missing between the end of the first region in that order and the second: the writer was
//!   dropping that region.

use crc::{CRC_32_ISCSI, Crc, Table};

use crate::time::{BootNanos, Clocks, RealNanos};

/// The first bytes of a trace. The high bit and the line ends reveal a transfer that was not
/// binary.
pub const FILE_MAGIC: [u8; 8] = *b"\x89SWK\r\n\x1a\n";
/// The version that this crate writes, and the newest that it reads.
pub const VERSION: u16 = 1;
/// Bytes of the file header.
pub const FILE_HEADER: usize = 24;
/// No region is shorter, except the last one of a cut file.
pub const MIN_REGION: u64 = 4096;
/// The smallest limit for the size of a trace: two regions of a ring, each with room for a few
/// hundred sources.
pub const LEAST_SIZE: u64 = 256 << 10;
/// The first bytes of a chunk.
pub const CHUNK_MAGIC: [u8; 4] = *b"SWCK";
/// Bytes of a chunk header.
pub const CHUNK_HEADER: usize = 48;
/// No payload is longer; a greater length is damage.
pub const MAX_PAYLOAD: usize = 16 << 20;
/// Chunks start at multiples of this.
pub const ALIGN: usize = 8;

/// CRC-32C (Castagnoli), as iSCSI and ext4 use it. The 16-row table makes it about ten times as
/// fast as one row, for 16 KiB.
const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// CRC32C of `bytes`; the host also uses it, to compare two builds of the agent.
pub fn crc32c(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// The file header of the current version, with the length of a region (0, or a multiple of
/// [`ALIGN`] from [`MIN_REGION`] up).
pub fn file_header(region: u64) -> [u8; FILE_HEADER] {
    let mut header = [0; FILE_HEADER];
    header[..8].copy_from_slice(&FILE_MAGIC);
    header[8..10].copy_from_slice(&VERSION.to_le_bytes());
    header[10..12].copy_from_slice(&(FILE_HEADER as u16).to_le_bytes());
    header[16..24].copy_from_slice(&region.to_le_bytes());
    let crc = header_crc(&header);
    header[12..16].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The checksum of a file header, which has at least 16 bytes.
pub fn header_crc(header: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&header[..12]);
    digest.update(&header[16..]);
    digest.finalize()
}

/// Length that a chunk with this payload takes in the file.
pub fn chunk_len(payload: usize) -> usize {
    CHUNK_HEADER + payload.next_multiple_of(ALIGN)
}

/// The length in the file of the chunk with this header; `None` if it is not a chunk's header. It
/// ignores the checksum, because it is for a writer that walks over its own chunks.
pub fn length_by_header(header: &[u8; CHUNK_HEADER]) -> Option<usize> {
    let payload = u32_at(header, 4) as usize;
    (header[..4] == CHUNK_MAGIC && payload <= MAX_PAYLOAD).then(|| chunk_len(payload))
}

/// The fields of a chunk's header, except length and checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkHeader {
    /// From 0, without gaps in the output of one agent.
    pub sequence: u32,
    /// The base of the first record's stamp.
    pub base: BootNanos,
    /// The clocks when the chunk was committed.
    pub clocks: Clocks,
}

/// Fills in the header of `chunk`, whose payload follows [`CHUNK_HEADER`] reserved bytes, and pads
/// it. The result goes to the file, under the commit rule.
pub fn seal(chunk: &mut Vec<u8>, header: &ChunkHeader) {
    let payload = chunk.len() - CHUNK_HEADER;
    chunk[4..8].copy_from_slice(&(payload as u32).to_le_bytes());
    chunk[8..12].copy_from_slice(&header.sequence.to_le_bytes());
    chunk[16..24].copy_from_slice(&header.base.0.to_le_bytes());
    chunk[24..32].copy_from_slice(&header.clocks.boot.0.to_le_bytes());
    chunk[32..40].copy_from_slice(&header.clocks.suspended_ns.to_le_bytes());
    chunk[40..48].copy_from_slice(&header.clocks.real.0.to_le_bytes());
    let crc = checksum(chunk);
    chunk[12..16].copy_from_slice(&crc.to_le_bytes());
    chunk[..4].copy_from_slice(&CHUNK_MAGIC);
    chunk.resize(chunk_len(payload), 0);
}

/// The chunk at the start of `bytes`, if there is a whole and sound one: header and payload.
pub fn open(bytes: &[u8]) -> Option<(ChunkHeader, &[u8])> {
    let head = bytes.get(..CHUNK_HEADER)?;
    if head[..4] != CHUNK_MAGIC {
        return None;
    }
    let payload = u32_at(head, 4) as usize;
    if payload > MAX_PAYLOAD {
        return None;
    }
    let chunk = bytes.get(..CHUNK_HEADER + payload)?;
    if checksum(chunk) != u32_at(head, 12) {
        return None;
    }
    let header = ChunkHeader {
        sequence: u32_at(head, 8),
        base: BootNanos(u64_at(head, 16)),
        clocks: Clocks {
            boot: BootNanos(u64_at(head, 24)),
            suspended_ns: u64_at(head, 32),
            real: RealNanos(u64_at(head, 40) as i64),
        },
    };
    Some((header, &chunk[CHUNK_HEADER..]))
}

/// How many bytes [`open`] had to checksum before it refused `bytes`.
pub(crate) fn cost(bytes: &[u8]) -> usize {
    let Some(head) = bytes.get(..CHUNK_HEADER) else {
        return 0;
    };
    let payload = u32_at(head, 4) as usize;
    let length = CHUNK_HEADER + payload;
    let checked = head[..4] == CHUNK_MAGIC && payload <= MAX_PAYLOAD && length <= bytes.len();
    if checked { length } else { 0 }
}

fn checksum(chunk: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&chunk[4..12]);
    digest.update(&chunk[16..]);
    digest.finalize()
}

/// The little-endian `u32` at `at`; the caller has checked the length.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The little-endian `u64` at `at`; the caller has checked the length.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc32c() {
        // The check value of CRC-32/ISCSI in the catalogue of parametrised CRC algorithms.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn any_flipped_bit_damages_a_sealed_chunk() {
        let header = ChunkHeader {
            sequence: 7,
            base: BootNanos(1),
            clocks: Clocks { boot: BootNanos(2), suspended_ns: 3, real: RealNanos(-4) },
        };
        let mut chunk = vec![0; CHUNK_HEADER];
        chunk.extend_from_slice(b"payload");
        seal(&mut chunk, &header);
        assert_eq!(chunk.len(), chunk_len(7));
        assert_eq!(open(&chunk), Some((header, &b"payload"[..])));
        for bit in 0..(CHUNK_HEADER + 7) * 8 {
            let mut damaged = chunk.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&damaged), None, "bit {bit}");
        }
    }
}
