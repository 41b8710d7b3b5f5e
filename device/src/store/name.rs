//! The name of a trace if only its folder was given.

use std::path::{Path, PathBuf};

use sleepwalk_trace::time::RealNanos;

/// The file for `output`: itself, or if it is a folder or ends in `/`, an unused name in it, from
/// the time in UTC.
pub fn choose(output: &Path, now: RealNanos) -> PathBuf {
    let slash = output.as_os_str().as_encoded_bytes().ends_with(b"/");
    if !slash && !output.is_dir() {
        return output.to_owned();
    }
    let stamp = utc_stamp(now);
    let mut path = output.join(format!("sleepwalk-{stamp}.swk"));
    let mut number = 1;
    // A broken link also takes its name.
    while path.symlink_metadata().is_ok() {
        number += 1;
        path = output.join(format!("sleepwalk-{stamp}-{number}.swk"));
    }
    path
}

/// `20260301-100011`, in UTC.
fn utc_stamp(now: RealNanos) -> String {
    const DAY: i64 = 86_400;
    let seconds = now.0.div_euclid(1_000_000_000);
    // Howard Hinnant's civil_from_days: years start in March, so that the leap day is the last.
    let days = seconds.div_euclid(DAY) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months + 2) / 5 + 1;
    let month = if months < 10 { months + 3 } else { months - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let time = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_dates_of_the_calendar() {
        let stamp = |seconds: i64| utc_stamp(RealNanos(seconds * 1_000_000_000));
        assert_eq!(stamp(0), "19700101-000000");
        assert_eq!(stamp(951_782_400), "20000229-000000");
        assert_eq!(stamp(1_772_359_211), "20260301-100011");
        assert_eq!(stamp(-1), "19691231-235959");
        let _ = (utc_stamp(RealNanos(i64::MAX)), utc_stamp(RealNanos(i64::MIN)));
    }

    #[test]
    fn each_name_in_a_folder_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let now = RealNanos(1_772_359_211_999_999_999);
        let names = ["", "-2", "-3"].map(|n| format!("sleepwalk-20260301-100011{n}.swk"));
        for name in names {
            let path = choose(folder.path(), now);
            assert_eq!(path, folder.path().join(name));
            std::fs::write(path, "").unwrap();
        }
    }

    #[test]
    fn only_a_folder_gets_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.swk");
        assert_eq!(choose(&file, RealNanos(0)), file);
        let missing = folder.path().join("no/");
        let name = choose(&missing, RealNanos(0));
        assert_eq!(name, folder.path().join("no/sleepwalk-19700101-000000.swk"));
    }
}
