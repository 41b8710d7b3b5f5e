//! Getting root and getting back to a device, with a fake adb: each program called `su` has a stand-in
//! that reads its arguments as the real one does.
#![cfg(unix)]

mod common;

use common::fake::Fake;
use common::{complaint, stderr};

/// A device on which only `su` gives root.
fn by_su(su: &str) -> Fake {
    let fake = Fake::new();
    fake.program("id", "[ -n \"$AS_ROOT\" ] && echo 0 || echo 2000");
    fake.program("su", su);
    fake
}

/// `main` of AOSP's `system/extras/su/su.cpp`: the first word is a user, `-c` included; the rest is
/// executed as it is.
const AOSP: &str = r#"
who=$1; shift
case $who in 0|root) ;; *) echo "su: invalid uid/gid '$who'" >&2; exit 1 ;; esac
[ $# = 0 ] && set -- sh
AS_ROOT=1 exec "$@""#;

/// `su_client_main` of Magisk's `native/src/core/su/su.cpp`, and `root_shell` of KernelSU's
/// `userspace/ksud/src/su.rs`: what follows `-c` is joined by spaces, and words before it are options or
/// a user. Without `-c` a shell starts, which reads from standard input; arguments get lost.
const JOINING: &str = r#"
while [ $# -gt 0 ] && [ "$1" != -c ]; do shift; done
[ "$1" = -c ] || exec sh
shift
AS_ROOT=1 exec sh -c "$*""#;

/// `su_main` of `toys/lsb/su.c` without its password: options from anywhere, `-c` takes one word, and a
/// user has a name.
const TOYBOX: &str = r#"
command=; name=
while [ $# -gt 0 ]; do
    case $1 in -c) command=$2; shift ;; *) [ -n "$name" ] || name=$1 ;; esac
    shift
done
[ "${name:-root}" = root ] || { echo "su: no '$name'" >&2; exit 1; }
AS_ROOT=1 exec sh -c "$command""#;

/// One that takes only a name and a program.
const NAMES_ONLY: &str = r#"
[ "$1" = root ] || { echo "su: unknown user $1" >&2; exit 1; }
shift
AS_ROOT=1 exec "$@""#;

#[test]
fn every_su_is_called_in_its_manner() {
    let kinds = [
        (AOSP, "shell su 0 sh -c"),
        (JOINING, "shell su 0 sh -c"),
        (TOYBOX, "shell su -c"),
        (NAMES_ONLY, "shell su root sh -c"),
    ];
    for (su, call) in kinds {
        let fake = by_su(su);
        let output = fake.record(&[]);
        assert_eq!(output.status.code(), Some(0), "{call}: {}", stderr(&output));
        let calls = fake.calls();
        let agent = calls.lines().find(|line| line.contains("sleepwalkd record"));
        assert!(agent.is_some_and(|line| line.contains(call)), "{call}: {calls}");
        // The shell's user writes into the folder, whoever made it.
        let given = calls.lines().any(|call| {
            call.contains("chown -h 2000 /data/local/tmp/sleepwalk") && !call.contains(".swk")
        });
        assert!(given, "{calls}");
        assert_eq!(fake.left(), ["sleepwalk", "sleepwalkd"]);
    }
}

#[test]
fn without_root_each_answer_is_quoted() {
    let fake = by_su("echo \"su: $1 is not allowed\" >&2; exit 1");
    fake.record_fails(
        4,
        "no root access on device FAKE1 (adb root: adbd cannot run as root in production builds; \
         su 0: su: 0 is not allowed; su -c: su: -c is not allowed; su root: su: root is not allowed)\n\
         fix: use a userdebug build, or allow root for the shell",
    );
    assert!(fake.calls().contains("-s FAKE1 root"));
}

#[test]
fn root_without_capabilities_is_named() {
    let fake = by_su(JOINING);
    fake.write("status", "CapEff:\t00000000000000c0\n");
    fake.record_fails(
        4,
        "device FAKE1: su 0 gives user 0 without CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN (CapEff \
         0x00000000000000c0)\nfix: give the shell",
    );
    assert!(!fake.calls().contains("push"));
}

#[test]
fn a_way_with_capabilities_is_preferred() {
    let fake = by_su(
        "[ \"$1\" = -c ] && cap=000001ffffffffff || cap=0; printf 'CapEff:\\t%s\\n' $cap >$FAKE/status; \
         while [ \"$1\" != -c ]; do shift; done; AS_ROOT=1 exec sh -c \"$2\"",
    );
    let output = fake.record(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(fake.calls().contains("shell su -c"));
}

/// A userdebug device, whose old adbd answers some calls before it ends.
fn userdebug(serial: &str) -> Fake {
    let fake = Fake::new();
    fake.write("devices", &format!("{serial}\tdevice\n"));
    fake.program("id", "[ -f $FAKE/rooted ] && echo 0 || echo 2000");
    fake.write("userdebug", "2");
    fake
}

#[test]
fn adb_root_waits_for_the_new_adbd() {
    let fake = userdebug("FAKE1");
    let output = fake.record(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(fake.calls().contains("-s FAKE1 root\n") && !fake.calls().contains("shell su"));
}

#[test]
fn adb_root_over_tcp_connects_again() {
    let fake = userdebug("10.0.0.7:5555");
    fake.write("listens", "10.0.0.7:5555\n");
    let output = fake.record(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let calls = fake.calls();
    assert!(calls.contains("\nconnect 10.0.0.7:5555\n") && !calls.contains("shell su"), "{calls}");
}

#[test]
fn a_forgotten_address_is_connected_again() {
    let fake = Fake::new();
    // A new adb server lists nothing; one that has lost the device lists it as offline.
    for devices in ["\n", "10.0.0.7:5555\toffline\n"] {
        fake.write("devices", devices);
        fake.write("listens", "10.0.0.7:5555\n");
        let output = fake.record(&["-s", "10.0.0.7:5555", "--force"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    fake.write("devices", "\n");
    fake.write("listens", "\n");
    let output = fake.record(&["-s", "10.0.0.7:5555", "--force"]);
    assert_eq!(output.status.code(), Some(4));
    let said = complaint(&output);
    assert!(
        said.contains("device \"10.0.0.7:5555\" cannot be reached: failed to connect"),
        "{said}"
    );
    assert!(said.contains("Connection refused\nfix: check that"), "{said}");
}
