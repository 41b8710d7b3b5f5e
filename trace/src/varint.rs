//! A second decoder for the parts of nearly every record in a long trace: the frame's length, the
//! stamp and the edge. It is less general than bincode and doubles the speed of reading. A test
//! compares the two on any bytes.

use crate::record::Edge;

/// An unsigned varint with at most `SIZE` bytes (2, 4 or 8) after the first, and the rest.
fn unsigned<const SIZE: usize>(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    match first {
        0..=250 => Some((u64::from(first), rest)),
        251 => rest.split_first_chunk().map(|(v, rest)| (u16::from_le_bytes(*v).into(), rest)),
        252 => rest.split_first_chunk().map(|(v, rest)| (u32::from_le_bytes(*v).into(), rest)),
        253 if SIZE == 8 => {
            rest.split_first_chunk().map(|(v, rest)| (u64::from_le_bytes(*v), rest))
        }
        // 254 starts 16 bytes, 255 nothing.
        _ => None,
    }
}

/// A u32 and the rest.
pub(crate) fn u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    unsigned::<4>(bytes).map(|(value, rest)| (value as u32, rest))
}

/// An i64 and the rest.
pub(crate) fn i64(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (value, rest) = unsigned::<8>(bytes)?;
    Some(((value >> 1) as i64 ^ -((value & 1) as i64), rest))
}

/// An edge, if `body` is exactly one.
pub(crate) fn edge(body: &[u8]) -> Option<Edge> {
    let (source, rest) = u32(body)?;
    let (state, flags) = match rest {
        [flags, 0] => (None, *flags),
        [flags, 1, state @ ..] => match u32(state)? {
            (state, []) => (Some(state), *flags),
            _ => return None,
        },
        _ => return None,
    };
    Some(Edge { source, flags, state })
}

#[cfg(test)]
mod tests {
    use bincode::config::standard;
    use bincode::de::Decode;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn slow<T: Decode<()>>(bytes: &[u8]) -> Option<(T, &[u8])> {
        let (value, used) = bincode::decode_from_slice(bytes, standard()).ok()?;
        Some((value, &bytes[used..]))
    }

    /// Bytes that are often a varint's first, or an option's.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        vec(prop_oneof![any::<u8>(), 0u8..3, 249u8..], 0..20)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn any_bytes_decode_as_with_bincode(bytes in bytes()) {
            prop_assert_eq!(u32(&bytes), slow::<u32>(&bytes));
            prop_assert_eq!(i64(&bytes), slow::<i64>(&bytes));
            let edge_of_all = slow::<Edge>(&bytes).filter(|(_, rest)| rest.is_empty());
            prop_assert_eq!(edge(&bytes), edge_of_all.map(|(edge, _)| edge));
        }

        #[test]
        fn any_edge_is_read_back(source: u32, flags: u8, state: Option<u32>, number: i64) {
            let wanted = Edge { source, flags, state };
            let bytes = bincode::encode_to_vec(wanted, standard()).expect("an edge");
            prop_assert_eq!(edge(&bytes), Some(wanted));
            let bytes = bincode::encode_to_vec(number, standard()).expect("a number");
            prop_assert_eq!(i64(&bytes), Some((number, &[][..])));
        }
    }
}
