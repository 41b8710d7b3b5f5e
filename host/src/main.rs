//! `sleepwalk`: the one place that prints errors and chooses the exit code.

use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use sleepwalk::adb::DeviceError;
use sleepwalk::cli::Cli;
use sleepwalk::cmd;
use sleepwalk::session::decode::TraceError;

fn main() -> ExitCode {
    match cmd::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whatever a device or a file name put into it.
            let line = sleepwalk::text::one_line(&format!("{error:#}"));
            eprintln!("sleepwalk: {line}");
            ExitCode::from(exit_code(&error))
        }
    }
}

/// 4 where there is no usable device, 5 where the trace is not readable, else 1. Wrong usage, 2, is
/// mostly clap's.
fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<cmd::Usage>() {
        2
    } else if error.chain().any(|cause| cause.is::<DeviceError>()) {
        4
    } else if error.chain().any(|cause| cause.is::<TraceError>()) {
        5
    } else {
        1
    }
}

/// The reader went away, as `| head` does: nothing is wrong.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json =
            cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}
