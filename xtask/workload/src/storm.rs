//! As many edges as the machine can make.
//!
//! A FIFO that always has something to read stays ready, so each `epoll_wait` relaxes its source and
//! activates it again: one system call is worth two edges of each source in the set, and no other
//! call is needed. Each CPU has a thread and a set of its own.

use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};
use nix::sys::epoll::EpollEvent;

use crate::args::SourcesOptions;
use crate::event;
use crate::fifo::Fifo;
use crate::sources::name;
use crate::stop::Stop;
use crate::wake_set::WakeSet;

/// Makes the sources, says `ready`, keeps all CPUs at it until it is told to go.
pub fn run(stop: &Stop, folder: &Path, options: &SourcesOptions) -> Result<()> {
    let fifos = (0..options.count)
        .map(|index| Fifo::new(folder, &name(options, index)))
        .collect::<Result<Vec<_>>>()?;
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let deadline = options.length.map(|length| Instant::now() + length);
    event::print("ready\n")?;
    let over = AtomicBool::new(false);
    let over = &over;
    thread::scope(|scope| {
        let share = fifos.len().div_ceil(threads);
        let storms: Vec<_> =
            fifos.chunks(share).map(|fifos| scope.spawn(move || storm(fifos, over))).collect();
        let stopped = stop.wait_until(deadline);
        over.store(true, Ordering::Relaxed);
        for storm in storms {
            storm.join().map_err(|_| anyhow!("a storming thread panicked"))??;
        }
        stopped.map(drop)
    })
}

fn storm(fifos: &[Fifo], over: &AtomicBool) -> Result<()> {
    let set = WakeSet::new()?;
    for fifo in fifos {
        set.add(fifo)?;
        fifo.fill()?;
    }
    let mut events = vec![EpollEvent::empty(); fifos.len()];
    while !over.load(Ordering::Relaxed) {
        set.settle_all(&mut events)?;
    }
    Ok(())
}
