//! A second user on the device, who tries to get at the agent, which runs as root.

use std::process::Output;

use anyhow::{Result, ensure};
use sleepwalk_e2e::{Device, device};

/// The folder of the host program on the device.
const FOLDER: &str = "/data/local/tmp/sleepwalk";
/// A program that proves that it ran.
const EVIL: &str = "#!/system/bin/sh\nid -u > /data/local/tmp/xtask/ran";

/// Runs a script as a user without capabilities, as an app would.
fn other(device: &Device, script: &str) -> Result<Output> {
    device.try_sh(&format!("./sleepwalk-workload run-as --user 10123 -- sh -c '{script}'"))
}

/// The output of `sleepwalk`, and its exit code.
fn sleepwalk(device: &Device, arguments: &[&str]) -> Result<(String, Option<i32>)> {
    let output = device::sleepwalk(device)?.args(arguments).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((String::from_utf8_lossy(&text).into_owned(), output.status.code()))
}

#[test]
fn another_user_has_no_way_to_a_capture() -> Result<()> {
    let device = device::with_kfuncs()?;
    // The umask of adb's shell, which Android has too.
    assert_eq!(device.sh("umask")?, "0000");
    let (text, code) = sleepwalk(&device, &["record", "--detach"])?;
    assert_eq!(code, Some(0), "{text}");
    let modes = device.sh(&format!("stat -c '%u %a %n' {FOLDER} {FOLDER}/*"))?;
    ensure!(modes.lines().count() > 4, "{modes}");
    for line in modes.lines() {
        let folder_or_program = line.ends_with(FOLDER) || line.ends_with("/sleepwalkd");
        let mode = if folder_or_program { "0 700 " } else { "0 600 " };
        ensure!(line.starts_with(mode), "{modes}");
    }
    let trace = device.sh(&format!("ls {FOLDER}/*.swk"))?;
    let pid = device.sh(&format!("cat {FOLDER}/*.pid"))?;
    for attempt in [
        format!("ls {FOLDER}"),
        format!("cat {trace}"),
        format!("echo x >> {trace}"),
        format!("rm {trace}"),
        format!("ln -s /data/local/tmp/xtask/x {FOLDER}/x"),
        format!("ln {trace} /data/local/tmp/xtask/hard"),
        format!("cp /system/bin/sh {FOLDER}/sleepwalkd"),
        format!("echo 1 > {FOLDER}/a.pid"),
        format!("mv {FOLDER} /data/local/tmp/away"),
        format!("chmod 777 {FOLDER}"),
        format!("kill -9 {pid}"),
        format!("cat /proc/{pid}/maps"),
    ] {
        let tried = other(&device, &attempt)?;
        ensure!(!tried.status.success(), "`{attempt}` succeeded");
    }
    // The attempts failed by the modes alone.
    let works = other(&device, "echo x > /data/local/tmp/xtask/mine")?;
    ensure!(works.status.success(), "the second user can do nothing at all");
    let (text, code) = sleepwalk(&device, &["stop"])?;
    assert_eq!(code, Some(0), "{text}");
    Ok(())
}

#[test]
fn what_another_user_left_is_not_trusted() -> Result<()> {
    let device = device::with_kfuncs()?;
    let refused = |why: &str| -> Result<()> {
        for command in [&["record", "-d", "1s"][..], &["status"], &["stop"], &["pull"]] {
            let (text, code) = sleepwalk(&device, command)?;
            ensure!(code == Some(4) && text.contains(why) && text.contains("rm -r"), "{text}");
        }
        ensure!(device.sh("cat ran 2> /dev/null || true")?.is_empty(), "its program ran");
        device.sh(&format!("rm -rf {FOLDER} evil"))?;
        Ok(())
    };
    // As an earlier version made it.
    device.sh(&format!("mkdir -m 777 {FOLDER}"))?;
    let put = format!("printf \"{EVIL}\" > {FOLDER}/sleepwalkd; chmod 755 {FOLDER}/sleepwalkd");
    ensure!(other(&device, &put)?.status.success(), "it cannot even write there");
    refused("is open to other users (mode 777)")?;
    // Closed since, but what is in there is the other's, or leads elsewhere.
    device.sh(&format!("mkdir -m 777 {FOLDER}"))?;
    other(&device, &format!("echo 1 > {FOLDER}/a.pid; echo > {FOLDER}/a.swk"))?;
    device.sh(&format!("chmod 700 {FOLDER}"))?;
    refused("belongs to user 10123")?;
    device.sh(&format!("mkdir -m 700 {FOLDER}; ln -s /etc/passwd {FOLDER}/a.swk"))?;
    refused("is a link or no file")?;
    other(&device, "mkdir -m 700 evil")?;
    device.sh(&format!("ln -s $PWD/evil {FOLDER}"))?;
    refused("is a link or no folder")
}

#[test]
fn another_program_in_its_place_never_runs() -> Result<()> {
    let device = device::with_kfuncs()?;
    for place in [
        // Another owner, another mode, other contents.
        "chown 10123 sleepwalkd; chmod 700 sleepwalkd",
        "chmod 755 sleepwalkd",
        "chmod 700 sleepwalkd",
        // Through a link.
        "chmod 700 sleepwalkd; mv sleepwalkd ../xtask/evil; ln -s ../xtask/evil sleepwalkd",
    ] {
        device.sh(&format!(
            "mkdir -p -m 700 {FOLDER}; cd {FOLDER}; rm -f sleepwalkd; \
             printf \"{EVIL}\" > sleepwalkd; {place}"
        ))?;
        let folder = tempfile::tempdir()?;
        let trace = folder.path().join("a.swk");
        let output =
            device::sleepwalk(&device)?.args(["record", "-d", "1s", "-o"]).arg(&trace).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        ensure!(device.sh("cat ran 2> /dev/null || true")?.is_empty(), "`{place}`: it ran");
        let left = device.sh(&format!("stat -c '%u %a %F' {FOLDER}/sleepwalkd"))?;
        assert_eq!(left, "0 700 regular file", "`{place}`");
    }
    Ok(())
}

#[test]
fn another_user_cannot_hold_the_lock() -> Result<()> {
    let device = device::with_kfuncs()?;
    device.sh("mkdir -m 777 theirs")?;
    let theirs = "./sleepwalk-workload run-as --user 10123 --capabilities bpf,perfmon \
                  ./sleepwalkd record -o theirs/a.swk";
    let theirs = device.start(theirs, "ready")?;
    let mut ours = device.spawn("./sleepwalkd record -o a.swk 2>&1")?;
    let warning = ours.line()?;
    ensure!(warning.contains("of user 10123") && !warning.contains("kill"), "{warning}");
    // Older kernels have more to warn of.
    while ours.line()? != "ready" {}
    ours.stop()?;
    theirs.stop()?;
    // Root's own is respected.
    let first = device.start("./sleepwalkd record -o b.swk", "ready")?;
    let second = device.try_sh("./sleepwalkd record -o c.swk")?;
    ensure!(!second.status.success(), "two at once");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    ensure!(said.contains(&format!("with pid {}", first.pid)), "{said}");
    first.stop().map(drop)
}
