//! Durations as people write them.

use std::time::Duration;

use anyhow::{Result, bail};

/// `2s`, `500ms`, `10m`, `1h`; a bare number is refused, because nobody can tell its unit.
pub fn duration(text: &str) -> Result<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => bail!("`{text}` is no duration: write it like 500ms, 2s or 10m"),
    };
    match number.parse::<u64>().ok().and_then(|n| n.checked_mul(millis)) {
        // A year is more than any test waits, and fits every timer.
        Some(millis) if millis <= 365 * 86_400_000 => Ok(Duration::from_millis(millis)),
        _ => bail!("`{text}` is no duration: write it like 500ms, 2s or 10m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("0s").unwrap(), Duration::ZERO);
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("2m").unwrap(), Duration::from_secs(120));
        assert_eq!(duration("1h").unwrap(), Duration::from_secs(3600));
        for bad in ["", "s", "10", "-1s", "1.5s", "1w", "99999999999999999999s", "9999999999h"] {
            let error = duration(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
    }
}
