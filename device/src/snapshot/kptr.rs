//! Opens `/proc/kallsyms` with its addresses, where `kernel.kptr_restrict` hides them.
//!
//! Android's init sets the highest value, 2 at least (`SetKptrRestrictAction`, `system/core/init/security.cpp`),
//! which hides addresses even from root (`kallsyms_show_value`, `kernel/ksyms_common.c`, 6.12). The kernel
//! decides when the file is opened (`kallsyms_open`, `kernel/kallsyms.c`, 5.8 and later), so root lowers the
//! value for that moment alone.
//!
//! A child lowers the value and sets it back once this process has opened the file, or has ended: nothing that
//! kills this process leaves it lowered. If the child is killed, this process sets it back.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, pipe2, setsid};

/// The setting.
const SETTING: &str = "/proc/sys/kernel/kptr_restrict";

/// With this value, CAP_SYSLOG is enough to see addresses.
const LOWERED: u32 = 1;

/// The child waits this long for a parent that is stopped.
const LONGEST_MS: u16 = 1_000;

/// The kernel's symbols.
pub const KALLSYMS: &str = "/proc/kallsyms";

/// `/proc/kallsyms`, which shows addresses for as long as it is open. Returns also a sentence about the setting, if
/// it was lowered for that.
pub fn kallsyms() -> Result<(File, Option<String>)> {
    let (file, lowered_from) = open(Path::new(KALLSYMS), Path::new(SETTING))?;
    let lowered = lowered_from.map(|old| {
        format!("{SETTING} was {old}; it was 1 while {KALLSYMS} was opened, and is {old} again")
    });
    Ok((file, lowered))
}

/// Opens `symbols`, and returns the value from which `setting` was lowered meanwhile, if it was.
fn open(symbols: &Path, setting: &Path) -> Result<(File, Option<u32>)> {
    let open =
        || File::open(symbols).with_context(|| format!("{} cannot be opened", symbols.display()));
    if value(setting).is_none_or(|value| value <= LOWERED) {
        return Ok((open()?, None));
    }
    let name = setting.display();
    let file = File::options().read(true).write(true).open(setting);
    let file = file.with_context(|| format!("{name} cannot be lowered for a moment"))?;
    // Another agent may have lowered it: this waits until it is set back.
    let file = Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .with_context(|| format!("{name} cannot be locked"))?;
    let Some(old) = value(setting).filter(|value| *value > LOWERED) else {
        return Ok((open()?, None));
    };
    let opened = while_lowered(&file, old, open);
    let opened =
        opened.with_context(|| format!("{name} is {old} and cannot be lowered for a moment"))?;
    let now = value(setting);
    ensure!(now == Some(old), "{name} was lowered and cannot be set back: `echo {old} > {name}`");
    Ok((opened?, Some(old)))
}

fn value(setting: &Path) -> Option<u32> {
    fs::read_to_string(setting).ok()?.trim().parse().ok()
}

/// Runs `work` while the setting is lowered. It is set back when this returns.
fn while_lowered<T>(setting: &Flock<File>, old: u32, work: impl FnOnce() -> T) -> Result<T> {
    let (mut lowered, ready) = pipe()?;
    let (wait, done) = pipe()?;
    // SAFETY: this program has one thread, so the child may do whatever the parent may.
    let child = match unsafe { fork() }.context("fork")? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            drop((lowered, done));
            let set_back = lower(setting, old, ready, wait);
            // SAFETY: ends this process; what the parent has buffered is not written twice.
            unsafe { libc::_exit(i32::from(set_back.is_err())) }
        }
    };
    drop((ready, wait));
    // The end of the pipe comes when the child could not do it.
    let is_lowered = lowered.read(&mut [0])? == 1;
    let worked = is_lowered.then(work);
    drop(done);
    let ended = loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            ended => break ended,
        }
    };
    if !matches!(ended, Ok(WaitStatus::Exited(_, 0))) {
        write(setting, old)?;
    }
    match worked {
        Some(worked) => Ok(worked),
        None => bail!("the kernel refuses it: it needs CAP_SYS_ADMIN"),
    }
}

/// The child: lowers, says so, and sets back when the parent is done, has ended, or takes too long.
fn lower(setting: &File, old: u32, ready: File, wait: File) -> io::Result<()> {
    // A signal to the parent's group is not for the child.
    let _ = setsid();
    for one in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGPIPE] {
        // SAFETY: no handler is installed.
        let _ = unsafe { signal(one, SigHandler::SigIgn) };
    }
    write(setting, LOWERED)?;
    // A parent that has ended reads nothing.
    let _ = (&ready).write_all(&[1]);
    let mut ends = [PollFd::new(wait.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut ends, PollTimeout::from(LONGEST_MS));
    write(setting, old)
}

/// The kernel ignores a value that is not written at the start of the file (`proc_first_pos_non_zero_ignore`,
/// `kernel/sysctl.c`).
fn write(setting: &File, value: u32) -> io::Result<()> {
    setting.write_all_at(value.to_string().as_bytes(), 0)
}

fn pipe() -> Result<(File, File)> {
    let (read, write): (OwnedFd, OwnedFd) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    Ok((read.into(), write.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The setting, and the value of it that a reader of the symbols sees when it opens them.
    fn opened(value: &str) -> (Result<Option<u32>>, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let setting = folder.path().join("kptr_restrict");
        fs::write(&setting, value).unwrap();
        // Opening the file shows what the setting is at that moment.
        let seen = std::cell::RefCell::new(String::new());
        let file = File::options().read(true).write(true).open(&setting).unwrap();
        let result = if value == "2" {
            let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap();
            let worked = while_lowered(&lock, 2, || {
                *seen.borrow_mut() = fs::read_to_string(&setting).unwrap();
            });
            worked.map(|()| Some(2))
        } else {
            open(&setting, &setting).map(|(_, lowered)| lowered)
        };
        let after = fs::read_to_string(&setting).unwrap();
        (result, seen.into_inner(), after)
    }

    #[test]
    fn the_setting_is_lowered_for_a_moment() {
        let (lowered, seen, after) = opened("2");
        assert_eq!((lowered.unwrap(), seen.as_str(), after.as_str()), (Some(2), "1", "2"));
    }

    #[test]
    fn a_low_setting_stays_as_it_is() {
        for value in ["0", "1"] {
            let (lowered, _, after) = opened(value);
            assert_eq!((lowered.unwrap(), after.as_str()), (None, value));
        }
    }

    #[test]
    fn a_killed_parent_leaves_nothing_lowered() {
        let folder = tempfile::tempdir().unwrap();
        let setting = folder.path().join("kptr_restrict");
        fs::write(&setting, "2").unwrap();
        // SAFETY: the child is killed before it could do anything that the other threads would mind.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                // Not in the parent: the drop of a lock unlocks it for all who share the open file.
                let file = File::options().read(true).write(true).open(&setting).unwrap();
                let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap();
                let _ = while_lowered(&lock, 2, || {
                    // SAFETY: as `kill -9` from outside.
                    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) }
                });
                // SAFETY: ends this process.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => {
                assert!(matches!(waitpid(child, None), Ok(WaitStatus::Signaled(..))));
                // The one that lowered it holds the lock until it is set back.
                let file = File::open(&setting).unwrap();
                let _lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap();
                assert_eq!(fs::read_to_string(&setting).unwrap(), "2");
            }
        }
    }
}
