//! Ends the agent in order where the file system refuses a page of the mapped trace.
//!
//! The file's space is allocated ahead, but a file system may still refuse to let a page be written: f2fs while its
//! checkpoints are disabled, in the first boot after an update (`f2fs_vm_page_mkwrite`, `fs/f2fs/file.c`, 6.12),
//! or any after an error of the disk. The kernel then sends SIGBUS, which, unhandled, ends the process without a
//! word. The trace stays readable up to its last whole chunk.

use anyhow::{Context as _, Result};
use nix::libc::{self, c_int};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

const MESSAGE: &[u8] =
    b"sleepwalkd: the file system refused a page of the trace (SIGBUS), which ends with \
    its last whole chunk: write it to another file system, with -o\n";

/// The exit code of a capture that failed.
const FAILED: c_int = 1;

/// Installs the handler.
pub fn handle() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(end), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler calls nothing that is not safe in a signal handler.
    unsafe { sigaction(Signal::SIGBUS, &action) }.context("SIGBUS cannot be handled").map(drop)
}

extern "C" fn end(_: c_int) {
    // SAFETY: both are safe in a signal handler (signal-safety(7)).
    unsafe {
        libc::write(libc::STDERR_FILENO, MESSAGE.as_ptr().cast(), MESSAGE.len());
        libc::_exit(FAILED)
    }
}

#[cfg(test)]
mod tests {
    use memmap2::MmapMut;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    use super::*;

    #[test]
    fn a_refused_page_ends_it_in_order() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        // SAFETY: the child alone uses the mapping.
        let mut map = unsafe { MmapMut::map_mut(&file) }.unwrap();
        // SAFETY: the child does system calls alone, and ends.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let _ = handle();
                // Behind the end of a file, each page is refused.
                let _ = file.set_len(0);
                map[0] = 1;
                // SAFETY: ends this process.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, FAILED)));
            }
        }
    }
}
