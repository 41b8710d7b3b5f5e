//! Runs a program as a user with chosen capabilities, which an Android device would have from its init
//! (`capabilities` in a service) and busybox' `setpriv` cannot give to another user.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use caps::{CapSet, Capability, CapsHashSet, securebits};
use clap::{Args, value_parser};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

/// Become a user with no more than these capabilities, and run a program
///
/// All five sets are alike.
#[derive(Args, Debug, PartialEq)]
pub struct Options {
    /// The user's number, which is the group's too
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u32).range(..u32::MAX as i64))]
    pub user: u32,
    /// The kernel's names in small letters, without their `CAP_`
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = capability)]
    pub capabilities: Vec<Capability>,
    /// With its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub program: Vec<OsString>,
}

fn capability(name: &str) -> Result<Capability, String> {
    let known = format!("CAP_{}", name.to_ascii_uppercase()).parse();
    known.map_err(|_| format!("`{name}` is no capability"))
}

/// Becomes the user and runs the program; returns only if it cannot.
pub fn run(options: &Options) -> Result<()> {
    let allowed: CapsHashSet = options.capabilities.iter().copied().collect();
    let (user, group) = (Uid::from_raw(options.user), Gid::from_raw(options.user));
    for capability in caps::all() {
        // A capability that this kernel does not know is in no set.
        let bounded = caps::has_cap(None, CapSet::Bounding, capability).unwrap_or(false);
        if bounded && !allowed.contains(&capability) {
            caps::drop(None, CapSet::Bounding, capability)
                .with_context(|| format!("{capability} cannot be dropped: run this as root"))?;
        }
    }
    // Without this a change of user clears the permitted set.
    securebits::set_keepcaps(true).context("PR_SET_KEEPCAPS")?;
    setgroups(&[]).context("setgroups")?;
    setgid(group).with_context(|| format!("setgid {group}"))?;
    setuid(user).with_context(|| format!("setuid {user}"))?;
    // Ambient comes last: a program that another user than root executes keeps that set.
    let sets = [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable, CapSet::Ambient];
    for set in sets {
        caps::set(None, set, &allowed).with_context(|| format!("{set:?}: {}", names(&allowed)))?;
    }
    let Some((program, arguments)) = options.program.split_first() else { return Ok(()) };
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| program.to_string_lossy().into_owned())
}

fn names(capabilities: &CapsHashSet) -> String {
    capabilities.iter().map(Capability::to_string).collect::<Vec<_>>().join(", ")
}
