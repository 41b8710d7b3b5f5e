//! Ctrl-C: the first one asks the command to stop in order, each further one to give up what it is
//! doing. SIGTERM and SIGHUP count too.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

static COUNT: AtomicU32 = AtomicU32::new(0);
/// How often it may be pressed until what is under way is given up.
static SPARED: AtomicU32 = AtomicU32::new(1);

/// From here on signals are counted and do not end the program.
pub fn watch() -> Result<()> {
    ctrlc::set_handler(|| {
        // Whoever presses it this often means it: even cleaning up has to yield.
        if COUNT.fetch_add(1, Ordering::SeqCst) >= 3 {
            std::process::exit(130);
        }
    })
    .context("Ctrl-C cannot be watched")
}

/// As [`watch`], for a command that has nothing to stop in order: the first Ctrl-C ends what it does.
pub fn watch_and_give_up() -> Result<()> {
    SPARED.store(0, Ordering::SeqCst);
    watch()
}

/// Whether a call is to be given up that began when it was pressed `before` times.
pub fn gives_up(before: u32) -> bool {
    let (count, spared) = (count(), SPARED.load(Ordering::SeqCst));
    count > spared && (count > before || spared == 0)
}

/// How often it was pressed.
pub fn count() -> u32 {
    COUNT.load(Ordering::SeqCst)
}

/// Sleeps for `time`, or until it was pressed more often than `count` times.
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
