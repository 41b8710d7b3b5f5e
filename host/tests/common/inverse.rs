//! Undoes the escapes of names, to show that no two names are written alike. The unit tests use this
//! file too.
#![allow(dead_code, reason = "each test program uses a part of it")]

/// The bytes that `sleepwalk::text::escape` was given; `None` if `text` has an escape that it does not write.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        out.extend_from_slice(plain.as_bytes());
        let kind = escaped.chars().next()?;
        let mut after = &escaped[kind.len_utf8()..];
        match kind {
            '\\' => out.push(b'\\'),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'x' => {
                out.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
                after = &after[2..];
            }
            'u' => {
                let (digits, behind) = after.strip_prefix('{')?.split_once('}')?;
                let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                after = behind;
            }
            _ => return None,
        }
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}

/// The bytes of the name in a cell of a CSV table; `None` where no such cell is ever written.
pub fn csv_bytes(cell: &str) -> Option<Vec<u8>> {
    unescape(cell.strip_prefix('\'').unwrap_or(cell))
}
