//! Systems that refuse something to the agent, as phones do, on each kernel shaped like a phone's.

use anyhow::{Context as _, Result, ensure};
use sleepwalk_e2e::Device;
use sleepwalk_e2e::device::{self, Tested};
use sleepwalk_e2e::own::Own;
use sleepwalk_vdev::{Boot, Refuses};

/// Those of the kernels under test that have SELinux and lockdown.
fn like_a_phone() -> Result<Vec<Tested>> {
    let mut each = device::each()?;
    each.retain(|tested| tested.kernel.name().starts_with("gki-"));
    Ok(each)
}

fn boot(tested: &Tested, refuses: Refuses) -> Boot {
    Boot { kernel: tested.kernel, refuses, ..Boot::default() }
}

/// `record` and `doctor` fail with exit code 4 and with each of `parts`, and leave nothing.
fn is_refused(device: &Device, parts: &[&str]) -> Result<()> {
    for command in ["record -o a.swk -d 1s", "doctor"] {
        let output = device.try_sh(&format!("./sleepwalkd {command}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{command}: {text}");
        let lacks = parts.iter().find(|part| !text.contains(**part));
        ensure!(lacks.is_none(), "{command} does not print {lacks:?}: {text}");
    }
    let left = device.sh("ls; pidof sleepwalkd || true; cat /proc/sys/kernel/kptr_restrict")?;
    assert_eq!(
        left.split_whitespace().collect::<Vec<_>>(),
        ["sleepwalk-workload", "sleepwalkd", "2"]
    );
    Ok(())
}

#[test]
fn a_denial_of_selinux_is_quoted() -> Result<()> {
    for tested in like_a_phone()? {
        let own = Own::new()?;
        let device = own.up(boot(&tested, Refuses::Bpf))?;
        assert_eq!(device.sh("cat /sys/fs/selinux/enforce")?, "1");
        is_refused(
            &device,
            &[
                "SELinux denies it: avc:  denied  { ",
                "comm=\"sleepwalkd\"",
                "tclass=bpf",
                "run it in a domain",
            ],
        )
        .with_context(|| tested.kernel.name())?;
    }
    Ok(())
}

#[test]
fn a_locked_down_kernel_is_named() -> Result<()> {
    for tested in like_a_phone()? {
        let own = Own::new()?;
        let device = own.up(boot(&tested, Refuses::KernelMemory))?;
        is_refused(&device, &["locked down", "boot the kernel without"])
            .with_context(|| tested.kernel.name())?;
    }
    Ok(())
}

/// As on a user build, whose kernel shows no addresses: snapshots are in ns all the same.
#[test]
fn without_debugfs_the_walk_works() -> Result<()> {
    for tested in like_a_phone()? {
        let own = Own::new()?;
        let device = own.up(boot(&tested, Refuses::Debugfs))?;
        assert_eq!(device.sh("ls /sys/kernel/debug")?, "");
        let doctor = device.sh("./sleepwalkd doctor")?;
        let best = tested.best;
        let kernel = tested.kernel.name();
        ensure!(doctor.contains(&format!("{}: ", best.snapshots)), "{kernel}: {doctor}");
        device.sh("./sleepwalkd record -o a.swk -d 2s")?;
        let trace = sleepwalk_e2e::trace::Trace::read(&device.pull("a.swk")?)?;
        assert_eq!(trace.session()?.source, best.snapshots, "{kernel}");
        assert_eq!(trace.hows()?, best.hooks, "{kernel}");
        let refused = device.try_sh("./sleepwalkd snapshot --source debugfs")?;
        let text =
            String::from_utf8_lossy(&[&refused.stdout[..], &refused.stderr].concat()).into_owned();
        ensure!(!refused.status.success() && text.contains("mount -t debugfs"), "{text}");
    }
    Ok(())
}
