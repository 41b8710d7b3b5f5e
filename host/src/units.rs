//! Times, sizes and errors as people read and write them.

use std::time::Duration;

use jiff::Timestamp;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The units of times below a minute: each, how many of it are one of the next, and its name.
const UNITS: [(u64, u64, &str); 3] =
    [(1_000, 1_000, "µs"), (1_000_000, 1_000, "ms"), (SECOND, 60, "s")];

/// `ns` in a unit that suits it, rounded to three digits, to a second from a minute on, and to a minute
/// from an hour on: `850 ns`, `12.3 ms`, `1.23 s`, `12 m 04 s`, `8 h 03 m`, `2 d 04 h 30 m`.
pub fn time(ns: u64) -> String {
    // A time that is rounded up to the next unit has that one's form: 9.996 reads 10.0, not 10.00.
    match printed(ns) {
        0 => "0".to_owned(),
        ns @ 1..1_000 => format!("{ns} ns"),
        ns if ns < MINUTE => {
            let unit = UNITS.iter().find(|(unit, most, _)| ns < unit * most);
            let (unit, _, name) = unit.unwrap_or(&UNITS[2]);
            let digits = digits(ns, *unit) as usize;
            format!("{:.digits$} {name}", ns as f64 / *unit as f64)
        }
        ns if ns < HOUR => format!("{} m {:02} s", ns / MINUTE, ns % MINUTE / SECOND),
        ns if ns < DAY => format!("{} h {:02} m", ns / HOUR, ns % HOUR / MINUTE),
        ns => format!("{} d {:02} h {:02} m", ns / DAY, ns % DAY / HOUR, ns % HOUR / MINUTE),
    }
}

/// The time that [`time`] prints.
fn printed(ns: u64) -> u64 {
    let step = step(ns);
    rounded(ns, step).saturating_mul(step)
}

/// Digits after the point of a time in this unit: three in all.
fn digits(ns: u64, unit: u64) -> u32 {
    match ns / unit {
        ..10 => 2,
        10..100 => 1,
        _ => 0,
    }
}

/// The step of the last digit that [`time`] prints for `ns`.
fn step(ns: u64) -> u64 {
    match ns {
        ..1_000 => 1,
        MINUTE..HOUR => SECOND,
        HOUR.. => MINUTE,
        _ => {
            let unit = UNITS.iter().find(|(unit, most, _)| ns < unit * most);
            let unit = unit.map_or(SECOND, |(unit, ..)| *unit);
            unit / 10u64.pow(digits(ns, unit))
        }
    }
}

/// `parts` of `whole` as [`time`] prints them. If they sum to the whole, so do the printed ones, to the
/// last digit of the printed whole (give or take one, if none of them has that digit).
pub fn times(parts: &[u64], whole: u64) -> Vec<String> {
    let step = step(whole);
    let coarse: Vec<_> = (0..parts.len()).filter(|at| self::step(parts[*at]) == step).collect();
    let mut shown: Vec<_> = parts.iter().copied().map(printed).collect();
    for at in &coarse {
        shown[*at] = parts[*at] - parts[*at] % step;
    }
    // The parts that have the last digit of the whole make up for the rounding of the others.
    let sum = shown.iter().fold(0, |sum: u64, ns| sum.saturating_add(*ns));
    let missing = rounded(whole, step).saturating_sub(rounded(sum, step));
    let mut by_remainder = coarse;
    by_remainder.sort_by_key(|at| std::cmp::Reverse(parts[*at] % step));
    for at in by_remainder.into_iter().take(missing as usize) {
        shown[at] = shown[at].saturating_add(step);
    }
    shown.into_iter().map(time).collect()
}

/// `n` in units, rounded to the nearest.
fn rounded(n: u64, unit: u64) -> u64 {
    n / unit + u64::from(n % unit >= unit.div_ceil(2))
}

/// `part` of `whole` in per cent, with one digit. A part that is there is not shown as none, nor one
/// that is not all as all.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    per_mille((part as f64 / whole as f64 * 1_000.0).round() as u64, part, whole)
}

/// `parts` of `whole` in per cent. If the parts sum to the whole, the printed shares sum to 100 %.
pub fn shares(parts: &[u64], whole: u64) -> Vec<String> {
    if whole == 0 {
        return parts.iter().map(|_| "–".to_owned()).collect();
    }
    let exact = |part: u64| u128::from(part) * 1_000;
    let whole_wide = u128::from(whole);
    let mut shown: Vec<_> = parts.iter().map(|part| exact(*part) / whole_wide).collect();
    let sum = parts.iter().map(|part| exact(*part)).sum::<u128>();
    let missing = sum / whole_wide - shown.iter().sum::<u128>();
    // The largest remainders are rounded up.
    let mut by_remainder: Vec<_> = (0..parts.len()).collect();
    by_remainder.sort_by_key(|at| std::cmp::Reverse(exact(parts[*at]) % whole_wide));
    by_remainder.into_iter().take(missing as usize).for_each(|at| shown[at] += 1);
    let both = parts.iter().zip(shown);
    both.map(|(part, shown)| per_mille(shown.try_into().unwrap_or(u64::MAX), *part, whole))
        .collect()
}

fn per_mille(shown: u64, part: u64, whole: u64) -> String {
    match shown {
        0 if part > 0 => "<0.1 %".to_owned(),
        1_000 if part < whole => ">99.9 %".to_owned(),
        1_000 => "100 %".to_owned(),
        _ => format!("{}.{} %", shown / 10, shown % 10),
    }
}

/// With one digit, rounded down: 999.99 k must not read 1000.0 k.
fn tenths(n: u64, unit: u64) -> String {
    format!("{}.{}", n / unit, n % unit / (unit / 10))
}

/// Bytes as KiB or MiB.
pub fn size(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{} KiB", bytes.div_ceil(1 << 10))
    } else {
        format!("{}.{} MiB", bytes >> 20, ((bytes % (1 << 20)) * 10) >> 20)
    }
}

/// `n` and the noun, with an s unless there is one of it.
pub fn count(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// `n` in seven digits at most, then in millions and so on: `12.3 M`.
pub fn many(n: u64) -> String {
    let units = [("E", 18), ("P", 15), ("T", 12), ("G", 9), ("M", 6)];
    let unit = units.into_iter().find(|(_, zeros)| n >= 10u64.pow(*zeros));
    match unit {
        Some((unit, zeros)) if n >= 10_000_000 => {
            format!("{} {unit}", tenths(n, 10u64.pow(zeros)))
        }
        _ => n.to_string(),
    }
}

/// The return value of a kernel function, 0 or a negative errno, with its name (asm-generic/errno.h).
pub fn errno(value: i32) -> String {
    let name = match value.unsigned_abs() {
        1 => "EPERM",
        4 => "EINTR",
        5 => "EIO",
        6 => "ENXIO",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        16 => "EBUSY",
        19 => "ENODEV",
        22 => "EINVAL",
        38 => "ENOSYS",
        95 => "EOPNOTSUPP",
        110 => "ETIMEDOUT",
        _ => return value.to_string(),
    };
    format!("{value} {name}")
}

/// A CLOCK_REALTIME stamp: `2026-03-01 10:00:11 UTC`.
pub fn utc(realtime_ns: i64) -> String {
    // 64 bits of nanoseconds span the years 1677 to 2262: all are within jiff's range.
    let at = Timestamp::from_nanosecond(realtime_ns.into()).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A moment in UTC for file names: `20260301-100011`.
pub fn utc_for_names(at: Timestamp) -> String {
    at.strftime("%Y%m%d-%H%M%S").to_string()
}

/// The damaged parts of a trace; empty if there are none.
pub fn damage(bytes: u64, chunks: u64, records: u64) -> String {
    let parts = [
        (bytes, "byte", "unreadable"),
        (chunks, "chunk", "missing"),
        (records, "record", "undecoded"),
    ];
    let damaged = parts.iter().filter(|(n, ..)| *n > 0);
    damaged
        .map(|(n, noun, how)| format!("{} {how}", count(*n, noun)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A duration in the largest unit that fits, in the form that the command lines of host and agent
/// read: `90s`, `10m`, `500ms`.
pub fn duration(duration: Duration) -> String {
    let units = [(3_600 * SECOND, "h"), (60 * SECOND, "m"), (SECOND, "s"), (SECOND / 1_000, "ms")];
    let ns = duration.as_nanos();
    let unit = units.into_iter().find(|(unit, _)| ns > 0 && ns.is_multiple_of(u128::from(*unit)));
    unit.map_or(format!("{ns}ns"), |(unit, name)| format!("{}{name}", ns / u128::from(unit)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_have_three_digits() {
        for (ns, text) in [
            (0, "0"),
            (850, "850 ns"),
            (9_996, "10.0 µs"),
            (12_345, "12.3 µs"),
            (99_960, "100 µs"),
            (427_000_000, "427 ms"),
            (999_499_999, "999 ms"),
            (999_999_999, "1.00 s"),
            (1_234_567_890, "1.23 s"),
            (43_000_000_000, "43.0 s"),
            (59_940_000_000, "59.9 s"),
            (59_960_000_000, "1 m 00 s"),
            (724_000_000_000, "12 m 04 s"),
            (3_599_600_000_000, "1 h 00 m"),
            (29_000_000_000_000, "8 h 03 m"),
            (86_399_000_000_000, "1 d 00 h 00 m"),
            (187_200_000_000_000, "2 d 04 h 00 m"),
            (u64::MAX, "213503 d 23 h 34 m"),
        ] {
            assert_eq!(time(ns), text);
        }
    }

    #[test]
    fn shares_of_a_whole_sum_to_100_percent() {
        assert_eq!(shares(&[1, 1, 1], 3), ["33.4 %", "33.3 %", "33.3 %"]);
        assert_eq!(shares(&[99_999, 1, 0], 100_000), [">99.9 %", "<0.1 %", "0.0 %"]);
        assert_eq!(shares(&[5, 0], 5), ["100 %", "0.0 %"]);
        assert_eq!(shares(&[5], 0), ["–"]);
        let _ = shares(&[u64::MAX, u64::MAX], 1);
    }

    /// The time that a printed one means.
    fn read(text: &str) -> u64 {
        let mut words = text.split(' ');
        let mut sum = 0.0;
        while let Some(number) = words.next() {
            let unit = match words.next() {
                Some("d") => DAY,
                Some("h") => HOUR,
                Some("m") => MINUTE,
                Some("s") => SECOND,
                Some("ms") => 1_000_000,
                Some("µs") => 1_000,
                _ => 1,
            };
            sum += number.parse::<f64>().expect("a number") * unit as f64;
        }
        sum.round() as u64
    }

    #[test]
    fn parts_read_like_times_but_add_up() {
        let s = |ms: u64| ms * 1_000_000;
        assert_eq!(
            times(&[s(14_350), s(14_350), s(14_350)], s(43_050)),
            ["14.4 s", "14.4 s", "14.3 s"]
        );
        assert_eq!(times(&[s(99_600), s(400)], s(100_000)), ["1 m 40 s", "400 ms"]);
        let [day, hours, rest] = [s(112_000_000), s(97_580_000), s(1_288_000)];
        let whole = day + hours + rest;
        assert_eq!(
            times(&[day, hours, rest], whole),
            ["1 d 07 h 07 m", "1 d 03 h 06 m", "21 m 28 s"]
        );
        assert_eq!(time(whole), "2 d 10 h 34 m");
        assert_eq!(times(&[u64::MAX, 0], 1).len(), 2);
    }

    proptest! {
        #[test]
        fn printed_parts_add_up_to_the_printed_whole(
            parts in proptest::collection::vec((0u32..58, any::<u64>()), 1..10)
        ) {
            let parts: Vec<u64> = parts.iter().map(|(bits, n)| n & ((1 << bits) - 1)).collect();
            let whole = parts.iter().sum();
            let shown = times(&parts, whole);
            let sum: u64 = shown.iter().map(|text| read(text)).sum();
            prop_assert!(sum.abs_diff(read(&time(whole))) < step(whole), "{shown:?} {}", time(whole));
            for (part, shown) in parts.iter().zip(&shown) {
                prop_assert!(read(shown).abs_diff(*part) <= step(*part), "{part} reads {shown}");
            }
        }
    }

    #[test]
    fn only_damage_that_exists_is_listed() {
        assert_eq!(damage(0, 0, 0), "");
        assert_eq!(damage(21, 0, 0), "21 bytes unreadable");
        assert_eq!(damage(1, 2, 1), "1 byte unreadable, 2 chunks missing, 1 record undecoded");
    }

    #[test]
    fn durations_are_read_back() {
        for text in ["90s", "10m", "8h", "24h", "61m", "3601s", "500ms", "1500ms", "1000001ns"] {
            let read = sleepwalk_trace::units::duration(text).expect("a duration");
            assert_eq!(duration(read), text);
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let readable = |s: i64| utc(s * SECOND as i64);
        assert_eq!(readable(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(readable(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(readable(1_772_359_211), "2026-03-01 10:00:11 UTC");
        assert_eq!(readable(-1), "1969-12-31 23:59:59 UTC");
        assert_eq!(utc(1_772_359_211_999_999_999), "2026-03-01 10:00:11 UTC");
        assert_eq!(utc(-1), "1969-12-31 23:59:59 UTC");
        let at = Timestamp::from_second(1_772_359_211).unwrap();
        assert_eq!(utc_for_names(at), "20260301-100011");
        // No moment is too far off to be shown.
        assert_eq!(utc(i64::MAX), "2262-04-11 23:47:16 UTC");
        assert_eq!(utc(i64::MIN), "1677-09-21 00:12:43 UTC");
    }

    #[test]
    fn sizes_and_shares_read_well() {
        assert_eq!(size(1), "1 KiB");
        assert_eq!(size(10 << 20 | 1 << 19), "10.5 MiB");
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(1, 0), "–");
        let _ = size(u64::MAX);
        for (n, text) in [
            (9_999_999, "9999999"),
            (12_345_678, "12.3 M"),
            (999_999_999, "999.9 M"),
            (1_000_000_000, "1.0 G"),
            (u64::MAX, "18.4 E"),
        ] {
            assert_eq!(many(n), text);
        }
    }
}
