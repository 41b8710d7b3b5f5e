//! Recording, with a fake adb: the trace is copied, whatever happens, and no other file stays.
#![cfg(unix)]

mod common;

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::fake::Fake;
use common::{complaint, everyday, stderr, stdout};

#[test]
fn a_failed_agent_leaves_a_trace() {
    let fake = Fake::new();
    fake.write("dies", "");
    let output = fake.record(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("modem_rx"));
    assert!(stderr(&output).contains("exit code 1): disk full"), "{}", stderr(&output));
    assert_eq!(fs::read(fake.path("t.swk")).expect("the trace"), everyday());
    assert_eq!(fake.left(), ["sleepwalk", "sleepwalkd"]);
}

#[test]
fn recording_copies_the_trace_and_cleans_up() {
    let fake = Fake::new();
    let output = fake.record(&[
        "--interval",
        "5s",
        "--source",
        "kfunc",
        "--max-size",
        "2M",
        "--on-full",
        "ring",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("modem_rx"));
    assert_eq!(fs::read(fake.path("t.swk")).expect("the trace"), everyday());
    assert_eq!(fake.left(), ["sleepwalk", "sleepwalkd"]);
    assert!(
        fake.calls().contains("-d 1s --interval 5s --source kfunc --max-size 2048K --on-full ring")
    );
    fake.runs_nothing();
    // The same build is not pushed again.
    fs::remove_file(fake.path("calls")).expect("the calls");
    assert_eq!(fake.record(&["--force"]).status.code(), Some(0));
    assert!(!fake.calls().contains("push"));
}

#[test]
fn a_trace_is_replaced_only_with_force() {
    let fake = Fake::new();
    fake.write("t.swk", "precious");
    let output = fake.record(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("t.swk exists already"));
    assert_eq!(fake.calls(), "");
    assert_eq!(fs::read_to_string(fake.path("t.swk")).expect("the file"), "precious");
    assert_eq!(fake.record(&["--force"]).status.code(), Some(0));
}

#[test]
fn a_missing_folder_is_found_before_recording() {
    let fake = Fake::new();
    let output = fake.run(&["record", "--agent", "agent", "-o", "/nonexistent/t.swk"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        complaint(&output)
            .contains("/nonexistent/t.swk: there is no folder /nonexistent\nfix: create it, or")
    );
    assert_eq!(fake.calls(), "");
}

#[test]
fn after_a_cut_transfer_the_trace_stays() {
    let fake = Fake::new();
    fake.write("pull-cuts", "");
    let output = fake.record(&[]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("100 of 4360 bytes were copied"), "{said}");
    assert!(said.contains(".swk on the device; copy it with `sleepwalk pull`"), "{said}");
    assert!(!fake.path("t.swk").exists());
    let left = fake.left();
    assert_eq!(left.len(), 3, "{left:?}");
    fs::remove_file(fake.path("pull-cuts")).expect("the cable is fixed");
    let output = fake.run(&["pull", "-o", "t.swk"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(fs::read(fake.path("t.swk")).expect("the trace"), everyday());
}

#[test]
fn a_file_that_appeared_meanwhile_is_kept() {
    let fake = Fake::new();
    let recording = fake.start("2s");
    recording.until("recording on FAKE1");
    fake.write("t.swk", "precious");
    let output = recording.end();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(fake.path("t.swk")).expect("the file"), "precious");
    assert!(fake.left().iter().any(|name| name.ends_with(".swk")), "{:?}", fake.left());
}

#[test]
fn files_of_other_programs_stay() {
    let fake = Fake::new();
    fake.write("mute", "");
    let recording = fake.start("60s");
    until_it_runs(&fake);
    fake.put("other.swk", b"x");
    recording.press();
    assert_eq!(recording.end().status.code(), Some(1));
    assert_eq!(fake.left(), ["other.swk", "sleepwalk"]);
}

/// Waits until the agent of `fake` runs.
fn until_it_runs(fake: &Fake) {
    let until = Instant::now() + Duration::from_secs(60);
    while !fake.left().iter().any(|name| name.ends_with(".pid")) {
        assert!(Instant::now() < until, "the agent does not start");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn ctrl_c_stops_and_copies_the_trace() {
    let fake = Fake::new();
    let recording = fake.start("60s");
    recording.until("recording on FAKE1");
    recording.press();
    let output = recording.end();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("modem_rx"));
    assert_eq!(fs::read(fake.path("t.swk")).expect("the trace"), everyday());
    assert_eq!(fake.left(), ["sleepwalk", "sleepwalkd"]);
    fake.runs_nothing();
}

#[test]
fn a_second_ctrl_c_discards_the_trace() {
    let fake = Fake::new();
    fake.write("stubborn", "");
    let recording = fake.start("60s");
    recording.until("recording on FAKE1");
    recording.press();
    recording.until("press Ctrl-C again");
    recording.press();
    let output = recording.end();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("interrupted: the trace was discarded"));
    fake.is_clean();
}

#[test]
fn ctrl_c_before_the_start_leaves_no_files() {
    let fake = Fake::new();
    fake.write("mute", "");
    let recording = fake.start("60s");
    until_it_runs(&fake);
    recording.press();
    let output = recording.end();
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("interrupted before the capture started"));
    fake.is_clean();
}

#[test]
fn a_device_may_go_away_for_a_while() {
    let fake = Fake::new();
    let recording = fake.start("2s");
    recording.until("recording on FAKE1");
    fake.write("gone", "");
    sleep(Duration::from_secs(3));
    fs::remove_file(fake.path("gone")).expect("the device is back");
    let output = recording.end();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("waiting for the device: device FAKE1"));
    assert!(stdout(&output).contains("modem_rx"));
}
