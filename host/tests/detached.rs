//! Captures that go on after `sleepwalk record --detach`, with a fake adb.
#![cfg(unix)]

mod common;

use std::fs;

use common::fake::Fake;
use common::{complaint, everyday, stderr, stdout};

fn detach(fake: &Fake, more: &[&str]) -> String {
    let output = fake.run(&[&["record", "--detach", "--agent", "agent"], more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output).trim().to_owned()
}

#[test]
fn a_detached_capture_is_stopped_and_pulled() {
    let fake = Fake::new();
    let trace = detach(&fake, &["--no-edges", "--activators", "callers", "--no-dumpsys"]);
    let options = "--interval 1m --no-edges --activators callers --no-dumpsys";
    assert!(fake.calls().contains(options), "{}", fake.calls());
    assert!(!fake.running().is_empty(), "it goes on");
    // The fake agent writes its trace at the end: until then there is nothing to list.
    fake.put(&trace, b"half");
    let status = fake.run(&["status"]);
    assert!(stdout(&status).starts_with("capturing"), "{}", stdout(&status));
    let stopped = fake.run(&["stop"]);
    assert_eq!(stopped.status.code(), Some(0), "{}", stderr(&stopped));
    assert!(stderr(&stopped).contains("copy it with `sleepwalk pull`"));
    fake.runs_nothing();
    let status = stdout(&fake.run(&["status", "--json"]));
    assert!(status.contains(r#""exit_code":0,"state":"ended""#), "{status}");
    let pulled = fake.run(&["pull", "-o", "t.swk", "--rm"]);
    assert_eq!(pulled.status.code(), Some(0), "{}", stderr(&pulled));
    assert_eq!(fs::read(fake.path("t.swk")).expect("the trace"), everyday());
    assert_eq!(fake.left(), ["sleepwalk", "sleepwalkd"]);
}

#[test]
fn what_may_end_a_capture_early_is_said() {
    let fake = Fake::new();
    fake.write("warns", "sleepwalkd: warn: process 7 stays in cgroup /a\u{1b}[31m\nother\n");
    let output = fake.run(&["record", "--detach", "--agent", "agent"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("warning: process 7 stays in cgroup /a"), "{said}");
    assert!(!said.contains('\u{1b}') && !said.contains("other"), "{said}");
    fake.put(stdout(&output).trim(), b"half");
    assert_eq!(fake.run(&["stop"]).status.code(), Some(0));
    fake.runs_nothing();
}

#[test]
fn a_running_capture_can_be_pulled() {
    let fake = Fake::new();
    let trace = detach(&fake, &["-d", "60s"]);
    fake.put(&trace, &everyday());
    let pulled = fake.run(&["pull", "-o", "t.swk", "--rm"]);
    assert_eq!(pulled.status.code(), Some(0), "{}", stderr(&pulled));
    assert!(stderr(&pulled).contains("still being recorded"), "{}", stderr(&pulled));
    assert!(fake.left().contains(&trace));
    assert_eq!(fake.run(&["stop", &trace]).status.code(), Some(0));
    fake.runs_nothing();
}

#[test]
fn a_failed_capture_is_not_stopped_again() {
    let fake = Fake::new();
    let output = fake.run(&["stop"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        complaint(&output)
            .contains("no trace is being recorded on device FAKE1\nfix: run `sleepwalk status`")
    );
    fake.write("dies", "");
    let trace = detach(&fake, &["-d", "1s"]);
    fake.runs_nothing();
    let status = stdout(&fake.run(&["status"]));
    assert!(status.starts_with("failed (1)") && status.contains(&trace), "{status}");
    let output = fake.run(&["stop", &trace]);
    assert!(complaint(&output).contains(&format!("{trace} is not being recorded")));
}

#[test]
fn a_stale_pid_is_not_a_capture() {
    let fake = Fake::new();
    fake.put("old.swk", &everyday());
    // After a reboot the pid is another program's.
    fake.put("old.pid", std::process::id().to_string().as_bytes());
    let status = stdout(&fake.run(&["status"]));
    assert!(status.starts_with("killed"), "{status}");
}
