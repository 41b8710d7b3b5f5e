//! Errors on a device: one line that names the thing and the remedy, the right exit code,
//! nothing left behind.

use std::process::Output;

use anyhow::{Result, bail, ensure};
use sleepwalk_e2e::device;
use sleepwalk_e2e::trace::Trace;
use sleepwalk_trace::record::Record;

fn printed(output: &Output) -> String {
    // adb's shell may merge the two.
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).trim().to_owned()
}

#[test]
fn a_kernel_without_kfuncs_is_named() -> Result<()> {
    let device = device::without_kfuncs()?;
    for command in ["record -o a.swk -d 1s", "snapshot"] {
        let output = device.try_sh(&format!("./sleepwalkd {command} --source kfunc"))?;
        let text = printed(&output);
        assert_eq!(output.status.code(), Some(4), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        ensure!(text.contains("no bpf_wakeup_sources_read_lock"), "{text}");
        ensure!(text.contains("Linux 7.2"), "{text}");
    }
    let left = device.sh("ls")?;
    ensure!(!left.contains("a.swk"), "it left {left}");
    let doctor = device.try_sh("./sleepwalkd doctor")?;
    ensure!(printed(&doctor).contains("degraded  kfuncs"), "{}", printed(&doctor));
    ensure!(printed(&doctor).contains("kallsyms: "), "{}", printed(&doctor));
    Ok(())
}

#[test]
fn a_missing_capability_is_named() -> Result<()> {
    let device = device::with_kfuncs()?;
    // Android's `shell` has the number 2000; this is busybox' way to run something as a user.
    let user = "shell:x:2000:2000::/:/bin/sh";
    device.sh(&format!("grep -q '^shell:' /etc/passwd || echo {user} >> /etc/passwd"))?;
    let as_shell = "start-stop-daemon -S -c shell -x ./sleepwalkd --";
    let output = device.try_sh(&format!("chmod 777 .; {as_shell} record -o a.swk -d 1s"))?;
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(4), "{text}");
    ensure!(text.contains("CAP_BPF") && text.contains("CAP_PERFMON"), "{text}");
    Ok(())
}

#[test]
fn a_full_disk_ends_the_capture_and_keeps_it() -> Result<()> {
    let device = device::with_kfuncs()?;
    device.sh("mkdir -p small; mount -t tmpfs -o size=400k none small")?;
    let agent = device.start("./sleepwalkd record -o small/a.swk --interval 100ms", "ready")?;
    let _sources =
        device.start("./sleepwalk-workload sources --count 300 --prefix f --churn 300", "ready")?;
    let (out, well) = agent.try_wait()?;
    ensure!(!well && out.contains("no room for"), "it should have run out of room: {out}");
    let trace = device.pull("small/a.swk");
    device.sh("umount small")?;
    let trace = Trace::read(&trace?)?;
    ensure!(trace.snapshots()?.len() >= 2, "too little was kept");
    let Some(Record::End(end)) = trace.records.last().map(|r| &r.record) else {
        bail!("the trace has no reason for its end");
    };
    ensure!(end.reason.starts_with("error: small/a.swk: no room for"), "{}", end.reason);
    Ok(())
}

#[test]
fn a_ring_on_a_full_disk_ends_cleanly() -> Result<()> {
    let device = device::with_kfuncs()?;
    device.sh("mkdir -p small; mount -t tmpfs -o size=400k none small")?;
    let record = "./sleepwalkd record -o small/a.swk --on-full ring --max-size 1M --interval 100ms";
    let agent = device.start(record, "ready")?;
    let _sources = device
        .start("./sleepwalk-workload sources --count 300 --prefix f --churn 3000", "ready")?;
    let (out, well) = agent.try_wait()?;
    ensure!(!well && out.contains("no room for"), "it should have run out of room: {out}");
    let trace = device.pull("small/a.swk");
    device.sh("umount small")?;
    ensure!(Trace::read(&trace?)?.complete(), "the trace has no reason for its end");
    Ok(())
}

#[test]
fn a_second_capture_names_the_first() -> Result<()> {
    let device = device::with_kfuncs()?;
    let first = device.start("./sleepwalkd record -o a.swk", "ready")?;
    let output = device.try_sh("./sleepwalkd record -o b.swk -d 1s")?;
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    ensure!(text.contains(&format!("with pid {}:", first.pid)), "{text}");
    ensure!(!device.sh("ls")?.contains("b.swk"), "it left a trace");
    // Whatever its death, the device is free afterwards.
    first.signal("KILL")?;
    first.try_wait()?;
    device.sh("./sleepwalkd record -o b.swk -d 100ms")?;
    Ok(())
}

#[test]
fn errors_come_before_anything_is_loaded() -> Result<()> {
    let device = device::with_kfuncs()?;
    device.sh("mkdir -p fixed; mount -t tmpfs -o ro none fixed")?;
    device.sh("mkdir -p tiny; mount -t tmpfs -o size=4k none tiny; echo full > tiny/it")?;
    // A user who may not load anything would get that error instead.
    let user = "shell:x:2000:2000::/:/bin/sh";
    device.sh(&format!("grep -q '^shell:' /etc/passwd || echo {user} >> /etc/passwd"))?;
    device.sh("chmod 777 .; echo precious > there.swk; mkdir -m 700 closed")?;
    let cases = [
        ("-o no/such/a.swk", 1, "no/such/a.swk cannot be created: No such file"),
        ("-o no/", 1, "No such file"),
        ("-o fixed/a.swk", 1, "fixed/a.swk cannot be created: Read-only file system"),
        ("-o closed/a.swk", 1, "closed/a.swk cannot be created: Permission denied"),
        ("-o tiny/a.swk", 4, "free some space there"),
        ("-o there.swk", 1, "there.swk cannot be created: it exists already"),
        ("-o a.swk -d 0s", 2, "`0s`"),
        ("-o a.swk --interval 0s", 2, "`0s`"),
        ("-o a.swk --max-size 255K", 2, "at least 256K"),
        ("-o a.swk --max-size 64", 2, "`64`"),
        ("-o a.swk --on-full explode", 2, "`explode`"),
        ("-o a.swk --source psychic", 2, "`psychic`"),
    ];
    for (options, code, why) in cases {
        let record = format!("start-stop-daemon -S -c shell -x ./sleepwalkd -- record {options}");
        let output = device.try_sh(&record)?;
        let text = printed(&output);
        assert_eq!(output.status.code(), Some(code), "{options}: {text}");
        assert_eq!(text.lines().count(), 1, "{options}: {text}");
        ensure!(text.contains(why), "{options}: {text}");
    }
    assert_eq!(device.sh("ls tiny; umount fixed tiny")?, "it");
    assert_eq!(device.sh("cat there.swk")?, "precious");
    ensure!(!device.sh("ls")?.contains("a.swk"), "it left a trace");
    // A source that this kernel cannot give, to one who may.
    device.sh("umount /sys/kernel/debug")?;
    let output = device.try_sh("./sleepwalkd record -o a.swk -d 1s --source debugfs");
    device.sh("mount -t debugfs debugfs /sys/kernel/debug")?;
    let text = printed(&output?);
    ensure!(text.contains("/sys/kernel/debug"), "{text}");
    ensure!(!device.sh("ls")?.contains("a.swk"), "it left a trace");
    Ok(())
}

#[test]
fn an_impossible_output_is_refused() -> Result<()> {
    let device = device::with_kfuncs()?;
    device.sh("echo precious > there.swk")?;
    for (path, why) in
        [("there.swk", "it exists already"), ("no/such/folder/a.swk", "No such file")]
    {
        let output = device.try_sh(&format!("./sleepwalkd record -o {path} -d 1s"))?;
        assert_eq!(output.status.code(), Some(1));
        let text = printed(&output);
        ensure!(text.contains(path) && text.contains(why), "{text}");
    }
    assert_eq!(device.sh("cat there.swk")?, "precious");
    Ok(())
}

#[test]
fn a_kernel_without_btf_is_named() -> Result<()> {
    let device = device::with_kfuncs()?;
    device.sh("mount -t tmpfs none /sys/kernel/btf")?;
    let walk = device.try_sh("./sleepwalkd record -o a.swk -d 1s --source kfunc");
    let best = device.try_sh("./sleepwalkd record -o b.swk -d 1s");
    device.sh("umount /sys/kernel/btf")?;
    let (walk, best) = (walk?, best?);
    let text = printed(&walk);
    assert_eq!(walk.status.code(), Some(4), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    for text in [text, printed(&best)] {
        ensure!(text.contains("/sys/kernel/btf/vmlinux"), "{text}");
        ensure!(text.contains("CONFIG_DEBUG_INFO_BTF"), "{text}");
    }
    ensure!(!device.sh("ls")?.contains("a.swk"), "it left a trace");
    assert_eq!(best.status.code(), Some(0), "{}", printed(&best));
    ensure!(printed(&best).contains("snapshots come from debugfs"), "{}", printed(&best));
    ensure!(Trace::read(&device.pull("b.swk")?)?.complete(), "the trace has no end");
    Ok(())
}
