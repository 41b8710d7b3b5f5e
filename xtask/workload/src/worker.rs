//! A thread that may be stuck in the kernel, under a main thread that hears signals.
//!
//! A blocking read of /sys/power/wakeup_count can last as long as some source is active. The main
//! thread does not wait for it: it cleans up and ends the process, and the thread with it.

use std::io::pipe;
use std::os::fd::AsFd as _;
use std::thread;

use anyhow::{Result, anyhow, bail};

use crate::stop::{Ended, Stop};

/// Runs `work` to its end; an error when a signal comes first.
pub fn run(stop: &Stop, work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    // The writer closes with the thread, however that ends.
    let (reader, writer) = pipe()?;
    let thread = thread::Builder::new().name("suspend".into()).spawn(move || {
        let done = work();
        drop(writer);
        done
    })?;
    match stop.wait_for(reader.as_fd())? {
        Ended::Signal(signal) => bail!("stopped by {signal} before it was done"),
        _ => thread.join().map_err(|_| anyhow!("the suspend thread panicked"))?,
    }
}
