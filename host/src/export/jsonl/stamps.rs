//! Stamps in decimal, for the lines that a trace has by the million.

/// Most stamps in a row are equal when divided by this.
const LOW: u64 = 100_000_000;

/// Writes stamps behind a key. Most share their first digits with the one before.
pub struct Stamps {
    key: &'static str,
    high: u64,
    /// The key and those digits.
    text: Vec<u8>,
}

impl Stamps {
    /// Behind `key`.
    pub fn new(key: &'static str) -> Self {
        Self { key, high: 0, text: key.into() }
    }

    /// Appends the key and `number`.
    #[inline]
    pub fn put(&mut self, out: &mut Vec<u8>, number: u64) {
        let (high, low) = (number / LOW, number % LOW);
        let mut buffer = itoa::Buffer::new();
        if high != self.high {
            self.high = high;
            self.text.clear();
            self.text.extend_from_slice(self.key.as_bytes());
            if high > 0 {
                self.text.extend_from_slice(buffer.format(high).as_bytes());
            }
        }
        if high == 0 {
            out.extend_from_slice(&self.text);
            return out.extend_from_slice(buffer.format(low).as_bytes());
        }
        out.extend_from_slice(&self.text);
        // With its zeros in front.
        out.extend_from_slice(&buffer.format((LOW + low) as u32).as_bytes()[1..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_follows_its_key() {
        let mut stamps = Stamps::new("at: ");
        for number in
            [0, 7, LOW - 1, LOW, LOW + 1, 7, 5_001_000_000_000, 5_001_000_000_001, u64::MAX]
        {
            let mut out = Vec::new();
            stamps.put(&mut out, number);
            assert_eq!(String::from_utf8_lossy(&out), format!("at: {number}"));
        }
    }
}
