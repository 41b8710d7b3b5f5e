//! Formats on one thread and writes on another, so that neither waits for the other.

use std::io::{self, Write};
use std::panic::resume_unwind;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;

use super::ExportError;

/// A buffer is written when it has as much.
const BUFFER: usize = 1 << 18;

/// Full buffers that wait to be written.
const AHEAD: usize = 4;

/// Runs `format` on a thread of its own, and writes to `out` what it hands over.
pub fn through(
    mut out: impl Write,
    format: impl FnOnce(Pipe) -> Result<(), ExportError> + Send,
) -> Result<(), ExportError> {
    let (full, to_write) = mpsc::sync_channel(AHEAD);
    let (written, empty) = mpsc::channel();
    let buffer = Vec::with_capacity(BUFFER + (1 << 12));
    thread::scope(|scope| {
        let formatter = scope.spawn(move || format(Pipe { buffer, full, empty }));
        // It drops its ends of both channels, which stops a formatter that nothing reads.
        let result = write_all(&mut out, to_write, written);
        let formatted = formatter.join().unwrap_or_else(|panic| resume_unwind(panic));
        result?;
        formatted
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the channels close when it returns")]
fn write_all(
    out: &mut impl Write,
    full: Receiver<Vec<u8>>,
    empty: Sender<Vec<u8>>,
) -> io::Result<()> {
    for mut buffer in &full {
        out.write_all(&buffer)?;
        buffer.clear();
        // The formatter may be done.
        let _ = empty.send(buffer);
    }
    out.flush()
}

/// Where the formatter puts what is to be written.
pub struct Pipe {
    /// What is not handed over yet.
    pub buffer: Vec<u8>,
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
}

impl Pipe {
    /// Hands over the buffer if it is full.
    #[inline]
    pub fn flush_full(&mut self) -> io::Result<()> {
        if self.buffer.len() < BUFFER { Ok(()) } else { self.flush() }
    }

    /// Hands over the buffer.
    pub fn flush(&mut self) -> io::Result<()> {
        let next =
            self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(self.buffer.capacity()));
        let buffer = std::mem::replace(&mut self.buffer, next);
        self.full.send(buffer).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> impl FnOnce(Pipe) -> Result<(), ExportError> + Send {
        move |mut pipe| {
            for line in 0..count {
                pipe.buffer.extend_from_slice(format!("{line:063}\n").as_bytes());
                pipe.flush_full()?;
            }
            Ok(pipe.flush()?)
        }
    }

    #[test]
    fn all_text_is_written_in_its_order() {
        let mut out = Vec::new();
        assert!(through(&mut out, lines(100_000)).is_ok());
        let numbers = out.chunks(64).map(|line| String::from_utf8_lossy(line).trim().parse());
        assert!(numbers.eq((0..100_000usize).map(Ok)));
    }

    #[test]
    fn the_error_of_the_output_is_returned() {
        let mut room = [0; 1 << 19];
        let error = through(&mut room[..], lines(100_000)).err();
        let kind = error.map(|error| match error {
            ExportError::Write(error) => error.kind(),
            ExportError::Read(_) => io::ErrorKind::Other,
        });
        assert_eq!(kind, Some(io::ErrorKind::WriteZero));
    }
}
