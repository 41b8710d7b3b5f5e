//! Durations and sizes as people write them.

use std::time::Duration;

use anyhow::{Result, bail};

/// `90s`, `10m`, `8h`, `500ms`; a bare number is refused, because nobody can tell its unit.
pub fn duration(text: &str) -> Result<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => bail!("`{text}` is no duration: write it like 90s, 10m or 8h"),
    };
    match number.parse::<u64>().ok().and_then(|n| n.checked_mul(millis)) {
        Some(0) => bail!("`{text}` is no time at all: give at least 1ms"),
        // Timers count in ns, in 63 bits.
        Some(millis) if millis <= i64::MAX as u64 / 1_000_000 => Ok(Duration::from_millis(millis)),
        _ => bail!("`{text}` is no duration: write it like 90s, 10m or 8h"),
    }
}

/// `512K`, `64M`, `1G`, of 1024 each: bytes. A bare number is refused, as with durations.
pub fn size(text: &str) -> Result<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => bail!("`{text}` is no size: write it like 512K, 64M or 1G"),
    };
    match number.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift)) {
        // A file's offsets have 63 bits.
        Some(bytes) if bytes <= i64::MAX as u64 => Ok(bytes),
        _ => bail!("`{text}` is no size: write it like 512K, 64M or 1G"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        for (text, bytes) in [("512K", 512 << 10), ("64M", 64 << 20), ("3G", 3 << 30), ("0K", 0)] {
            assert_eq!(size(text).unwrap(), bytes);
        }
        for bad in
            ["", "M", "64", "64m", "64MB", "-1M", "1.5M", "9223372036854775808K", "8589934592G"]
        {
            let error = size(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("10m").unwrap(), Duration::from_secs(600));
        assert_eq!(duration("8h").unwrap(), Duration::from_secs(8 * 3600));
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        for bad in
            ["", "s", "10", "-1s", "1.5s", "1w", "0s", "99999999999999999999s", "9999999999d"]
        {
            let error = duration(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
    }
}
