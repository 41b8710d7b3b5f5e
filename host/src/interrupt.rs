//! Ctrl-C: the first one stops the command cleanly, each further one aborts what it is doing.
//! SIGTERM and SIGHUP count as Ctrl-C.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// The exit code of a shell for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

static COUNT: AtomicU32 = AtomicU32::new(0);
/// How many times Ctrl-C may be pressed before calls of adb are aborted.
static SPARED: AtomicU32 = AtomicU32::new(1);

/// Counts signals from now on; they no longer end the program.
pub fn watch() -> Result<()> {
    handle(|| {
        // After this many, even cleaning up is aborted.
        if COUNT.fetch_add(1, Ordering::SeqCst) >= 3 {
            std::process::exit(INTERRUPTED);
        }
    })
}

/// As [`watch`], for a command that has nothing to stop cleanly: the first Ctrl-C aborts it.
pub fn watch_and_abort() -> Result<()> {
    SPARED.store(0, Ordering::SeqCst);
    watch()
}

/// Removes a file when a signal ends the program.
pub fn remove_on_exit(file: &Path) -> Result<()> {
    let file = file.to_owned();
    handle(move || {
        // If it cannot be removed, nothing else can be done.
        let _ = std::fs::remove_file(&file);
        std::process::exit(INTERRUPTED);
    })
}

fn handle(handler: impl FnMut() + Send + 'static) -> Result<()> {
    ctrlc::set_handler(handler).context("the handler for Ctrl-C cannot be installed")
}

/// Whether to abort a call that began when Ctrl-C had been pressed `before` times.
pub fn aborts(before: u32) -> bool {
    let (count, spared) = (count(), SPARED.load(Ordering::SeqCst));
    count > spared && (count > before || spared == 0)
}

/// How many times Ctrl-C was pressed.
pub fn count() -> u32 {
    COUNT.load(Ordering::SeqCst)
}

/// Sleeps for `time`, or until Ctrl-C was pressed more than `pressed` times.
pub fn sleep(time: Duration, pressed: u32) {
    let until = Instant::now() + time;
    while count() <= pressed {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}
