//! Protocol buffers by hand, for the packets that a trace has by the million.

/// Appends a varint.
#[inline]
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field that is a number.
#[inline]
pub fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, u64::from(field) << 3);
    varint(out, value);
}

/// Appends a field that is a message or a string.
pub fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    varint(out, u64::from(field) << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a message of less than 128 bytes, as `content` writes it.
pub fn short(out: &mut Vec<u8>, field: u32, content: impl FnOnce(&mut Vec<u8>)) {
    varint(out, u64::from(field) << 3 | 2);
    out.push(0);
    let start = out.len();
    content(out);
    let length = out.len() - start;
    debug_assert!(length < 128, "{length} bytes");
    out[start - 1] = length as u8;
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use sleepwalk_trace::time::BootNanos;

    use super::super::proto::{TrackEvent, event};
    use super::*;

    #[test]
    fn it_is_what_prost_writes() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::MAX, BootNanos(1 << 45).0] {
            let mut out = Vec::new();
            number(&mut out, 9, event::SLICE_BEGIN as u64);
            number(&mut out, 11, value);
            let r#type = Some(event::SLICE_BEGIN);
            let wanted = TrackEvent { r#type, track_uuid: Some(value), ..TrackEvent::default() };
            assert_eq!(out, wanted.encode_to_vec());
        }
    }
}
