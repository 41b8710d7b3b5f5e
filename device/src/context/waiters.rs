//! The threads that wait inside `pm_get_wakeup_count` when a capture starts: they entered it before
//! the hooks were attached.
//!
//! For each thread the first of these decides:
//!
//! | file in `/proc/PID/task/TID` | decides | not on every device |
//! |---|---|---|
//! | `wchan` | by the function in which the thread sleeps | `0` without `CONFIG_KALLSYMS`, and for threads that are not asleep |
//! | `stat` | that a thread in another state than interruptible sleep does not wait | |
//! | `stack` | by the functions on the thread's kernel stack | needs `CONFIG_STACKTRACE` and CAP_SYS_ADMIN |
//! | `syscall` | by the file of a system call; not for threads of the kernel | needs CAP_SYS_PTRACE |
//!
//! `kptr_restrict` hides addresses, and these files show symbols (`proc_pid_wchan`,
//! `proc_pid_stack` and `proc_pid_syscall` in `fs/proc/base.c`, 5.10 to 7.3).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use caps::Capability::CAP_SYS_PTRACE;
use sleepwalk_trace::record::Waiters;
use sleepwalk_trace::time::BootNanos;

use crate::capabilities::is_effective;
use crate::clock;
use crate::probe::events::{EventKind, ProbeEvent};
use crate::probe::hooks::WITHOUT;

const FUNCTION: &str = "pm_get_wakeup_count";
const FILE: &str = "/sys/power/wakeup_count";

/// The look ends after this long. A thread takes some 30 µs, in an emulator on a busy machine 1 ms.
const LIMIT: Duration = Duration::from_secs(2);

/// `PF_KTHREAD` (`include/linux/sched.h`): a thread of the kernel.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Looks at every thread. Returns the waiters, and the time at which the look began.
pub fn find() -> (BootNanos, Waiters) {
    let started = clock::now();
    let without = std::env::var(WITHOUT).unwrap_or_default();
    let without = BY.map(|by| without.split(',').any(|one| one == by));
    let mut look = Look { without, ..Look::default() };
    let walked = look.walk(Path::new("/proc"), Instant::now() + LIMIT);
    let mut gaps = Vec::new();
    if let Err(error) = walked {
        gaps.push(format!("/proc cannot be read: {error}"));
    }
    // Such a process may not even see the others (`hidepid`, `Documentation/filesystems/proc.rst`).
    if !is_effective(CAP_SYS_PTRACE) {
        gaps.push(format!("{CAP_SYS_PTRACE} is missing"));
    }
    (started.boot, look.result(gaps, clock::now().awake_since(&started)))
}

/// Leaves the threads that waited before the hooks were attached. `events` are the first that the
/// hooks saw: a thread whose first one is the start of a wait entered after that, and its start is
/// recorded.
pub fn without_recorded<'a>(
    waiters: &mut Waiters,
    events: impl Iterator<Item = &'a ProbeEvent> + Clone,
) {
    waiters.threads.retain(|waiter| {
        let starts = events.clone().find_map(|event| match event.kind {
            EventKind::WaitBegin { thread } if thread == *waiter => Some(true),
            EventKind::WaitEnd { thread, .. } if thread == *waiter => Some(false),
            _ => None,
        });
        starts != Some(true)
    });
}

/// The files that decided at least once, the best first.
const BY: [&str; 3] = ["wchan", "stack", "syscall"];

#[derive(Debug, Default)]
struct Look {
    threads: Vec<u32>,
    seen: u32,
    /// Threads for which no file decided.
    undecided: u32,
    processes: usize,
    /// Processes for which there was no time.
    left: usize,
    /// By the order of [`BY`], like the next.
    decided: [bool; BY.len()],
    /// Files that are taken to be empty.
    without: [bool; BY.len()],
}

impl Look {
    fn walk(&mut self, proc: &Path, until: Instant) -> std::io::Result<()> {
        let processes = numbered(proc)?;
        self.processes = processes.len();
        for (n, (_, process)) in processes.into_iter().enumerate() {
            // A process that ends meanwhile does not wait.
            for (thread, task) in numbered(&process.join("task")).into_iter().flatten() {
                if Instant::now() >= until {
                    self.left = self.processes - n;
                    return Ok(());
                }
                self.seen += 1;
                // One that wakes while it is looked at is asleep or awake the next time.
                match self.waits(&task).or_else(|| self.waits(&task)) {
                    Some(true) => self.threads.push(thread),
                    Some(false) => {}
                    None => self.undecided += u32::from(task.exists()),
                }
            }
        }
        Ok(())
    }

    /// Whether the thread waits; `None` if no file decides.
    fn waits(&mut self, task: &Path) -> Option<bool> {
        let wchan = by_wchan(&self.read(task, 0));
        if wchan.is_some() {
            return self.by(0, wchan);
        }
        // One that has ended has none.
        let Ok(stat) = fs::read(task.join("stat")) else { return Some(false) };
        let (state, flags) = state(&stat)?;
        // `prepare_to_wait` in `pm_get_wakeup_count`, `drivers/base/power/wakeup.c`, 5.10 to 7.3.
        if state != b'S' {
            return Some(false);
        }
        let stack = by_stack(&self.read(task, 1));
        if stack.is_some() {
            return self.by(1, stack);
        }
        if flags & KERNEL_THREAD != 0 {
            return None;
        }
        let file =
            by_syscall(&self.read(task, 2))?.map(|fd| fs::read_link(task.join(format!("fd/{fd}"))));
        let waits = matches!(file, Some(Ok(path)) if path == Path::new(FILE));
        self.by(2, Some(waits))
    }

    /// One of the files of [`BY`]; empty if it cannot be read.
    fn read(&self, task: &Path, file: usize) -> Vec<u8> {
        if self.without[file] {
            return Vec::new();
        }
        fs::read(task.join(BY[file])).unwrap_or_default()
    }

    fn by(&mut self, file: usize, waits: Option<bool>) -> Option<bool> {
        self.decided[file] = true;
        waits
    }

    fn result(self, mut gaps: Vec<String>, took_ns: u64) -> Waiters {
        let Self { mut threads, seen, undecided, processes, left, decided, .. } = self;
        threads.sort_unstable();
        if undecided > 0 {
            gaps.push(format!("{undecided} of {seen} threads could not be looked at"));
        }
        if left > 0 {
            gaps.push(format!("there was no time for {left} of {processes} processes"));
        }
        let how = BY.into_iter().zip(decided).filter_map(|(by, decided)| decided.then_some(by));
        let how = how.collect::<Vec<_>>().join(",");
        Waiters { how, why: gaps.join("; "), took_ns, seen, threads }
    }
}

/// The entries of a folder that have a number for a name.
fn numbered(folder: &Path) -> std::io::Result<Vec<(u32, PathBuf)>> {
    let entries = fs::read_dir(folder)?.filter_map(|entry| {
        let path = entry.ok()?.path();
        Some((path.file_name()?.to_str()?.parse().ok()?, path))
    });
    Ok(entries.collect())
}

/// `None` if the kernel does not know the function. Some name the scheduler's own, which every
/// sleeping thread is in.
fn by_wchan(wchan: &[u8]) -> Option<bool> {
    let symbol = str::from_utf8(wchan).ok()?.trim_ascii();
    let known = !symbol.is_empty() && !symbol.starts_with(|c: char| c.is_ascii_digit());
    (known && !symbol.contains("schedule")).then(|| is_function(symbol))
}

/// A stack has lines such as `[<0>] pm_get_wakeup_count+0x138/0x1f0`; it is empty if the kernel
/// cannot unwind it.
fn by_stack(stack: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(stack);
    let symbols = text.lines().filter_map(|line| line.split_once("] ")?.1.split_once('+'));
    let mut symbols = symbols.map(|(symbol, _)| symbol).peekable();
    symbols.peek()?;
    Some(symbols.any(is_function))
}

/// Whether a symbol is the function, whatever suffix the compiler gave it.
fn is_function(symbol: &str) -> bool {
    symbol.split('.').next() == Some(FUNCTION)
}

/// The first argument of the system call, if it can be a file descriptor; `Some(None)` if the
/// thread is in no such call, and `None` if there is no answer. The line is `running`, or the
/// call's number (-1 for none), its six arguments, stack pointer and program counter.
fn by_syscall(line: &[u8]) -> Option<Option<i32>> {
    let line = str::from_utf8(line).ok()?.trim_ascii();
    let mut words = line.split(' ');
    let call = words.next().filter(|word| !word.is_empty())?;
    let argument = words.next().and_then(|word| word.strip_prefix("0x"));
    let first = argument.and_then(|digits| i32::from_str_radix(digits, 16).ok());
    Some(first.filter(|_| call.parse::<u64>().is_ok()))
}

/// State and flags out of `stat` (proc_pid_stat(5)): the fields 3 and 9. The name before them may
/// contain anything.
fn state(stat: &[u8]) -> Option<(u8, u64)> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = str::from_utf8(stat.get(name_end + 1..)?).ok()?.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    Some((state, fields.nth(5)?.parse().ok()?))
}

#[cfg(test)]
mod tests;
