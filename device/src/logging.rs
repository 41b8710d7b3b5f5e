//! The log: logcat on Android, stderr on other systems.

use log::LevelFilter;

/// Logs warnings and errors, or the level in `SLEEPWALK_LOG` (`error` … `trace`, `off`).
pub fn start() {
    let level = std::env::var("SLEEPWALK_LOG").ok().and_then(|level| level.parse().ok());
    output(level.unwrap_or(LevelFilter::Warn));
}

#[cfg(target_os = "android")]
fn output(level: LevelFilter) {
    let config = android_logger::Config::default().with_tag("sleepwalkd").with_max_level(level);
    android_logger::init_once(config);
}

#[cfg(not(target_os = "android"))]
fn output(level: LevelFilter) {
    use std::io::Write as _;

    struct Stderr;

    impl log::Log for Stderr {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.level() <= log::max_level()
        }

        fn log(&self, record: &log::Record<'_>) {
            if self.enabled(record.metadata()) {
                let level = record.level().as_str().to_ascii_lowercase();
                // If stderr is gone, there is no other place for it.
                let _ = writeln!(std::io::stderr(), "sleepwalkd: {level}: {}", record.args());
            }
        }

        fn flush(&self) {}
    }

    static LOGGER: Stderr = Stderr;
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(level);
    }
}
