//! `sleepwalk pull`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use sleepwalk_trace::read::{Damage, Item, Reader};
use sleepwalk_trace::record::{Record, Stamped};

use super::output::Output;
use crate::adb::Device;
use crate::capture::{self, DIR, Remote, State};
use crate::cli::Target;
use crate::interrupt;
use crate::session::decode;
use crate::text::one_line;
use crate::units::size;

/// Options of `pull`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// The trace on the device, by its name or path [default: the newest]
    remote: Option<String>,
    /// The file here [default: of the same name, in this folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite a file that exists
    #[arg(long)]
    force: bool,
    /// Remove it from the device once it is here
    #[arg(long = "rm")]
    remove: bool,
}

/// Brings a trace here and checks that it can be read.
pub fn run(args: &Args) -> Result<ExitCode> {
    interrupt::watch_and_give_up()?;
    let pulled = pull(args);
    if pulled.is_err() && interrupt::count() > 0 {
        bail!("interrupted: nothing was brought");
    }
    pulled
}

fn pull(args: &Args) -> Result<ExitCode> {
    let device = super::connect(args.target.serial())?;
    let remote = match &args.remote {
        Some(path) if path.contains('/') => path.clone(),
        Some(name) => format!("{DIR}/{name}"),
        None => {
            let newest = capture::traces(&device)?.into_iter().next();
            let serial = device.serial();
            newest
                .map(|name| format!("{DIR}/{name}"))
                .with_context(|| format!("no trace lies on device {serial} in {DIR}: record one"))?
        }
    };
    let name = remote.rsplit('/').next().unwrap_or_default();
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(name));
    let output = Output::begin(&path, args.force)?;
    let bytes = fetch(&device, &remote, output.part())?;
    // Checked under the name that it will have: that is the one in warnings.
    super::decode(Path::new(name), &decode::load(output.part())?)?;
    let path = output.finish()?;
    if args.remove {
        remove(&device, &remote)?;
    }
    let shown = one_line(&path.display().to_string());
    super::print(&format!("{shown} ({})\n", size(bytes)))?;
    Ok(ExitCode::SUCCESS)
}

/// So often a trace that is being written is brought, until nothing is missing in the copy.
const TRIES: u32 = 5;

/// Copies a trace here. A copy takes time, and the agent goes on meanwhile: what it wrote then may be
/// missing in the copy, or half of it. Such a copy is made again.
fn fetch(device: &Device, remote: &str, local: &Path) -> Result<u64> {
    let mut before = None;
    for left in (0..TRIES).rev() {
        let bytes = capture::fetch(device, remote, local)?;
        if interrupt::count() > 0 {
            bail!("interrupted");
        }
        let torn = torn(&decode::load(local)?);
        // What does not change is missing on the device too.
        if torn.is_none() || torn == before {
            return Ok(bytes);
        }
        if left == 0 {
            super::say(&format!(
                "{remote} is written faster than it can be copied: what is missing in this copy is \
                 on the device"
            ));
            return Ok(bytes);
        }
        before = torn;
    }
    bail!("{remote} was not brought")
}

/// What is missing in the copy of a trace that has no end, if anything is.
fn torn(bytes: &[u8]) -> Option<Damage> {
    let mut reader = Reader::open(bytes).ok()?;
    let ends = |item| matches!(item, Item::Record(Stamped { record: Record::End(_), .. }));
    let ended = reader.by_ref().any(ends);
    let damage = reader.damage();
    (!ended && damage != Damage::default()).then_some(damage)
}

/// Removes a trace from the device, with what lies beside it, unless it is still being written.
fn remove(device: &Device, trace: &str) -> Result<()> {
    let (dir, name) = trace.rsplit_once('/').unwrap_or((".", trace));
    let remote = Remote::new(device, dir, name.strip_suffix(".swk").unwrap_or(name));
    if remote.exists()? && !matches!(remote.state()?, State::Ended(_)) {
        super::say(&format!("{trace} is still being recorded, and stays on the device"));
        return Ok(());
    }
    Ok(remote.remove(true)?)
}
