//! Fixes that name options of the kernel, and never one that this kernel has.

use std::fs::File;
use std::io::Read as _;

use flate2::read::GzDecoder;

/// The kernel's configuration, which every GKI has (`CONFIG_IKCONFIG_PROC`).
const CONFIG: &str = "/proc/config.gz";

/// Such a file has some 200 KiB.
const LIMIT: u64 = 8 << 20;

/// The options with which this kernel was built.
#[derive(Clone, Debug, Default)]
pub struct Kconfig {
    /// `None` where the kernel does not show it.
    text: Option<String>,
}

impl Kconfig {
    /// Reads it.
    pub fn read() -> Self {
        let mut text = String::new();
        let read = File::open(CONFIG)
            .and_then(|file| GzDecoder::new(file).take(LIMIT).read_to_string(&mut text));
        Self { text: read.ok().map(|_| text) }
    }

    /// With this text.
    #[cfg(test)]
    pub fn of(text: &str) -> Self {
        Self { text: Some(text.to_owned()) }
    }

    /// Whether `option` is on; `None` where that is not known.
    pub fn has(&self, option: &str) -> Option<bool> {
        let on = |line: &str| {
            let value = line.strip_prefix(option).and_then(|rest| rest.strip_prefix('='));
            matches!(value, Some("y" | "m"))
        };
        Some(self.text.as_ref()?.lines().any(on))
    }

    /// A fix for something that needs all of `options`.
    pub fn fix(&self, options: &[&str]) -> String {
        let wanted = |options: &[&str]| {
            let each = options.iter().map(|option| format!("{option}=y"));
            each.collect::<Vec<_>>().join(" and ")
        };
        let lacking: Vec<_> =
            options.iter().copied().filter(|option| self.has(option) == Some(false)).collect();
        match &self.text {
            None => format!("a kernel with {}, if this one lacks that", wanted(options)),
            Some(_) if lacking.is_empty() => format!(
                "none known: this kernel has {}; report the line above to Sleepwalk",
                wanted(options)
            ),
            Some(_) => format!("a kernel with {}", wanted(&lacking)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fix_names_only_what_is_lacking() {
        let text = "# CONFIG_KALLSYMS_ALL is not set\nCONFIG_KPROBES=y\nCONFIG_BPF_EVENTS=y\n\
                    CONFIG_KPROBES_ON_FTRACE=y\nCONFIG_HZ=250\n";
        let kconfig = Kconfig::of(text);
        assert_eq!(kconfig.fix(&["CONFIG_KALLSYMS_ALL"]), "a kernel with CONFIG_KALLSYMS_ALL=y");
        assert_eq!(
            kconfig.fix(&["CONFIG_KPROBES", "CONFIG_KALLSYMS_ALL"]),
            "a kernel with CONFIG_KALLSYMS_ALL=y"
        );
        let known = kconfig.fix(&["CONFIG_BPF_EVENTS", "CONFIG_KPROBES"]);
        assert!(known.starts_with("none known"), "{known}");
        assert_eq!(kconfig.has("CONFIG_KPROBES_ON"), Some(false));
        assert_eq!(kconfig.has("CONFIG_HZ"), Some(false));
    }

    #[test]
    fn an_unknown_configuration_lacks_nothing_for_sure() {
        let kconfig = Kconfig::default();
        assert_eq!(kconfig.has("CONFIG_KPROBES"), None);
        assert!(kconfig.fix(&["CONFIG_KPROBES"]).ends_with("if this one lacks that"));
    }
}
