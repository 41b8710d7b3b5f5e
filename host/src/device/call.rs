//! One call of the `adb` program.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{CallError, DeviceError};
use super::shell::last_words;
use crate::interrupt;

/// How long to wait for the output of a call that has ended. An adb server that the call started
/// keeps the pipes open for as long as it lives.
const LAG: Duration = Duration::from_millis(500);

/// The `adb` program.
#[derive(Clone, Debug)]
pub struct Adb {
    program: OsString,
}

/// The result of a call.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// The exit code; for `adb shell`, that of the command on the device.
    pub code: i32,
    /// Standard output; invalid UTF-8 is replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

impl Output {
    /// The first line of the output.
    pub fn line(&self) -> String {
        self.stdout.lines().next().unwrap_or_default().trim().to_owned()
    }

    /// The last lines of standard error or, if that is empty, of standard output.
    pub fn last_words(&self) -> String {
        let words = last_words(&self.stderr);
        if words.is_empty() { last_words(&self.stdout) } else { words }
    }
}

impl Adb {
    /// `$ADB`, or `adb` from the path.
    pub fn from_env() -> Self {
        let named = env::var_os("ADB").filter(|adb| !adb.is_empty());
        Self { program: named.unwrap_or_else(|| "adb".into()) }
    }

    /// The program that is called.
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

    /// Runs a call until it ends, or until the deadline.
    pub fn run<'a>(
        &self,
        args: impl IntoIterator<Item = &'a OsStr>,
        deadline: Duration,
    ) -> Result<Output, CallError> {
        let mut command = Command::new(&self.program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C on a terminal reaches every process of the group. In a group of its own, adb goes
        // on, so that the command on the device can be ended cleanly.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let code = wait(&mut child, deadline)?;
        let output = Output { code, stdout: gather(&stdout), stderr: gather(&stderr) };
        // adb's own errors have an exit code that a command could have too: only the text differs.
        let own =
            output.stderr.lines().find(|l| l.starts_with("error: ") || l.starts_with("adb: "));
        match own {
            Some(error) if code != 0 => {
                let error = error.trim_start_matches("adb: ").trim_start_matches("error: ");
                Err(CallError::Adb(error.to_owned()))
            }
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
        // Most callers let the call end after the first Ctrl-C, and check for it then.
        if interrupt::aborts(pressed) {
            break CallError::Interrupted;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    // If it has just ended on its own, the kill fails, and that is fine.
    let _ = child.kill();
    let _ = child.wait();
    Err(ended)
}

/// Reads a pipe on its own thread, so that neither of two pipes can fill up.
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

/// The bytes read until the pipe's end, or until no more arrive.
fn gather(pipe: &Receiver<Vec<u8>>) -> String {
    let mut bytes = Vec::new();
    while let Ok(more) = pipe.recv_timeout(LAG) {
        bytes.extend(more);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
