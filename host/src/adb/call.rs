//! One call of the `adb` program.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::DeviceError;
use crate::interrupt;
use crate::shell::last_words;

/// How long a finished call's output may lag behind: an adb server that the call had to start keeps
/// the pipes open for as long as it lives.
const LAG: Duration = Duration::from_millis(500);

/// The `adb` program.
#[derive(Clone, Debug)]
pub struct Adb {
    program: OsString,
}

/// What a call left.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Exit code, of the command on the device where there was one.
    pub code: i32,
    /// Its standard output; what is not UTF-8 is replaced.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// The first line of the output.
    pub fn line(&self) -> String {
        self.stdout.lines().next().unwrap_or_default().trim().to_owned()
    }

    /// What it said at last, on standard error or else on standard output.
    pub fn last_words(&self) -> String {
        let words = last_words(&self.stderr);
        if words.is_empty() { last_words(&self.stdout) } else { words }
    }
}

/// A call that came to nothing.
#[derive(Debug, Error)]
pub enum CallError {
    /// It could not begin.
    #[error("{0}")]
    Run(#[from] io::Error),
    /// No answer.
    #[error("no answer within {} s: is it asleep or unplugged?", .0.as_secs())]
    Deadline(Duration),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// Not the command on the device failed, but adb itself.
    #[error("adb says: {0}")]
    Adb(String),
}

impl Adb {
    /// `$ADB`, or `adb` from the path.
    pub fn from_env() -> Self {
        let named = env::var_os("ADB").filter(|adb| !adb.is_empty());
        Self { program: named.unwrap_or_else(|| "adb".into()) }
    }

    /// What is called.
    pub fn program(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    /// The first line of `adb version`.
    pub fn version(&self) -> Result<String, DeviceError> {
        let output = self.run(["version".as_ref()], Duration::from_secs(15));
        output.map(|output| output.line()).map_err(|why| self.failed(why))
    }

    pub(super) fn failed(&self, why: CallError) -> DeviceError {
        let program = self.program();
        match why {
            CallError::Run(why) => DeviceError::NoAdb { program, why },
            why => DeviceError::AdbFailed { program, why: why.to_string() },
        }
    }

    /// Runs it to its end, or to the deadline.
    pub fn run<'a>(
        &self,
        args: impl IntoIterator<Item = &'a OsStr>,
        deadline: Duration,
    ) -> Result<Output, CallError> {
        let mut command = Command::new(&self.program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C on a terminal reaches every process of the group, and what is under way on the
        // device has to be ended in order.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let code = wait(&mut child, deadline)?;
        let output = Output { code, stdout: gather(&stdout), stderr: gather(&stderr) };
        // adb's own complaints begin so, and end with a code that a command could have too.
        let own =
            output.stderr.lines().find(|l| l.starts_with("error: ") || l.starts_with("adb: "));
        match own {
            Some(complaint) if code != 0 => Err(CallError::Adb(complaint.to_owned())),
            _ => Ok(output),
        }
    }
}

fn wait(child: &mut Child, deadline: Duration) -> Result<i32, CallError> {
    let until = Instant::now() + deadline;
    let pressed = interrupt::count();
    let mut pause = Duration::from_millis(1);
    let ended = loop {
        match child.try_wait() {
            // Killed by a signal: no code.
            Ok(Some(status)) => return Ok(status.code().unwrap_or(-1)),
            Err(error) => break CallError::Run(error),
            Ok(None) => {}
        }
        if Instant::now() >= until {
            break CallError::Deadline(deadline);
        }
        // The first Ctrl-C lets the call end, mostly; its caller looks for it.
        if interrupt::gives_up(pressed) {
            break CallError::Interrupted;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    // It may have ended by itself; it is gone either way.
    let _ = child.kill();
    let _ = child.wait();
    Err(ended)
}

/// Reads a pipe on a thread of its own, so that neither of two can fill up.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    if let Some(mut pipe) = pipe {
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                if send.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
    }
    receive
}

/// What was read up to the pipe's end, or until nothing comes any more.
fn gather(pipe: &Receiver<Vec<u8>>) -> String {
    let mut bytes = Vec::new();
    while let Ok(more) = pipe.recv_timeout(LAG) {
        bytes.extend(more);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
