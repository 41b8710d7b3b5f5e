//! The command line.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};

use crate::cmd::look::Color;
use crate::cmd::{check, diff, doctor, dump, export, pull, record, report, status, stop};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Finds what keeps an Android device awake.
#[derive(Debug, Parser)]
#[command(name = "sleepwalk", version, styles = STYLES, max_term_width = 100)]
#[command(after_help = "\
Exit codes: 0 done; 1 it failed; 2 wrong usage; 3 a policy limit was broken; 4 no usable device;
5 the trace is not readable.")]
pub struct Cli {
    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub color: Color,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check adb, the device and its kernel; say what works, what is lost, and how to mend it
    Doctor(doctor::Args),
    /// Record on the device, bring the trace here, and rank what kept the device awake
    Record(record::Args),
    /// List the captures on the device, and how each is doing
    Status(status::Args),
    /// End a capture that was left running
    Stop(stop::Args),
    /// Bring a trace here that lies on the device
    Pull(pull::Args),
    /// Tell where the time went and what kept the device awake
    Report(report::Args),
    /// Write a trace for other programs: for ui.perfetto.dev, or for scripts
    Export(export::Args),
    /// Tell what got better or worse between two traces, or two sets of them
    Diff(diff::Args),
    /// Hold traces against limits, for CI: exit code 3 where one is broken
    Check(check::Args),
    /// Print every record of a trace, one JSON object a line
    Dump(dump::Args),
}

/// Which device.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// The device, as `adb devices` lists it; needed where there are several
    #[arg(short, long, env = "ANDROID_SERIAL", hide_env_values = true)]
    pub serial: Option<String>,
}

impl Target {
    /// The serial; an empty variable is none.
    pub fn serial(&self) -> Option<&str> {
        self.serial.as_deref().filter(|serial| !serial.is_empty())
    }
}
