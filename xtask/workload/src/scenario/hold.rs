//! Something that goes on while another thread waits for /sys/power/wakeup_count.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

/// The kernel's function that such a thread sleeps in.
const WAITS_IN: &str = "pm_get_wakeup_count";
/// Far beyond what a slow machine needs to get there.
const DEADLINE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(1);

/// Does `waiting` here, and `meanwhile` in a thread as soon as this one waits in the kernel.
pub fn while_waiting<T>(
    waiting: impl FnOnce() -> Result<T>,
    meanwhile: impl FnOnce() -> Result<()> + Send,
) -> Result<T> {
    let myself = fs::read_link("/proc/thread-self").context("/proc/thread-self")?;
    let asleep_in = fs::canonicalize("/proc").context("/proc")?.join(myself).join("wchan");
    thread::scope(|scope| {
        let holder = scope.spawn(move || {
            let begin = Instant::now();
            // The source is released even so, or the other thread would wait for ever.
            let mut came = Ok(());
            while fs::read_to_string(&asleep_in).context("wchan")? != WAITS_IN {
                if begin.elapsed() > DEADLINE {
                    came = Err(anyhow!("no thread waited in {WAITS_IN} within {DEADLINE:?}"));
                    break;
                }
                thread::sleep(PAUSE);
            }
            meanwhile()?;
            came
        });
        let done = waiting();
        match holder.join() {
            Ok(held) => held?,
            Err(_) => bail!("a thread that held a source panicked"),
        }
        done
    })
}
