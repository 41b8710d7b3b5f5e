//! Values as Android prints them.

/// Milliseconds as nanoseconds.
pub fn ms(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

/// `123ms` or `123` as nanoseconds.
pub fn millis(text: &str) -> Option<u64> {
    let text = text.trim();
    text.strip_suffix("ms").unwrap_or(text).trim_end().parse().ok().map(ms)
}

/// A duration of `TimeUtils.formatDuration`, such as `+1d2h3m4s5ms`, `-1m40s873ms` or `0`, in nanoseconds without
/// its sign.
pub fn duration(text: &str) -> Option<u64> {
    let text = text.trim().trim_start_matches(['+', '-']);
    if text == "0" {
        return Some(0);
    }
    let (mut total, mut rest) = (0u64, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        // `ms` before `m`.
        let (unit, in_ms) =
            [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
                .into_iter()
                .find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total = total.saturating_add(number.saturating_mul(in_ms));
    }
    (!text.is_empty()).then_some(ms(total))
}

/// A user id as a number, or as `UserHandle.formatUid` prints it: `u0a86` is 10086, `u10s1000` is 1001000.
pub fn uid(text: &str) -> Option<u32> {
    let Some(rest) =
        text.strip_prefix('u').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    else {
        return text.parse().ok();
    };
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let user: u32 = rest[..end].parse().ok()?;
    let (kind, number) = rest[end..].split_at(rest[end..].find(|c: char| c.is_ascii_digit())?);
    // The first user ids of each kind (`android.os.Process`).
    let first = match kind {
        "a" => 10_000,
        "i" => 99_000,
        "ai" => 90_000,
        "s" => 0,
        _ => return None,
    };
    let app = number.parse::<u32>().ok()?.checked_add(first)?;
    user.checked_mul(100_000)?.checked_add(app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, ns) in [
            ("0", Some(0)),
            ("+1s281ms", Some(1_281_000_000)),
            ("-1m40s873ms", Some(100_873_000_000)),
            ("+1d2h3m4s5ms", Some(93_784_005_000_000)),
            ("", None),
            ("+", None),
            ("+1x", None),
            ("12", None),
            ("99999999999999999999ms", None),
        ] {
            assert_eq!(duration(text), ns, "{text}");
        }
        assert_eq!(
            (millis("123ms"), millis(" 7 "), millis("x")),
            (Some(123_000_000), Some(7_000_000), None)
        );
    }

    #[test]
    fn user_ids_are_numbers() {
        for (text, number) in [
            ("1000", Some(1000)),
            ("u0a86", Some(10_086)),
            ("u10a86", Some(1_010_086)),
            ("u0i12", Some(99_012)),
            ("u10s1000", Some(1_001_000)),
            ("u0", None),
            ("u0z1", None),
            ("unknown", None),
            ("u99999a1", None),
        ] {
            assert_eq!(uid(text), number, "{text}");
        }
    }
}
