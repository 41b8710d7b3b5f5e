//! Bytes → records. Damage is counted and passed over; what is whole is never refused.

use bincode::de::Decode;
use thiserror::Error;

use crate::chunk::{
    self, ALIGN, CHUNK_HEADER, CHUNK_MAGIC, ChunkHeader, FILE_HEADER, FILE_MAGIC, VERSION,
};
use crate::record::{Record, Stamped};
use crate::time::BootNanos;

/// No trace can be read from these bytes.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OpenError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// Another kind of file.
    #[error("it is not a Sleepwalk trace: it begins with {0:02x?}, a trace with {FILE_MAGIC:02x?}")]
    NotATrace(Vec<u8>),
    /// It breaks off within its header.
    #[error("it has {0} bytes, and a trace's header alone has {FILE_HEADER}")]
    Short(usize),
    /// The header's checksum is wrong.
    #[error("its header is damaged: the checksum does not match")]
    DamagedHeader,
    /// Written by a later Sleepwalk.
    #[error("its format is version {0}, and this sleepwalk reads up to {VERSION}: use a newer one")]
    Newer(u16),
}

/// How many times its own length a damaged file may cost in checksums.
const PATIENCE: usize = 32;

/// What could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Bytes that belong to no sound chunk and are not the unwritten rest of the file.
    pub bytes: u64,
    /// Chunks missing, by their sequence numbers.
    pub missing_chunks: u64,
    /// Records in sound chunks that did not decode: a bug of the writer's, not of the storage.
    pub bad_records: u64,
    /// Records of kinds that this version does not know: not damage, but not read either.
    pub unknown_records: u64,
}

/// One step through a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A chunk begins.
    Chunk(ChunkHeader),
    /// A record of it.
    Record(Stamped),
    /// Something is missing here; what builds on earlier records must begin anew.
    Gap,
}

/// Walks through a trace's chunks and records.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// Behind the last byte that is not zero: what the writer allocated and has not written is zero,
    /// and no damage.
    used: usize,
    /// Where the next chunk is looked for.
    at: usize,
    /// How many more bytes may be checksummed in vain: a forged file full of chunk magics must not
    /// cost the square of its length.
    patience: usize,
    /// What is left of the chunk under way.
    payload: &'a [u8],
    last: BootNanos,
    next_sequence: u32,
    /// To hand out before going on.
    queued: Option<ChunkHeader>,
    damage: Damage,
}

impl<'a> Reader<'a> {
    /// Checks the file header.
    pub fn open(bytes: &'a [u8]) -> Result<Self, OpenError> {
        if bytes.is_empty() {
            return Err(OpenError::Empty);
        }
        let magic = &bytes[..bytes.len().min(FILE_MAGIC.len())];
        if !FILE_MAGIC.starts_with(magic) {
            return Err(OpenError::NotATrace(magic.to_vec()));
        }
        let Some(header) = bytes.get(..FILE_HEADER) else {
            return Err(OpenError::Short(bytes.len()));
        };
        if chunk::crc32c(&header[..12]) != chunk::u32_at(header, 12) {
            return Err(OpenError::DamagedHeader);
        }
        let version = u16::from_le_bytes([header[8], header[9]]);
        if version > VERSION {
            return Err(OpenError::Newer(version));
        }
        let length = u16::from_le_bytes([header[10], header[11]]);
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        Ok(Self {
            bytes,
            used,
            at: usize::from(length),
            patience: PATIENCE * bytes.len(),
            payload: &[],
            last: BootNanos(0),
            next_sequence: 0,
            queued: None,
            damage: Damage::default(),
        })
    }

    /// What was found damaged so far; complete once the iterator is at its end.
    pub fn damage(&self) -> Damage {
        self.damage
    }

    /// Bytes of the file up to the end of the last chunk read; behind it lies nothing, or the rest
    /// of what the agent had allocated.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Finds the next sound chunk; `true` in the first place if something is missing before it.
    fn next_chunk(&mut self) -> Option<(bool, ChunkHeader)> {
        let start = self.at;
        for at in (start..self.used).step_by(ALIGN) {
            if self.patience == 0 {
                break;
            }
            let candidate = &self.bytes[at..];
            let Some((header, payload)) = chunk::open(candidate) else {
                self.patience = self.patience.saturating_sub(chunk::cost(candidate));
                continue;
            };
            let gap = at > start || header.sequence != self.next_sequence;
            let missing = header.sequence.saturating_sub(self.next_sequence);
            self.damage.bytes += (at - start) as u64;
            self.damage.missing_chunks += u64::from(missing);
            self.next_sequence = header.sequence.wrapping_add(1);
            self.at = at + chunk::chunk_len(payload.len());
            self.payload = payload;
            self.last = header.base;
            return Some((gap, header));
        }
        // No magic yet, and nothing behind it: a chunk that is being written, or was when its writer
        // was killed. It is not damaged, it is not there.
        if !self.bytes[start.min(self.bytes.len())..].starts_with(&[0; CHUNK_MAGIC.len()]) {
            self.damage.bytes += self.used.saturating_sub(start) as u64;
        }
        self.at = start.max(self.used);
        None
    }

    /// The next record of the chunk under way; `None` at its end.
    fn next_record(&mut self) -> Option<Item> {
        while !self.payload.is_empty() {
            let Some((frame, rest)) = split_frame(self.payload) else {
                // Lengths within the chunk can't be trusted any more.
                self.payload = &[];
                self.damage.bad_records += 1;
                return Some(Item::Gap);
            };
            self.payload = rest;
            match decode(frame, self.last) {
                Ok(stamped) => {
                    self.last = stamped.at;
                    return Some(Item::Record(stamped));
                }
                Err(Undecoded::Unknown(at)) => {
                    self.last = at;
                    self.damage.unknown_records += 1;
                }
                Err(Undecoded::Bad(at)) => {
                    // Without its stamp those behind it can't be told either.
                    match at {
                        Some(at) => self.last = at,
                        None => self.payload = &[],
                    }
                    self.damage.bad_records += 1;
                    return Some(Item::Gap);
                }
            }
        }
        None
    }
}

impl Iterator for Reader<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(header) = self.queued.take() {
                return Some(Item::Chunk(header));
            }
            if let Some(item) = self.next_record() {
                return Some(item);
            }
            let (gap, header) = self.next_chunk()?;
            self.queued = Some(header);
            if gap {
                return Some(Item::Gap);
            }
        }
    }
}

enum Undecoded {
    /// Of a kind this version does not know; the stamp counts on.
    Unknown(BootNanos),
    /// With its stamp, where that much can be read.
    Bad(Option<BootNanos>),
}

fn split_frame(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, used) = get::<u32>(payload)?;
    payload.get(used..)?.split_at_checked(length as usize)
}

fn decode(frame: &[u8], last: BootNanos) -> Result<Stamped, Undecoded> {
    let (&kind, rest) = frame.split_first().ok_or(Undecoded::Bad(None))?;
    let (since, used) = get::<i64>(rest).ok_or(Undecoded::Bad(None))?;
    let at = BootNanos(last.0.wrapping_add_signed(since));
    let body = &rest[used..];
    let record = match kind {
        1 => whole(body).map(Record::Session),
        2 => whole(body).map(Record::Text),
        3 => whole(body).map(Record::Source),
        4 => whole(body).map(Record::Snapshot),
        5 => whole(body).map(Record::Phase),
        6 => whole(body).map(Record::Return),
        7 => whole(body).map(Record::Lost),
        8 => whole(body).map(Record::Overhead),
        9 => whole(body).map(Record::End),
        10 => whole(body).map(Record::Edge),
        11 => whole(body).map(Record::WaitBegin),
        12 => whole(body).map(Record::WaitEnd),
        13 => whole(body).map(Record::SaveCount),
        14 => whole(body).map(Record::Irq),
        15 => whole(body).map(Record::Wake),
        16 => whole(body).map(Record::Supply),
        17 => whole(body).map(Record::SuspendStats),
        _ => return Err(Undecoded::Unknown(at)),
    };
    record.map(|record| Stamped { at, record }).ok_or(Undecoded::Bad(Some(at)))
}

/// A body that is used up by its decoding.
fn whole<T: Decode<()>>(body: &[u8]) -> Option<T> {
    get(body).filter(|(_, used)| *used == body.len()).map(|(value, _)| value)
}

/// Decodes one value. The limit keeps a forged length from asking for memory: a chunk is at most
/// [`chunk::MAX_PAYLOAD`] long, and its elements grow by less than 8 in memory.
fn get<T: Decode<()>>(bytes: &[u8]) -> Option<(T, usize)> {
    const LIMIT: usize = 8 * chunk::MAX_PAYLOAD;
    let config = bincode::config::standard().with_limit::<LIMIT>();
    bincode::decode_from_slice(bytes, config).ok()
}

const _: () = assert!(CHUNK_HEADER.is_multiple_of(ALIGN) && FILE_HEADER.is_multiple_of(ALIGN));
