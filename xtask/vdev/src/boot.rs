//! The parameters of a boot: the kernel, and the refusals of the system.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::packages::Kernel;
use crate::{paths, sh, system};

/// A policy that denies bpf(2).
const DENY_BPF: &str = include_str!("deny-bpf.conf");

/// The version of the binary policy, which every kernel from 5.10 on reads (`POLICYDB_VERSION_MIN` to `_MAX`,
/// `security/selinux/include/security.h`).
const POLICY_VERSION: &str = "30";

/// The parameters of a boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// The kernel.
    pub kernel: Kernel,
    /// With a disk, `/dev/vda`, with an empty ext4 at the first time. It stays when the device goes down, and so
    /// outlives a power cut.
    pub disk: bool,
    /// The refusal that it is set up with.
    pub refuses: Refuses,
}

/// Something that a system refuses to the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refuses {
    /// Nothing.
    #[default]
    Nothing,
    /// debugfs is not mounted, as on user builds.
    Debugfs,
    /// SELinux denies bpf(2).
    Bpf,
    /// The kernel is locked down: nothing reads its memory.
    KernelMemory,
}

impl Refuses {
    /// Each of them.
    pub const ALL: [Refuses; 4] =
        [Refuses::Nothing, Refuses::Debugfs, Refuses::Bpf, Refuses::KernelMemory];

    /// As `vdev up --refuse` names it.
    pub fn name(self) -> &'static str {
        match self {
            Refuses::Nothing => "nothing",
            Refuses::Debugfs => "debugfs",
            Refuses::Bpf => "bpf",
            Refuses::KernelMemory => "kernel-memory",
        }
    }

    /// On the kernel's command line. The first is for the device's init.
    pub(crate) fn arguments(self) -> &'static str {
        match self {
            Refuses::Nothing => "",
            Refuses::Debugfs => " sleepwalk.debugfs=none",
            Refuses::Bpf => " security=selinux",
            Refuses::KernelMemory => " lockdown=confidentiality",
        }
    }

    /// The SELinux policy that the device's init loads and enforces.
    pub(crate) fn policy(self) -> Result<Option<Vec<u8>>> {
        if self != Refuses::Bpf {
            return Ok(None);
        }
        let checkpolicy =
            system::ensure("checkpolicy", "checkpolicy", "compiles a SELinux policy")?;
        let (from, to) = (file("deny-bpf.conf"), file("deny-bpf"));
        fs::write(&from, DENY_BPF).with_context(|| format!("{}", from.display()))?;
        let mut command = Command::new(checkpolicy);
        command.args(["-U", "allow", "-c", POLICY_VERSION, "-o"]).args([&to, &from]);
        let limit = Duration::from_secs(60);
        sh::run_logged("checkpolicy", &mut command, limit, "its message is below")?;
        fs::read(&to).map(Some).with_context(|| format!("{}", to.display()))
    }
}

fn file(name: &str) -> PathBuf {
    paths::vdev().join(name)
}
