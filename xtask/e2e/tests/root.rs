//! Getting root on a device whose adbd runs as another user: each program called `su` has a stand-in that reads
//! its arguments as the real one does, and really becomes root. The host's own tests have more of them, against a
//! simulated adb.

use anyhow::{Context as _, Result, ensure};
use sleepwalk_e2e::own::Own;
use sleepwalk_e2e::trace::Trace;
use sleepwalk_e2e::{Device, device};
use sleepwalk_vdev::Boot;

/// Runs a program as root: a copy of the workload with the set-user-ID bit.
const AS_ROOT: &str = "exec /usr/bin/as-root run-as --user 0 --capabilities \
    bpf,perfmon,syslog,sys_admin,sys_resource,dac_override,dac_read_search,chown,fowner,kill,setpcap --";

/// User 0 without the capabilities that a probe needs, as an App Profile of KernelSU can have it.
const POWERLESS: &str = "exec /usr/bin/as-root run-as --user 0 --capabilities chown --";

/// `system/extras/su/su.cpp` of AOSP: the first word is a user, `-c` included; the rest is executed as it is.
const AOSP: &str = "case $1 in 0|root) ;; *) echo \"su: invalid uid/gid '$1'\" >&2; exit 1 ;; esac
shift; [ $# = 0 ] && set -- sh; AS_ROOT \"$@\"";

/// `su` of Magisk and of KernelSU: what follows `-c` is joined by blanks.
const JOINING: &str = "while [ $# -gt 0 ] && [ \"$1\" != -c ]; do shift; done
[ \"$1\" = -c ] || exit 1; shift; AS_ROOT sh -c \"$*\"";

/// `toys/lsb/su.c` of toybox: options from anywhere, `-c` takes one word, and a user has a name.
const TOYBOX: &str = "command=; name=
while [ $# -gt 0 ]; do case $1 in -c) command=$2; shift ;; *) [ -n \"$name\" ] || name=$1 ;; esac; shift; done
[ \"${name:-root}\" = root ] || { echo \"su: no '$name'\" >&2; exit 1; }
AS_ROOT sh -c \"$command\"";

/// The user of adb's shell on Android.
const SHELL: &str = "2000";

/// Installs the stand-ins, and restarts adbd as the user `shell`. Busybox' own `su` would come first in its shell.
fn without_root(device: &Device, manners: &[(&str, &str)]) -> Result<()> {
    device.sh(&format!(
        "echo 'shell:x:{SHELL}:{SHELL}::/data/local/tmp:/bin/sh' >> /etc/passwd
         echo 'shell:x:{SHELL}:' >> /etc/group
         cp sleepwalk-workload /usr/bin/as-root && chmod 4755 /usr/bin/as-root
         mkdir -p /etc/su; chown {SHELL}:{SHELL} /data/local/tmp
         rm -rf /data/local/tmp/*"
    ))?;
    for (name, script) in manners {
        let script = script.replace("AS_ROOT", AS_ROOT).replace("POWERLESS", POWERLESS);
        device.sh(&format!("cat > /etc/su/{name} << 'END'\n{script}\nEND"))?;
    }
    device.sh(
        "set -e; rm -f /usr/bin/su; ln -sf /usr/bin/dash /usr/bin/sh; ln -sf /usr/bin/dash /system/bin/sh
         printf '%s\\n' '#!/bin/sh' 'exec sh /etc/su/$(cat /data/local/tmp/manner) \"$@\"' > /usr/bin/su
         chmod 755 /usr/bin/su /etc/su; chmod 644 /etc/su/*
         echo 'start-stop-daemon -S -c shell -x /usr/sbin/adbd --' > /run/adbd",
    )?;
    // The connection goes with adbd.
    let _ = device.try_sh("kill -9 $(pidof adbd)");
    device.reconnect()?;
    assert_eq!(device.sh("id -u")?, SHELL);
    Ok(())
}

#[test]
fn each_su_on_a_device_gives_root() -> Result<()> {
    let own = Own::new()?;
    let device = own.up(Boot::default())?;
    let manners = [
        ("aosp", AOSP),
        ("joining", JOINING),
        ("toybox", TOYBOX),
        ("powerless", "POWERLESS sh -c \"$4\""),
    ];
    without_root(&device, &manners)?;
    let folder = tempfile::tempdir()?;
    for (manner, _) in &manners[..3] {
        device.sh(&format!("echo {manner} > /data/local/tmp/manner"))?;
        let file = folder.path().join(format!("{manner}.swk"));
        let record = ["record", "-d", "1s", "-o"];
        let output = device::sleepwalk(&device)?.args(record).arg(&file).output()?;
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{manner}: {printed}");
        let trace = Trace::read(&std::fs::read(&file)?)?;
        ensure!(trace.complete(), "{manner}: the trace has no end");
        assert_eq!(trace.session()?.source, "kfunc", "{manner}");
        let left = device.sh("ls /data/local/tmp/sleepwalk; pidof sleepwalkd || true")?;
        assert_eq!(left, "sleepwalkd", "{manner}");
    }
    device.sh("echo powerless > /data/local/tmp/manner")?;
    let output = device::sleepwalk(&device)?.arg("doctor").output()?;
    let printed =
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(4), "{printed}");
    ensure!(printed.contains("capabilities"), "{printed}");
    device.sh("echo none > /data/local/tmp/manner")?;
    let output = device::sleepwalk(&device)?.arg("doctor").output()?;
    let printed =
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(4), "{printed}");
    let missing =
        printed.lines().find(|line| line.starts_with("missing")).context("none is missing")?;
    ensure!(missing.contains("su 0: ") && missing.contains("su root: "), "{missing}");
    Ok(())
}
