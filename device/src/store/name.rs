//! What a trace is called where only its folder was given.

use std::path::{Path, PathBuf};

use sleepwalk_trace::time::{RealNanos, Utc};

/// The file for `output`: itself, or in a folder a name that nothing has, by the time in UTC. A
/// folder is what is one, or ends in `/`.
pub fn choose(output: &Path, now: RealNanos) -> PathBuf {
    let slash = output.as_os_str().as_encoded_bytes().ends_with(b"/");
    if !slash && !output.is_dir() {
        return output.to_owned();
    }
    let stamp = Utc::from_unix(now.0.div_euclid(1_000_000_000)).compact();
    let mut path = output.join(format!("sleepwalk-{stamp}.swk"));
    let mut number = 1;
    // A broken link is there too.
    while path.symlink_metadata().is_ok() {
        number += 1;
        path = output.join(format!("sleepwalk-{stamp}-{number}.swk"));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gets_one_new_file_after_the_other() {
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
    fn a_file_is_left_alone_and_a_folder_that_is_missing_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.swk");
        assert_eq!(choose(&file, RealNanos(0)), file);
        let missing = folder.path().join("no/");
        let name = choose(&missing, RealNanos(0));
        assert_eq!(name, folder.path().join("no/sleepwalk-19700101-000000.swk"));
    }
}
