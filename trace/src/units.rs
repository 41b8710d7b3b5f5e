//! Durations and sizes on a command line. The host, the agent and the workload read them with these
//! functions, so that a value which one of them accepts means the same to the others.

use std::time::Duration;

use parse_size::Config;

/// The longest duration accepted: a year and a day. A longer one is a typing error, and the timers
/// of the kernel count nanoseconds in 63 bits.
pub const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// A duration such as `500ms`, `90s`, `10m`, `8h`, `1d` or `1h 30m`; 0 is allowed.
///
/// # Errors
///
/// A sentence that names the text and the accepted form: for a number without a unit, an unknown
/// unit, or more than [`LONGEST`].
pub fn duration(text: &str) -> Result<Duration, String> {
    let form = "write a number and a unit, such as 500ms, 90s, 10m, 8h or 1d";
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` has no unit: {form}"));
    }
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        Ok(_) => Err(format!("`{text}` is longer than a year: give at most 366d")),
        Err(_) => Err(format!("`{text}` is not a duration: {form}")),
    }
}

/// As [`duration`], and at least 1 ms, the shortest that a timer of ours is set to.
///
/// # Errors
///
/// As [`duration`], and for less than 1 ms.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        duration if duration >= Duration::from_millis(1) => Ok(duration),
        _ => Err(format!("`{text}` is too short: give at least 1ms")),
    }
}

/// A size such as `512K`, `64M` or `1G`, in units of 1,024; in bytes.
///
/// # Errors
///
/// A sentence that names the text and the accepted form: for a number without a unit, an unknown
/// unit, or more than a file offset of 63 bits can hold.
pub fn size(text: &str) -> Result<u64, String> {
    let form = "write a number and a unit, such as 512K, 64M or 1G";
    if !text.bytes().any(|byte| byte.is_ascii_alphabetic()) && !text.is_empty() {
        return Err(format!("`{text}` has no unit: {form}"));
    }
    match Config::new().with_binary().parse_size(text) {
        Ok(bytes) if i64::try_from(bytes).is_ok() => Ok(bytes),
        Ok(_) | Err(parse_size::Error::PosOverflow) => {
            Err(format!("`{text}` is larger than any file: {form}"))
        }
        Err(_) => Err(format!("`{text}` is not a size: {form}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("90s", 90_000),
            ("10m", 600_000),
            ("8h", 28_800_000),
            ("1d", 86_400_000),
            ("1h30m", 5_400_000),
            ("366d", 366 * 86_400_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in [
            "",
            " ",
            "s",
            "10",
            "-1s",
            "+5s",
            "5parsecs",
            "367d",
            "99999999999999999999s",
            "５s",
            "5ś",
        ] {
            let error = duration(wrong).unwrap_err();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
        for short in ["0s", "999us"] {
            assert!(positive_duration(short).unwrap_err().contains(&format!("`{short}`")));
        }
        assert_eq!(positive_duration("1ms"), Ok(Duration::from_millis(1)));
    }

    #[test]
    fn sizes_have_a_unit() {
        for (text, bytes) in [
            ("0K", 0),
            ("512K", 512 << 10),
            ("64M", 64 << 20),
            ("64MiB", 64 << 20),
            ("3G", 3 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "M", "64", "-1M", "9223372036854775808K", "8589934592G", "5Ḱ", "1X"] {
            let error = size(wrong).unwrap_err();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
    }
}
