//! Copies a trace from a device, with a fake adb.
#![cfg(unix)]

mod common;

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::fake::{Fake, press};
use common::{complaint, everyday, stderr, stdout};

#[test]
fn ctrl_c_ends_a_pull_and_leaves_no_file() {
    let fake = Fake::new();
    let trace = fake.put("new.swk", &everyday());
    fake.write("pull-hangs", "");
    let mut command = fake.command(&["pull"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let until = Instant::now() + Duration::from_secs(10);
    while !fake.calls().contains(" pull ") {
        assert!(Instant::now() < until, "no transfer begins");
        sleep(Duration::from_millis(20));
    }
    sleep(Duration::from_millis(300));
    press(&child);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("interrupted"));
    assert!(Instant::now() < until);
    fs::remove_dir_all(trace.parent().expect("a folder")).expect("the device's");
    fake.is_clean();
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let fake = Fake::new();
    fake.write("devices", "FA\u{1b}[31m\u{202e}KE\tdevice\n");
    let name = "e\u{1b}[31m\u{9b}\u{202e}.swk";
    fake.put(name, &everyday());
    let pulled = fake.run(&["pull"]);
    assert_eq!(pulled.status.code(), Some(0), "{}", stderr(&pulled));
    let runs = [
        pulled,
        fake.run(&["pull"]),
        fake.run(&["pull", "none.swk"]),
        fake.run(&["doctor", "--agent", "agent"]),
        fake.run(&["doctor", "--json", "--agent", "agent"]),
        fake.record(&[]),
    ];
    for output in runs {
        let text = stdout(&output) + &stderr(&output);
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{7f}']), "{text:?}");
    }
}

#[test]
fn pull_copies_the_newest_trace() {
    let fake = Fake::new();
    fake.put("old.swk", b"old");
    sleep(Duration::from_millis(20));
    fake.put("new.swk", &everyday());
    let output = fake.run(&["pull"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("new.swk ("));
    assert_eq!(fs::read(fake.path("new.swk")).expect("the trace"), everyday());
    assert_eq!(fake.left(), ["new.swk", "old.swk", "sleepwalk"]);
    // An unreadable trace is refused.
    let output = fake.run(&["pull", "old.swk"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(complaint(&output).contains("old.swk: it is not a Sleepwalk trace"));
    assert!(!fake.path("old.swk").exists());
}

/// `everyday` without its end and its middle.
fn torn(hole: usize) -> Vec<u8> {
    let mut bytes = everyday().to_vec();
    let last = bytes.windows(4).rposition(|magic| magic == b"SWCK").expect("a chunk");
    bytes.truncate(last);
    let middle = last / 2;
    bytes[middle..middle + hole].fill(0);
    bytes
}

#[test]
fn an_incomplete_copy_is_made_again() {
    let fake = Fake::new();
    fake.put("t.swk", &torn(0));
    fs::write(fake.path("pull-tears"), torn(999)).expect("a file");
    let output = fake.run(&["pull"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert_eq!(fs::read(fake.path("t.swk")).expect("the trace"), torn(0));
    assert_eq!(fake.calls().matches(" pull ").count(), 2);
    // A trace that is incomplete on the device stays so.
    fake.put("t.swk", &torn(999));
    let output = fake.run(&["pull", "--force"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("has no end, and is damaged, or was copied while"));
    assert_eq!(fake.calls().matches(" pull ").count(), 4);
}

#[test]
fn pull_without_a_trace_is_an_error() {
    let fake = Fake::new();
    let output = fake.run(&["pull"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        complaint(&output)
            .contains("device FAKE1 has no trace in /data/local/tmp/sleepwalk\nfix: record one")
    );
    let output = fake.run(&["pull", "gone.swk", "-o", "here.swk"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("gone.swk on device FAKE1"));
    assert!(
        complaint(&output)
            .ends_with("fix: run `sleepwalk status` to list the traces on the device")
    );
    fake.is_clean();
}
