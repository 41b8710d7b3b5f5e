//! Rings: wherever the writer stops or the file is copied, the records are correct and sorted.

use proptest::collection::vec;
use proptest::prelude::*;
use sleepwalk_trace::chunk::{self, FILE_HEADER, file_header};
use sleepwalk_trace::read::{Item, Reader};
use sleepwalk_trace::record::{Record, Stamped, StringDef};
use sleepwalk_trace::time::{BootNanos, Clocks, RealNanos};
use sleepwalk_trace::write::ChunkWriter;

const CLOCKS: Clocks = Clocks { boot: BootNanos(900), suspended_ns: 30, real: RealNanos(1 << 60) };

/// A ring of some regions, written as the format requires, with one numbered record per chunk; the
/// numbers that must be read from it; how many chunks were dropped.
fn ring(sizes: &[usize], count: usize) -> (Vec<u8>, Vec<u32>, u64) {
    let mut writer = ChunkWriter::default();
    let mut chunk = |id: u32, bytes: Vec<u8>| {
        writer.push(BootNanos(u64::from(id)), &Record::String(StringDef { id, bytes }));
        writer.seal(CLOCKS).expect("a chunk")
    };
    let size = chunk::MIN_REGION as usize;
    // The numbers in each region's chunks; a prologue has none.
    let mut regions: Vec<Vec<Option<u32>>> = vec![Vec::new(); count];
    let mut bytes: Vec<Vec<u8>> = vec![Vec::new(); count];
    let (mut current, mut dropped) = (0, 0);
    for (number, length) in (0..).zip(sizes) {
        // The length decides first, because the sequence number comes after the prologue's.
        let needed = chunk::chunk_len(*length + 20);
        if bytes[current].len() + needed > size {
            current = (current + 1) % count;
            dropped += regions[current].len() as u64;
            regions[current].clear();
            bytes[current] = chunk(PROLOGUE, Vec::new());
            regions[current].push(None);
        }
        let next = chunk(number, vec![b'x'; *length]);
        regions[current].push(Some(number));
        bytes[current].extend(next);
    }
    let oldest = (1..=count).map(|n| (current + n) % count);
    let kept = oldest.flat_map(|n| &regions[n]).filter_map(|number| *number).collect();
    let mut file = file_header(chunk::MIN_REGION).to_vec();
    let used = regions.iter().rposition(|region| !region.is_empty()).map_or(0, |last| last + 1);
    for mut region in bytes.into_iter().take(used) {
        region.resize(size, 0);
        file.extend(region);
    }
    (file, kept, dropped)
}

/// The string in a ring's prologues.
const PROLOGUE: u32 = u32::MAX;

/// The numbers of the strings, without those of prologues.
fn numbers(items: &[Item]) -> Vec<u32> {
    let number = |item: &Item| match item {
        Item::Record(Stamped { record: Record::String(string), .. }) => Some(string.id),
        _ => None,
    };
    items.iter().filter_map(number).filter(|id| *id != PROLOGUE).collect()
}
proptest! {
    /// Wherever the writer of a ring stops, the rest reads as written.
    #[test]
    fn a_ring_keeps_its_newest(
        sizes in vec(0usize..1500, 1..60),
        regions in 2usize..5,
        cut in any::<prop::sample::Index>(),
        flip in any::<Option<(prop::sample::Index, u8)>>(),
    ) {
        let (file, kept, dropped) = ring(&sizes, regions);
        let mut reader = Reader::open(&file).expect("a trace");
        let items: Vec<_> = reader.by_ref().collect();
        prop_assert_eq!(numbers(&items), kept.clone());
        prop_assert!(!items.contains(&Item::Gap));
        prop_assert_eq!(reader.damage(), Default::default());
        prop_assert_eq!(reader.dropped_chunks(), dropped);
        // Damaged or cut, it has fewer records, no other ones, and they stay sorted.
        let mut hurt = file.clone();
        if let Some((at, flip)) = flip {
            let at = FILE_HEADER + at.index(hurt.len() - FILE_HEADER);
            hurt[at] ^= flip;
        }
        hurt.truncate(FILE_HEADER + cut.index(hurt.len() - FILE_HEADER));
        let left = numbers(&Reader::open(&hurt).expect("a trace").collect::<Vec<_>>());
        prop_assert!(left.is_sorted());
        prop_assert!(left.iter().all(|n| kept.contains(n)));
    }

    /// The writer of a ring keeps writing during a copy: the later parts of the copy are newer.
    #[test]
    fn a_copy_of_a_growing_ring_is_sorted(
        sizes in vec(0usize..1500, 2..90),
        regions in 2usize..5,
        thens in vec(any::<(prop::sample::Index, prop::sample::Index)>(), 1..4),
    ) {
        let (whole, _, _) = ring(&sizes, regions);
        let mut thens: Vec<_> = thens
            .iter()
            .map(|(at, n)| (at.index(whole.len()), 1 + n.index(sizes.len())))
            .collect();
        let (mut cuts, mut counts): (Vec<_>, Vec<_>) = thens.drain(..).unzip();
        cuts.sort_unstable();
        counts.sort_unstable();
        let mut copy = ring(&sizes[..counts[0]], regions).0;
        for (at, count) in cuts.into_iter().zip(counts.into_iter().skip(1).chain([sizes.len()])) {
            let later = ring(&sizes[..count], regions).0;
            copy.truncate(at);
            copy.extend(later.get(copy.len()..).unwrap_or_default());
        }
        let read = numbers(&Reader::open(&copy).expect("a trace").collect::<Vec<_>>());
        prop_assert!(read.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", read);
        prop_assert!(read.last().is_none_or(|last| (*last as usize) < sizes.len()));
    }
}
