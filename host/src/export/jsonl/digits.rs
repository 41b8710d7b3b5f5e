//! Decimal numbers, for the lines that a trace has by the million.

/// Most stamps in a row are equal when divided by this.
const LOW: u64 = 100_000_000;

/// Writes stamps, of which most share their first digits with the one before.
#[derive(Default)]
pub struct Digits {
    high: u64,
    text: Vec<u8>,
}

impl Digits {
    /// Appends `number`.
    pub fn put(&mut self, out: &mut Vec<u8>, number: u64) {
        let (high, low) = (number / LOW, number % LOW);
        let mut buffer = itoa::Buffer::new();
        if high == 0 {
            return out.extend_from_slice(buffer.format(low).as_bytes());
        }
        if high != self.high || self.text.is_empty() {
            self.high = high;
            self.text.clear();
            self.text.extend_from_slice(buffer.format(high).as_bytes());
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
    fn digits_are_the_number() {
        let mut digits = Digits::default();
        for number in [0, 7, LOW - 1, LOW, LOW + 1, 5_001_000_000_000, 5_001_000_000_001, u64::MAX]
        {
            let mut out = Vec::new();
            digits.put(&mut out, number);
            assert_eq!(String::from_utf8_lossy(&out), number.to_string());
        }
    }
}
