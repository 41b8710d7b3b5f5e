//! Well-known names of wakeup sources: their meaning, and the next step. The names are in `known.toml`.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::Name;

/// A name that fits one of the patterns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Known {
    /// A phrase without an end mark.
    pub meaning: &'static str,
    /// A command that shows more.
    pub command: &'static str,
    /// The thread or process that the name names; null where it names none.
    pub owner: Option<String>,
}

/// An entry of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The pattern.
    name: String,
    meaning: String,
    command: String,
    /// For the reader of the file.
    #[expect(dead_code, reason = "it keeps where the fact is from")]
    by: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    known: Vec<Entry>,
}

static KNOWN: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    // A test reads it too.
    toml::from_str::<File>(include_str!("known.toml")).map(|file| file.known).unwrap_or_default()
});

/// It stands for a thread's name in a pattern.
const OWNER: &str = "{owner}";

impl Known {
    /// The entry for a name, if there is one.
    pub fn of(name: &Name) -> Option<Self> {
        let text = std::str::from_utf8(&name.bytes).ok()?;
        KNOWN.iter().find_map(|entry| {
            let owner = fits(&entry.name, text)?;
            let owner = owner.filter(|owner| !owner.is_empty()).map(str::to_owned);
            Some(Self { meaning: &entry.meaning, command: &entry.command, owner })
        })
    }
}

/// Whether `pattern` fits `name`, and the part of it that is the owner's.
fn fits<'a>(pattern: &str, name: &'a str) -> Option<Option<&'a str>> {
    if let Some(rest) = pattern.strip_prefix(OWNER) {
        if rest.is_empty() {
            return Some(Some(name));
        }
        // Android's names of processes have dots, those of the files behind them seldom: the owner ends at the last.
        let literal = &rest[..rest.find(['*', '{']).unwrap_or(rest.len())];
        let ends = name.rmatch_indices(literal).map(|(at, _)| at);
        return ends
            .filter(|_| !literal.is_empty())
            .find_map(|at| fits(rest, &name[at..]).map(|_| Some(&name[..at])));
    }
    match (pattern.chars().next(), name.chars().next()) {
        (None, None) => Some(None),
        (Some('*'), _) => {
            let rest = &pattern[1..];
            let starts = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            starts.map(|at| fits(rest, &name[at..])).find(Option::is_some).flatten()
        }
        (Some(wanted), Some(found)) if wanted == found => {
            fits(&pattern[wanted.len_utf8()..], &name[found.len_utf8()..])
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Option<Option<String>> {
        Known::of(&Name::new(name.as_bytes())).map(|known| known.owner)
    }

    #[test]
    fn the_file_is_whole() {
        let file: File = toml::from_str(include_str!("known.toml")).unwrap();
        for entry in &file.known {
            for text in [&entry.name, &entry.meaning, &entry.command] {
                assert!(!text.is_empty() && !text.contains('\n'), "{entry:?}");
            }
            assert!(!entry.meaning.ends_with('.'), "{entry:?}");
        }
        assert!(file.known.len() >= 20);
    }

    #[test]
    fn names_fit_their_patterns() {
        for name in [
            "[timerfd]",
            "PowerManagerService.WakeLocks",
            "alarmtimer",
            "alarmtimer.0.auto",
            "a600000.hsusb",
        ] {
            assert_eq!(owner(name), Some(None), "{name}");
        }
        for name in ["timerfd", "PowerManagerService", "", "a600000.hsusb2", "xeventpoll", "epoll"]
        {
            assert_eq!(owner(name), None, "{name}");
        }
        assert_eq!(Known::of(&Name::new(b"eventpoll\xff")), None);
    }

    #[test]
    fn pixels_names_have_their_owner() {
        for (name, wanted) in [
            ("[timerfd20:system_server]", "system_server"),
            ("[timerfd:healthd]", "healthd"),
            ("epoll:android.hardware.health-service", "android.hardware.health-service"),
            ("epollm12:InputReader", "InputReader"),
            ("epollitem:healthd.[timerfd2]", "healthd"),
            ("epolld7:a:b.NETLINK", "a:b"),
            ("epollitem:android.hardwar.[timerfd2]", "android.hardwar"),
        ] {
            assert_eq!(owner(name), Some(Some(wanted.to_owned())), "{name}");
        }
        assert_eq!(owner("epoll:"), Some(None));
    }
}
