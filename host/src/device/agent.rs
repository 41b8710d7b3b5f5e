//! The agent's program: where its bytes come from, and how it is installed on the device.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use sleepwalk_trace::chunk::crc32c;

use super::adb::Device;
use super::call::Output;
use super::error::DeviceError;
use super::guard;
use super::paths::TMP;
use super::shell::quote;
use crate::fix::Fixable;
use crate::units::size;

/// The file name of the agent, on both sides.
pub const NAME: &str = "sleepwalkd";
/// The free space that a short capture needs in addition to the agent.
const TRACE_ROOM: u64 = 8 << 20;
/// The deadline for one run of the agent. Its doctor loads the probe, which takes an emulated core
/// seconds.
const RUN: Duration = Duration::from_secs(60);
/// The deadline for creating a folder.
const CREATE: Duration = Duration::from_secs(15);

#[cfg(embedded_agent)]
const EMBEDDED: Option<&[u8]> = Some(include_bytes!(concat!(env!("OUT_DIR"), "/sleepwalkd")));
#[cfg(not(embedded_agent))]
const EMBEDDED: Option<&[u8]> = None;

/// The agent's program.
#[derive(Clone, Debug)]
pub struct Agent {
    bytes: Cow<'static, [u8]>,
}

/// The identity of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    len: u64,
    crc32c: u32,
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes with CRC32C {:08x}", self.len, self.crc32c)
    }
}

impl Agent {
    /// The program that `--agent` names, or the embedded one, or the one beside this program.
    pub fn find(named: Option<&Path>) -> Result<Self> {
        if let Some(path) = named {
            return Self::read(path);
        }
        if let Some(bytes) = EMBEDDED {
            return Ok(Self { bytes: Cow::Borrowed(bytes) });
        }
        let beside = std::env::current_exe().ok().map(|exe| exe.with_file_name(NAME));
        match beside.filter(|path| path.is_file()) {
            Some(path) => Self::read(&path),
            None => bail!(Fixable::new(
                format!(
                    "no agent: this sleepwalk was built without one, and there is no {NAME} beside it"
                ),
                "build it with `cargo xtask build`, or name it with --agent FILE",
            )),
        }
    }

    fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let bytes = std::fs::read(path).with_context(|| format!("agent {shown}"))?;
        // ELF, 64 bits, little-endian, and e_machine EM_AARCH64 (include/uapi/linux/elf-em.h).
        let arm64 = bytes.starts_with(b"\x7fELF\x02\x01") && bytes.get(18..20) == Some(&[183, 0]);
        ensure!(
            arm64,
            Fixable::new(
                format!("agent {shown} is not a program for aarch64"),
                "build it with `cargo xtask build`",
            )
        );
        Ok(Self { bytes: Cow::Owned(bytes) })
    }

    /// The SHA-256, in hexadecimal.
    fn sha256(&self) -> String {
        Sha256::digest(&self.bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The identity of this build.
    pub fn build(&self) -> Build {
        Build { len: self.bytes.len() as u64, crc32c: crc32c(&self.bytes) }
    }
}

/// The agent in a folder on a device. Dropping this removes the agent if the folder was made for it,
/// and then the folder if it is empty. [`Installed::keep`] prevents that.
#[derive(Debug)]
pub struct Installed<'a> {
    device: &'a Device,
    dir: String,
    made: bool,
    sha256: String,
}

/// `sleepwalkd version --json`.
#[derive(Deserialize)]
struct Version {
    exe_len: u64,
    exe_crc32c: String,
}

impl<'a> Installed<'a> {
    /// Copies the agent into `dir` on the device, unless the same build is there already, and checks
    /// that it runs. Other users must have no access to `dir`.
    pub fn new(device: &'a Device, agent: &Agent, dir: &str) -> Result<Self> {
        let present = guard::check(device, dir)?;
        let installed =
            Self { device, dir: dir.to_owned(), made: !present, sha256: agent.sha256() };
        let build = agent.build();
        if present && installed.version().is_ok_and(|found| found == build) {
            return Ok(installed);
        }
        room(device, &build)?;
        installed.push(agent)?;
        let found = installed.version()?;
        ensure!(
            found == build,
            Fixable::new(
                format!(
                    "the agent on device {} is another build: {found} there, {build} here",
                    device.serial(),
                ),
                format!("check whether another program writes {dir}/{NAME}"),
            ),
        );
        Ok(installed)
    }

    /// Whether `dir` has this build of the agent.
    pub fn is_in(device: &'a Device, agent: &Agent, dir: &str) -> bool {
        let there = Self { device, dir: dir.to_owned(), made: false, sha256: agent.sha256() };
        guard::check(device, dir).is_ok()
            && there.version().is_ok_and(|found| found == agent.build())
    }

    fn push(&self, agent: &Agent) -> Result<()> {
        let (dir, device) = (&self.dir, self.device);
        let mut local = tempfile::NamedTempFile::new().context("a temporary file")?;
        local.write_all(&agent.bytes).context("a temporary file")?;
        // Copied under another name and then renamed: a partial program must not be run, and a
        // running program cannot be written to.
        let new = self.part();
        // With umask 077. The folder may exist since a time when the shell was root.
        let made = device.sh(&format!("mkdir -p {}", quote(dir)), CREATE)?;
        ensure!(made.code == 0, "{dir} on the device: {}", made.last_words());
        guard::check(device, dir)?;
        device.give_to_shell(dir)?;
        let pushed = device.push(local.path(), &new, agent.build().len);
        let (from, to) = (quote(&new), quote(&format!("{dir}/{NAME}")));
        if pushed.is_err() {
            let _ = device.shell(&format!("rm -f {from}"));
        }
        pushed?;
        let moved =
            device.shell(&format!("chown 0 {from} && chmod 700 {from} && mv -f {from} {to}"))?;
        ensure!(moved.code == 0, "{dir}/{NAME} on the device: {}", moved.last_words());
        Ok(())
    }

    /// The agent's file name until it is complete.
    fn part(&self) -> String {
        format!("{}/{NAME}.{}", self.dir, std::process::id())
    }

    fn version(&self) -> Result<Build> {
        let output = self.run("version --json")?;
        let version: Option<Version> = serde_json::from_str(&output.line()).ok();
        let crc = version.as_ref().and_then(|v| u32::from_str_radix(&v.exe_crc32c, 16).ok());
        match (version, crc) {
            (Some(version), Some(crc32c)) => Ok(Build { len: version.exe_len, crc32c }),
            _ => bail!(
                "the agent does not run on device {} (exit code {}): {}",
                self.device.serial(),
                output.code,
                output.last_words(),
            ),
        }
    }

    /// Runs the agent with `args`, which are words of the shell.
    pub fn run(&self, args: &str) -> Result<Output, DeviceError> {
        self.device.sh(&format!("{}./{NAME} {args}", self.enter()), RUN)
    }

    /// The start of a script that runs the agent: see [`guard::enter`].
    pub fn enter(&self) -> String {
        guard::enter(self.device, &self.dir, &self.sha256)
    }

    /// The agent's folder.
    pub fn dir(&self) -> &str {
        &self.dir
    }

    /// The device that it is installed on.
    pub fn device(&self) -> &'a Device {
        self.device
    }

    /// Leaves the agent on the device for the next time.
    pub fn keep(&mut self) {
        self.made = false;
    }
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        if self.made {
            // `rmdir` keeps the folder if other programs have put files there meanwhile. A failure
            // cannot be reported from here.
            let (dir, agent) = (quote(&self.dir), quote(&format!("{}/{NAME}", self.dir)));
            let own = quote(&self.part());
            let remove = format!("rm -f {agent} {own}; rmdir {dir} 2>/dev/null; true");
            let _ = self.device.shell(&remove);
        }
    }
}

/// Checks that there is room for the agent and a short trace; returns the free space as text.
pub fn check_room(device: &Device, agent: &Agent) -> Result<String, DeviceError> {
    let free = room(device, &agent.build())?;
    let free = free.map_or("an unknown amount".to_owned(), size);
    Ok(format!("{free} free in {TMP}"))
}

fn room(device: &Device, build: &Build) -> Result<Option<u64>, DeviceError> {
    let needed = build.len + TRACE_ROOM;
    match device.free_bytes()? {
        Some(free) if free < needed => Err(DeviceError::NoRoom { free, needed }),
        free => Ok(free),
    }
}
