//! As much as the machine can do: edges, or lives of sources.

use std::collections::VecDeque;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};
use nix::sys::epoll::EpollEvent;

use crate::event;
use crate::fifo::Fifo;
use crate::sources::{Options, name};
use crate::stop::Stop;
use crate::wake_set::WakeSet;

/// Each thread's work on its share of the FIFOs until the flag is set.
type Work = fn(&[Fifo], &AtomicBool) -> Result<()>;

/// As many activations as there can be.
pub fn of_edges(stop: &Stop, folder: &Path, options: &Options) -> Result<()> {
    run(stop, folder, options, 1, edges)
}

/// As many births and deaths as there can be.
pub fn of_lives(stop: &Stop, folder: &Path, options: &Options) -> Result<()> {
    // A death waits until the list has no reader any more (`wakeup_source_remove`,
    // drivers/base/power/wakeup.c, 7.3), so a thread alone would mostly sleep.
    run(stop, folder, options, 32, lives)
}

/// Makes the FIFOs, prints `ready`, and has some threads for each CPU do `work` until it is to end.
fn run(
    stop: &Stop,
    folder: &Path,
    options: &Options,
    threads_per_cpu: usize,
    work: Work,
) -> Result<()> {
    let fifos = (0..options.count)
        .map(|index| Fifo::new(folder, &name(options, index)))
        .collect::<Result<Vec<_>>>()?;
    let threads = threads_per_cpu * thread::available_parallelism().map_or(1, NonZero::get);
    let deadline = options.length.map(|length| Instant::now() + length);
    event::print("ready\n")?;
    let over = AtomicBool::new(false);
    let over = &over;
    thread::scope(|scope| {
        let shares = fifos.chunks(fifos.len().div_ceil(threads));
        let workers: Vec<_> = shares.map(|fifos| scope.spawn(move || work(fifos, over))).collect();
        let stopped = stop.wait_until(deadline);
        over.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().map_err(|_| anyhow!("a storming thread panicked"))??;
        }
        stopped.map(drop)
    })
}

/// A FIFO that always has something to read stays ready, so each `epoll_wait` relaxes its source and
/// activates it again (`ep_send_events` in fs/eventpoll.c, 7.3): one system call is worth two edges of
/// each source in the set, and no other call is needed.
fn edges(fifos: &[Fifo], over: &AtomicBool) -> Result<()> {
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

/// Sources that are born and die one after the other: the kernel's list is never the same for long.
fn lives(fifos: &[Fifo], over: &AtomicBool) -> Result<()> {
    let set = WakeSet::new()?;
    let mut alive = VecDeque::new();
    for fifo in fifos.iter().cycle() {
        if over.load(Ordering::Relaxed) {
            break;
        }
        set.add(fifo)?;
        alive.push_back(fifo);
        // Some are there at any time, so that there is something to vanish.
        if alive.len() > fifos.len() / 2
            && let Some(oldest) = alive.pop_front()
        {
            set.remove(oldest)?;
        }
    }
    Ok(())
}
