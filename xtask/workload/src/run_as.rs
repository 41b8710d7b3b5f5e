//! Runs a program as a user with chosen capabilities, which an Android device would have from its init
//! (`capabilities` in a service) and busybox' `setpriv` can't give to another user.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use caps::{CapSet, Capability, CapsHashSet, securebits};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use crate::args::RunAsOptions;

/// Becomes the user and runs the program; returns only if it can't.
pub fn run(options: &RunAsOptions) -> Result<()> {
    let rights: CapsHashSet = options.rights.iter().copied().collect();
    let (user, group) = (Uid::from_raw(options.user), Gid::from_raw(options.user));
    for right in caps::all() {
        // One that this kernel does not know is in no set.
        if !rights.contains(&right) && caps::has_cap(None, CapSet::Bounding, right).unwrap_or(false)
        {
            caps::drop(None, CapSet::Bounding, right)
                .with_context(|| format!("{right} can't be dropped: run this as root"))?;
        }
    }
    // A change of user clears the permitted set, but for this.
    securebits::set_keepcaps(true).context("PR_SET_KEEPCAPS")?;
    setgroups(&[]).context("setgroups")?;
    setgid(group).with_context(|| format!("setgid {group}"))?;
    setuid(user).with_context(|| format!("setuid {user}"))?;
    // Ambient at last: what a program keeps that is executed by another than root.
    let sets = [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable, CapSet::Ambient];
    for set in sets {
        caps::set(None, set, &rights).with_context(|| format!("{set:?}: {}", names(&rights)))?;
    }
    let Some((program, arguments)) = options.program.split_first() else { return Ok(()) };
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| program.to_string_lossy().into_owned())
}

fn names(rights: &CapsHashSet) -> String {
    rights.iter().map(Capability::to_string).collect::<Vec<_>>().join(", ")
}
