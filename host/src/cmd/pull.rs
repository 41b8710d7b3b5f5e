//! `sleepwalk pull`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

use sleepwalk_trace::read::{Damage, Item, Reader};
use sleepwalk_trace::record::{Record, Stamped};

use super::console;
use super::input;
use super::new_file::NewFile;
use super::target::Target;
use crate::device::adb::Device;
use crate::device::files;
use crate::device::paths::DIR;
use crate::device::remote::Remote;
use crate::fix::Fixable;
use crate::interrupt;
use crate::session::decode;
use crate::text::one_line;
use crate::units::size;

/// Options of `pull`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Name or path of the trace on the device [default: the newest]
    #[arg(value_name = "TRACE")]
    remote: Option<String>,
    /// File to write [default: the trace's name, in this folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(long)]
    force: bool,
    /// Remove the trace from the device once it is copied
    #[arg(long = "rm")]
    remove: bool,
}

/// Copies a trace from the device, and checks that it can be read.
pub fn run(args: &Args) -> Result<ExitCode> {
    interrupt::watch_and_abort()?;
    let pulled = pull(args);
    if pulled.is_err() && interrupt::count() > 0 {
        bail!("interrupted: no trace was copied");
    }
    pulled
}

fn pull(args: &Args) -> Result<ExitCode> {
    let device = args.target.connect()?;
    let remote = match &args.remote {
        Some(path) if path.contains('/') => path.clone(),
        Some(name) => format!("{DIR}/{name}"),
        None => {
            let Some(newest) = files::traces(&device)?.into_iter().next() else {
                bail!(Fixable::new(
                    format!("device {} has no trace in {DIR}", device.serial()),
                    "record one with `sleepwalk record`",
                ));
            };
            format!("{DIR}/{newest}")
        }
    };
    let name = remote.rsplit('/').next().unwrap_or_default();
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(name));
    let output = NewFile::create(&path, args.force)?;
    let bytes = fetch(&device, &remote, output.part())?;
    // Warnings show the name that the file will have.
    input::analyze(Path::new(name), &decode::load(output.part())?, false)?;
    let path = output.finish()?;
    if args.remove {
        remove(&device, &remote)?;
    }
    let shown = one_line(&path.display().to_string());
    console::print(&format!("{shown} ({})\n", size(bytes)))?;
    Ok(ExitCode::SUCCESS)
}

/// How many times a trace that is being written is copied, until the copy is complete.
const TRIES: u32 = 5;

/// Copies a trace from the device. If the agent writes while the trace is copied, parts may be missing
/// in the copy; then the trace is copied again.
fn fetch(device: &Device, remote: &str, local: &Path) -> Result<u64> {
    let mut before = None;
    for left in (0..TRIES).rev() {
        let bytes = files::fetch(device, remote, local)?;
        if interrupt::count() > 0 {
            bail!("interrupted");
        }
        let torn = torn(&decode::load(local)?);
        // A part that is missing twice is missing on the device too.
        if torn.is_none() || torn == before {
            return Ok(bytes);
        }
        if left == 0 {
            console::say(&format!(
                "{remote} is written faster than it can be copied: parts that are missing in this \
                 copy are on the device"
            ));
            return Ok(bytes);
        }
        before = torn;
    }
    bail!("{remote} was not copied")
}

/// The damage of a trace that has no end, if there is any.
fn torn(bytes: &[u8]) -> Option<Damage> {
    let mut reader = Reader::open(bytes).ok()?;
    let ends = |item| matches!(item, Item::Record(Stamped { record: Record::End(_), .. }));
    let ended = reader.by_ref().any(ends);
    let damage = reader.damage();
    (!ended && damage != Damage::default()).then_some(damage)
}

/// Removes a trace from the device, and the files beside it, unless it is still being recorded.
fn remove(device: &Device, trace: &str) -> Result<()> {
    let (dir, name) = trace.rsplit_once('/').unwrap_or((".", trace));
    let remote = Remote::new(device, dir, name);
    if remote.is_running()? {
        console::say(&format!("{trace} is still being recorded, and stays on the device"));
        return Ok(());
    }
    Ok(remote.remove(true)?)
}
