//! Bytes → records. The reader counts damage, skips it, and returns everything that is whole.

use bincode::de::Decode;
use thiserror::Error;

use crate::chunk::{
    self, ALIGN, CHUNK_HEADER, CHUNK_MAGIC, ChunkHeader, FILE_HEADER, FILE_MAGIC, MIN_REGION,
    VERSION,
};
use crate::record::{Edge, Record, Stamped};
use crate::time::BootNanos;
use crate::varint;

/// These bytes are not a readable trace.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OpenError {
    /// It has no bytes.
    #[error("it is empty")]
    Empty,
    /// Another kind of file.
    #[error("it is not a Sleepwalk trace: it begins with `{}`", .0.escape_ascii())]
    NotATrace(Vec<u8>),
    /// It ends within its header.
    #[error("it has {0} bytes, and a trace's header alone has {FILE_HEADER}")]
    Short(usize),
    /// The header's checksum is wrong, or its values are impossible.
    #[error("its header is damaged: the checksum does not match")]
    DamagedHeader,
    /// Written by a later Sleepwalk.
    #[error("its format is version {0}, and this sleepwalk reads up to {VERSION}: use a newer one")]
    Newer(u16),
}

/// A damaged file may cost at most this many times its length in checksums.
const PATIENCE: usize = 32;

/// The parts that could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Bytes that are neither in a sound chunk nor in the unwritten rest of the file.
    pub bytes: u64,
    /// Chunks missing, by their sequence numbers.
    pub missing_chunks: u64,
    /// Records in sound chunks that did not decode: a bug of the writer, not of the storage.
    pub bad_records: u64,
    /// Records of unknown kinds: not damaged, but not read either.
    pub unknown_records: u64,
}

/// One step through a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A chunk starts.
    Chunk(ChunkHeader),
    /// A record of it.
    Record(Stamped),
    /// Something is missing here; state from earlier records is no longer valid.
    Gap,
}

/// Part of the file, see [`crate::chunk`].
#[derive(Clone, Copy, Debug)]
struct Region {
    start: usize,
    end: usize,
    /// After the last byte that is not zero. The zeroes behind it are allocated and unwritten, not
    /// damaged.
    used: usize,
    /// Sequence number of the first sound chunk.
    first: Option<u32>,
}

impl Region {
    fn new(bytes: &[u8], start: usize, end: usize) -> Self {
        let last = bytes[start..end].iter().rposition(|b| *b != 0);
        Self { start, end, used: last.map_or(start, |last| start + last + 1), first: None }
    }
}

/// Walks through a trace's chunks and records.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// Sorted for reading.
    regions: Vec<Region>,
    /// The writer may have dropped chunks before the first.
    ring: bool,
    /// The index of the current region.
    current: usize,
    /// Where the search for the next chunk starts.
    at: usize,
    /// How many more bytes may be checksummed in vain. A forged file full of chunk magics must not
    /// cost the square of its length.
    patience: usize,
    /// The rest of the current chunk.
    payload: &'a [u8],
    last: BootNanos,
    /// Expected after the last chunk; `None` before the first.
    next_sequence: Option<u32>,
    /// Nothing is missing since the last prologue that was read, or since the start.
    whole: bool,
    /// The current chunk is a prologue that is read.
    prologue: bool,
    /// To return next.
    queued: Option<ChunkHeader>,
    damage: Damage,
    dropped_chunks: u64,
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
        let length = usize::from(u16::from_le_bytes([header[10], header[11]]));
        let whole = bytes.get(..length).filter(|_| length >= FILE_HEADER);
        let sound = whole.is_some_and(|h| chunk::header_crc(h) == chunk::u32_at(h, 12));
        if !sound {
            return Err(OpenError::DamagedHeader);
        }
        let version = u16::from_le_bytes([header[8], header[9]]);
        if version > VERSION {
            return Err(OpenError::Newer(version));
        }
        let region = chunk::u64_at(header, 16);
        let possible = region >= MIN_REGION && region.is_multiple_of(ALIGN as u64);
        if region != 0 && !possible {
            return Err(OpenError::DamagedHeader);
        }
        let mut reader = Self {
            bytes,
            regions: Vec::new(),
            ring: region != 0,
            current: 0,
            at: 0,
            patience: PATIENCE * bytes.len(),
            payload: &[],
            last: BootNanos(0),
            next_sequence: None,
            whole: true,
            prologue: false,
            queued: None,
            damage: Damage::default(),
            dropped_chunks: 0,
        };
        reader.arrange(length, region);
        Ok(reader)
    }

    /// Finds the regions and sorts them.
    fn arrange(&mut self, first: usize, length: u64) {
        let end = self.bytes.len();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length == 0 {
            self.regions.push(Region::new(self.bytes, first, end));
        } else {
            let mut found = Vec::new();
            let mut start = first;
            while start < end {
                let stop = start.saturating_add(length).min(end);
                let mut region = Region::new(self.bytes, start, stop);
                region.first = self.sound(start, &region).map(|(_, header, _)| header.sequence);
                found.push(region);
                start = stop;
            }
            // Regions without a sound chunk come last, because they have no sequence number.
            found.sort_by_key(|region| (region.first.is_none(), region.first));
            self.regions = found;
        }
        self.at = self.regions.first().map_or(end, |region| region.start);
    }

    /// The damage found so far; complete at the end of the iterator.
    pub fn damage(&self) -> Damage {
        self.damage
    }

    /// Chunks that the writer dropped to keep the file small. They are not damaged, and the rest
    /// can be read without them.
    pub fn dropped_chunks(&self) -> u64 {
        self.dropped_chunks
    }

    /// Whether the current chunk is a prologue: the writer dropped records between the snapshot in
    /// it and the next chunk.
    pub fn in_prologue(&self) -> bool {
        self.prologue
    }

    /// Bytes of the file up to the end of the last chunk read. At the end, only unwritten bytes
    /// follow.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next sound chunk of `region` from `start` on, and its place.
    fn sound(&mut self, start: usize, region: &Region) -> Option<(usize, ChunkHeader, &'a [u8])> {
        let bytes = self.bytes;
        for at in (start..region.used).step_by(ALIGN) {
            if self.patience == 0 {
                break;
            }
            let candidate = &bytes[at..region.end];
            match chunk::open(candidate) {
                Some((header, payload)) => return Some((at, header, payload)),
                None => self.patience = self.patience.saturating_sub(chunk::cost(candidate)),
            }
        }
        None
    }

    /// Finds the next sound chunk; the `bool` is true if something is missing before it.
    fn next_chunk(&mut self) -> Option<(bool, ChunkHeader)> {
        // The first region ended early, and nothing was read since.
        let mut cut = false;
        loop {
            let region = *self.regions.get(self.current)?;
            let start = self.at;
            let next = self.regions.get(self.current + 1).and_then(|next| next.first);
            // A number that reaches the next region's was written here while the file was copied.
            let sound = self.sound(start, &region);
            let sound = sound.filter(|(_, header, _)| next.is_none_or(|n| header.sequence < n));
            let Some((at, header, payload)) = sound else {
                // No magic yet, and nothing behind it: a chunk that is being written, or was when
                // its writer was killed. It does not exist yet, so it is not damaged.
                let ended = self.bytes[start.min(region.end)..region.end]
                    .starts_with(&[0; CHUNK_MAGIC.len()]);
                if !ended {
                    self.damage.bytes += region.used.saturating_sub(start) as u64;
                }
                cut = ended && self.current == 0;
                self.current += 1;
                // At the very end `at` stays at the end of the last region's used part.
                match self.regions.get(self.current) {
                    Some(next) => self.at = next.start,
                    None => self.at = start.max(region.used),
                }
                continue;
            };
            let missing = header.sequence.saturating_sub(self.next_sequence.unwrap_or(0));
            let first = self.next_sequence.is_none();
            let gap = at > start || self.next_sequence.unwrap_or(0) != header.sequence;
            let dropped = self.ring && (first || cut && at == start);
            if dropped {
                self.dropped_chunks += u64::from(missing);
            } else {
                self.damage.missing_chunks += u64::from(missing);
            }
            self.damage.bytes += (at - start) as u64;
            self.next_sequence = Some(header.sequence.wrapping_add(1));
            self.at = at + chunk::chunk_len(payload.len());
            // Chunks that were dropped before the first one are no gap: no state depends on them.
            let gap = if first && dropped { at > start } else { gap };
            self.whole &= !gap;
            // A prologue has nothing new for a reader of everything before it.
            let prologue = self.ring && at == region.start;
            self.prologue = prologue && (first || !self.whole);
            self.payload = if prologue && !self.prologue { &[] } else { payload };
            self.whole |= prologue;
            self.last = header.base;
            return Some((gap, header));
        }
    }

    /// The next record, if it is a sound edge. A long trace consists mostly of edges, and the
    /// general path spends more time on moving a [`Record`], whose largest kind has hundreds of
    /// bytes, than on decoding it.
    fn next_edge(&mut self) -> Option<(BootNanos, Edge)> {
        let (frame, rest) = split_frame(self.payload)?;
        let (&EDGE, stamped) = frame.split_first()? else { return None };
        let (since, body) = varint::i64(stamped)?;
        let edge = varint::edge(body)?;
        self.payload = rest;
        self.last = BootNanos(self.last.0.wrapping_add_signed(since));
        Some((self.last, edge))
    }

    /// The next record of the current chunk; `None` at its end.
    fn next_record(&mut self) -> Option<Item> {
        while !self.payload.is_empty() {
            let Some((frame, rest)) = split_frame(self.payload) else {
                // The rest of the chunk cannot be split into records.
                self.payload = &[];
                self.damage.bad_records += 1;
                self.whole = false;
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
                    // Without this stamp, the stamps behind it are unknown too.
                    match at {
                        Some(at) => self.last = at,
                        None => self.payload = &[],
                    }
                    self.damage.bad_records += 1;
                    self.whole = false;
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
            if let Some((at, edge)) = self.next_edge() {
                return Some(Item::Record(Stamped { at, record: Record::Edge(edge) }));
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

/// The kind of [`Record::Edge`].
const EDGE: u8 = 10;

enum Undecoded {
    /// An unknown kind. The next stamp counts from this one.
    Unknown(BootNanos),
    /// Bad, with its stamp if that is readable.
    Bad(Option<BootNanos>),
}

fn split_frame(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = varint::u32(payload)?;
    rest.split_at_checked(length as usize)
}

fn decode(frame: &[u8], last: BootNanos) -> Result<Stamped, Undecoded> {
    let (&kind, rest) = frame.split_first().ok_or(Undecoded::Bad(None))?;
    let (since, body) = varint::i64(rest).ok_or(Undecoded::Bad(None))?;
    let at = BootNanos(last.0.wrapping_add_signed(since));
    let record = match kind {
        1 => whole(body).map(Record::Session),
        2 => whole(body).map(Record::String),
        3 => whole(body).map(Record::Source),
        4 => whole(body).map(Record::Snapshot),
        5 => whole(body).map(Record::Phase),
        6 => whole(body).map(Record::Return),
        7 => whole(body).map(Record::Lost),
        8 => whole(body).map(Record::Overhead),
        9 => whole(body).map(Record::End),
        EDGE => varint::edge(body).map(Record::Edge),
        11 => whole(body).map(Record::WaitBegin),
        12 => whole(body).map(Record::WaitEnd),
        13 => whole(body).map(Record::CountWrite),
        14 => whole(body).map(Record::Irq),
        15 => whole(body).map(Record::Wake),
        16 => whole(body).map(Record::PowerSupply),
        17 => whole(body).map(Record::SuspendStats),
        18 => whole(body).map(Record::Waiters),
        19 => whole(body).map(Record::WakeReason),
        20 => whole(body).map(Record::HookRuns),
        21 => whole(body).map(Record::Note),
        22 => whole(body).map(Record::Activator),
        23 => whole(body).map(Record::ActivatedBy),
        24 => whole(body).map(Record::SourceDevice),
        25 => whole(body).map(Record::EpollWaiter),
        26 => whole(body).map(Record::ServiceDump),
        _ => return Err(Undecoded::Unknown(at)),
    };
    record.map(|record| Stamped { at, record }).ok_or(Undecoded::Bad(Some(at)))
}

/// A body that is used up by its decoding.
fn whole<T: Decode<()>>(body: &[u8]) -> Option<T> {
    get(body).filter(|(_, used)| *used == body.len()).map(|(value, _)| value)
}

/// Decodes one value. The limit keeps a forged length from allocating memory. Real records stay far
/// below it, although elements may take more than 8 times their bytes: only millions of sources in
/// one snapshot would reach it.
fn get<T: Decode<()>>(bytes: &[u8]) -> Option<(T, usize)> {
    const LIMIT: usize = 8 * chunk::MAX_PAYLOAD;
    let config = bincode::config::standard().with_limit::<LIMIT>();
    bincode::decode_from_slice(bytes, config).ok()
}

const _: () = assert!(CHUNK_HEADER.is_multiple_of(ALIGN) && FILE_HEADER.is_multiple_of(ALIGN));
