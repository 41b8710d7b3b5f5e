//! The output of Android's services, by `dumpsys`: who holds wakelocks in user space, and whose alarms came.
//!
//! A thread of its own waits for the commands, so that a capture goes on meanwhile. It ends with its questions.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;
use sleepwalk_trace::record::{DUMP_CUT, DUMP_FAILED, DUMP_TIMED_OUT, DUMP_WHOLE};
use sleepwalk_trace::time::BootNanos;

use crate::clock;

/// Android's command.
const DUMPSYS: &str = "/system/bin/dumpsys";

/// Wakelocks of processes since Android 12, and in Android 11, which lacks the first service.
const WAKELOCKS: &str = "suspend_control_internal --wakelocks";
const OLD_WAKELOCKS: &str = "suspend_control --wakelocks";
/// Wakelocks of apps.
const POWER: &str = "power";
/// Alarms, since boot.
const ALARMS: &str = "alarm";

/// A command may take so long. SystemSuspend answers in some 20 ms, the alarm manager in some 100 ms.
const LONGEST: Duration = Duration::from_secs(3);
/// At the end of a capture all may take so long together.
const LONGEST_END: Duration = Duration::from_secs(5);
/// So much of an output is read, in bytes, and so much is kept once it is compressed.
const MOST_READ: usize = 4 << 20;
const MOST_KEPT: usize = 256 << 10;

/// The output of a command.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The arguments of `dumpsys`.
    pub service: &'static str,
    /// When it began.
    pub at: BootNanos,
    /// From then to its end, in ns of CLOCK_BOOTTIME.
    pub took_ns: u64,
    /// One of the `DUMP_*` values but the first.
    pub status: u8,
    /// Its output, as a zlib stream.
    pub bytes: Vec<u8>,
}

/// Asks the services.
#[derive(Debug)]
pub struct Services {
    dumpsys: PathBuf,
    /// The answers of a running thread.
    running: Option<Receiver<Answer>>,
}

impl Services {
    /// `None` where there are no such services.
    pub fn find() -> Option<Self> {
        Self::at(Path::new(DUMPSYS))
    }

    fn at(dumpsys: &Path) -> Option<Self> {
        dumpsys.exists().then(|| Self { dumpsys: dumpsys.to_owned(), running: None })
    }

    /// Whether answers are still to come.
    pub fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Asks who holds wakelocks, and with `alarms` whose alarms came, unless answers are still to come.
    pub fn ask(&mut self, alarms: bool) {
        if self.is_busy() {
            return;
        }
        let (sender, receiver) = channel();
        let dumpsys = self.dumpsys.clone();
        let ask = move || {
            let mut wakelocks = run(&dumpsys, WAKELOCKS);
            if wakelocks.status == DUMP_FAILED {
                let old = run(&dumpsys, OLD_WAKELOCKS);
                wakelocks = if old.status == DUMP_FAILED { wakelocks } else { old };
            }
            let timed_out = wakelocks.status == DUMP_TIMED_OUT;
            // A receiver that is gone needs no answer, and one that hangs is followed by others.
            let mut go_on = sender.send(wakelocks).is_ok() && !timed_out;
            for service in [Some(POWER), alarms.then_some(ALARMS)].into_iter().flatten() {
                if go_on {
                    let answer = run(&dumpsys, service);
                    let timed_out = answer.status == DUMP_TIMED_OUT;
                    go_on = sender.send(answer).is_ok() && !timed_out;
                }
            }
        };
        let thread = thread::Builder::new().name("dumpsys".to_owned());
        match thread.spawn(ask) {
            Ok(_) => self.running = Some(receiver),
            Err(error) => log::warn!("no thread can be started to run dumpsys: {error}"),
        }
    }

    /// The answers that have come.
    pub fn answers(&mut self) -> Vec<Answer> {
        self.collect(Instant::now())
    }

    /// The answers to the last questions, and to all again.
    pub fn last_answers(&mut self) -> Vec<Answer> {
        let end = Instant::now() + LONGEST_END;
        let mut answers = self.collect(end);
        self.ask(true);
        answers.extend(self.collect(end));
        answers
    }

    fn collect(&mut self, until: Instant) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(running) = &self.running {
            match running.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(answer) => answers.push(answer),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => self.running = None,
            }
        }
        answers
    }
}

/// Runs `dumpsys` for one service.
fn run(dumpsys: &Path, service: &'static str) -> Answer {
    let at = clock::now().boot;
    let (status, bytes) = output(dumpsys, service).unwrap_or_else(|error| {
        log::warn!("dumpsys {service}: {error:#}");
        (DUMP_FAILED, Vec::new())
    });
    Answer { service, at, took_ns: clock::now().boot.since(at), status, bytes }
}

fn output(dumpsys: &Path, service: &str) -> Result<(u8, Vec<u8>)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).context("pipe2")?;
    let errors = writer.try_clone().context("dup")?;
    let mut command = Command::new(dumpsys);
    command.args(service.split(' ')).stdin(Stdio::null()).stdout(writer).stderr(errors);
    let end = Instant::now() + LONGEST;
    let mut child = command.spawn().context("it cannot be run")?;
    // With it go the ends of the pipe that the command alone is to have.
    drop(command);
    let read = read(&mut File::from(reader), end);
    if !matches!(read, Ok((None, _))) {
        // Where it has ended already, there is nothing to kill.
        let _ = child.kill();
    }
    let exited = child.wait().context("it cannot be waited for")?;
    let (stopped, bytes) = read?;
    // It prints this and succeeds, or fails, by release.
    let status = if exited.success() { DUMP_WHOLE } else { DUMP_FAILED };
    Ok((stopped.unwrap_or(status), bytes))
}

/// Reads and compresses until the end of the output, the time or the room; returns the reason to stop, if it is not the
/// first.
fn read(reader: &mut File, end: Instant) -> Result<(Option<u8>, Vec<u8>)> {
    let mut kept = ZlibEncoder::new(Vec::new(), Compression::fast());
    let (mut buffer, mut total) = ([0; 16 << 10], 0);
    let stopped = loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut ready = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        if left == PollTimeout::ZERO || poll(&mut ready, left).context("poll")? == 0 {
            break Some(DUMP_TIMED_OUT);
        }
        let length = reader.read(&mut buffer).context("its output cannot be read")?;
        if length == 0 {
            break None;
        }
        total += length;
        if total > MOST_READ || kept.get_ref().len() + length > MOST_KEPT {
            break Some(DUMP_CUT);
        }
        kept.write_all(&buffer[..length]).context("its output cannot be compressed")?;
    };
    Ok((stopped, kept.finish().context("its output cannot be compressed")?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use flate2::read::ZlibDecoder;

    use super::*;

    /// The answers of a command with this script.
    fn answers(script: &str) -> (Vec<Answer>, Duration) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dumpsys");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let mut services = Services::at(&path).unwrap();
        let began = Instant::now();
        (services.last_answers(), began.elapsed())
    }

    fn text(answer: &Answer) -> String {
        let mut text = String::new();
        ZlibDecoder::new(&answer.bytes[..]).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn each_service_answers() {
        let (answers, _) = answers("echo $1 of $#");
        let all: Vec<_> = answers.iter().map(|a| (a.service, a.status, text(a))).collect();
        let whole = |service, text: &str| (service, DUMP_WHOLE, text.to_owned());
        assert_eq!(
            all,
            [
                whole(WAKELOCKS, "suspend_control_internal of 2\n"),
                whole(POWER, "power of 1\n"),
                whole(ALARMS, "alarm of 1\n")
            ]
        );
    }

    #[test]
    fn the_service_of_android_11_is_asked_next() {
        let (answers, _) = answers("[ $1 != suspend_control_internal ] && echo $1");
        assert_eq!((answers[0].service, answers[0].status), (OLD_WAKELOCKS, DUMP_WHOLE));
    }

    #[test]
    fn a_denial_is_kept() {
        let (answers, _) = answers("echo \"Can't find service: $1\" >&2; exit 20");
        assert!(answers.iter().all(|answer| answer.status == DUMP_FAILED));
        assert_eq!(text(&answers[1]), "Can't find service: power\n");
    }

    #[test]
    fn a_command_that_hangs_is_killed() {
        let (answers, took) = answers("echo so far; exec sleep 60");
        assert_eq!((answers.len(), answers[0].status), (1, DUMP_TIMED_OUT));
        assert_eq!(text(&answers[0]), "so far\n");
        assert!(took < Duration::from_secs(30), "{took:?}");
    }

    #[test]
    fn endless_output_is_cut() {
        let (answers, _) = answers("exec yes a line that repeats");
        assert!(answers.iter().all(|a| a.status == DUMP_CUT && a.bytes.len() <= MOST_KEPT));
        assert!(text(&answers[0]).len() > MOST_READ - (64 << 10));
    }

    #[test]
    fn nothing_is_asked_where_nothing_is() {
        assert!(Services::at(Path::new("/nonexistent/dumpsys")).is_none());
    }
}
