//! Finds a device and installs the agent, with a fake adb: each error, its fix and its exit code, and
//! that no file stays on the device.
#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use common::fake::Fake;
use common::{complaint, stderr, stdout};

#[test]
fn without_adb_the_fix_is_named() {
    let fake = Fake::new();
    for args in [&["record", "--agent", "agent"][..], &["pull"]] {
        let output = fake.command(args).env("ADB", "/nonexistent/adb").output().expect("it runs");
        assert_eq!(output.status.code(), Some(4));
        let said = complaint(&output);
        assert!(said.contains("\"/nonexistent/adb\" cannot be run") && said.contains("$ADB"));
    }
    fake.is_clean();
}

#[test]
fn without_a_device_the_fix_is_named() {
    let fake = Fake::new();
    fake.write("devices", "\n");
    fake.record_fails(4, "no device is connected\nfix: connect a device by USB");
}

#[test]
fn several_devices_need_a_choice() {
    let fake = Fake::new();
    fake.write("devices", "FAKE1\tdevice\nFAKE2\tdevice\n");
    fake.record_fails(4, "several devices are connected: FAKE1, FAKE2\nfix: choose one with -s");
    assert_eq!(fake.record(&["-s", "FAKE2"]).status.code(), Some(0));
    assert!(fake.calls().contains("-s FAKE2 push"));
    let named =
        fake.command(&["doctor", "--agent", "agent"]).env("ANDROID_SERIAL", "FAKE1").output();
    assert_eq!(named.expect("it runs").status.code(), Some(0));
    let output = fake.record(&["-s", "FAKE3", "--force"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(
        complaint(&output).contains(
            "device \"FAKE3\" is not connected; connected: FAKE1, FAKE2\nfix: connect it"
        )
    );
}

#[test]
fn an_offline_device_is_named() {
    let fake = Fake::new();
    fake.write("devices", "FAKE1\toffline\n");
    fake.record_fails(4, "device FAKE1 is offline");
}

#[test]
fn an_unauthorised_device_names_the_prompt() {
    let fake = Fake::new();
    fake.write("devices", "FAKE1\tunauthorized\n");
    fake.record_fails(
        4,
        "device FAKE1 is unauthorised\nfix: unlock the device and accept the prompt",
    );
}

#[test]
fn another_machine_type_is_named() {
    let fake = Fake::new();
    fake.program("uname", "echo armv7l");
    fake.record_fails(4, "device FAKE1 has machine type \"armv7l\"");
}

#[test]
fn without_room_nothing_is_pushed() {
    let fake = Fake::new();
    fake.program("df", "printf 'Filesystem 1K-blocks Used Available Use%% Mounted on\\n/dev/x 9 9 2048 99%% /data\\n'");
    fake.record_fails(
        4,
        "not enough space on the device: 2.0 MiB free in /data/local/tmp, 8.0 MiB needed",
    );
    assert!(!fake.calls().contains("push"));
}

#[test]
fn an_agent_for_another_machine_is_not_pushed() {
    let fake = Fake::new();
    fake.write("agent", "#!/bin/sh\n");
    fake.record_fails(1, "agent agent is not a program for aarch64");
    assert!(!fake.calls().contains("push"));
}

#[test]
fn a_push_that_fails_leaves_nothing() {
    let fake = Fake::new();
    fake.write("push-fails", "");
    fake.record_fails(4, "device FAKE1: adb reports: failed to copy: No space left");
}

#[test]
fn another_build_on_the_device_is_refused() {
    let fake = Fake::new();
    fake.version(4_001, 0x1234_5678);
    fake.record_fails(1, "is another build: 4001 bytes with CRC32C 12345678 there, 4000 bytes");
}

#[test]
fn another_program_never_runs_as_root() {
    let fake = Fake::new();
    let program =
        fake.put("sleepwalkd", format!("#!/bin/sh\n>{}", fake.path("ran").display()).as_bytes());
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("executable");
    let output = fake.record(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(fake.calls().contains(" push ") && !fake.path("ran").exists());
    // Once more, after the agent was installed: the next command looks again.
    fs::write(&program, "#!/bin/sh\n>$FAKE/ran").expect("a file");
    fs::remove_file(fake.path("t.swk")).expect("the trace");
    assert_eq!(fake.record(&[]).status.code(), Some(0));
    assert!(!fake.path("ran").exists());
}

#[test]
fn a_folder_open_to_others_is_refused() {
    let fake = Fake::new();
    let trace = fake.put("old.swk", b"old");
    let refused = |words: &str| {
        let commands = [&["status"][..], &["stop"], &["pull"], &["record", "--agent", "agent"]];
        for command in commands {
            let output = fake.run(command);
            assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
            assert!(complaint(&output).contains(words), "{}", complaint(&output));
            assert!(complaint(&output).contains("fix: copy the traces"));
        }
    };
    fs::set_permissions(&trace, fs::Permissions::from_mode(0o666)).expect("open");
    refused("old.swk\" is open to other users (mode 666)");
    let folder = trace.parent().expect("a folder");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("open");
    refused("sleepwalk\" is open to other users (mode 777)");
    fs::rename(folder, fake.path("elsewhere")).expect("renamed");
    std::os::unix::fs::symlink(fake.path("elsewhere"), folder).expect("a link");
    refused("sleepwalk\" is a link or no folder");
    assert!(!fake.calls().contains("push"));
}

#[test]
fn an_agent_that_does_not_run_is_reported() {
    let fake = Fake::new();
    fake.write("version", "Illegal instruction\n");
    fake.record_fails(1, "the agent does not run on device FAKE1");
}

#[test]
fn an_agent_that_fails_is_quoted() {
    let fake = Fake::new();
    fake.write("fails", "loading\nsleepwalkd: no room for the trace\n");
    fake.write("code", "1");
    fake.record_fails(
        1,
        "the agent on device FAKE1 failed (exit code 1): loading; sleepwalkd: no room",
    );
}

#[test]
fn an_unusable_kernel_is_exit_code_4() {
    let fake = Fake::new();
    fake.write("fails", "sleepwalkd: no BTF: build the kernel with CONFIG_DEBUG_INFO_BTF\n");
    fake.write("code", "4");
    fake.record_fails(4, "sleepwalk: device FAKE1: no BTF: build the kernel");
}

#[test]
fn doctor_lists_all_checks_and_cleans_up() {
    let fake = Fake::new();
    let output = fake.run(&["doctor", "--agent", "agent"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for name in ["adb", "device", "machine", "root", "agent", "room", "kfuncs"] {
        let line = stdout(&output).lines().any(|l| l.starts_with(&format!("ok        {name} ")));
        assert!(line, "{}", stdout(&output));
    }
    fake.is_clean();
}

#[test]
fn doctor_shows_what_is_lost_and_the_fix() {
    let fake = Fake::new();
    fake.write(
        "doctor",
        r#"{"checks":[{"name":"btf","state":"missing","found":"no \u001b[31mBTF","lost":"all","fix":"build it"}]}"#,
    );
    let output = fake.run(&["doctor", "--agent", "agent"]);
    assert_eq!(output.status.code(), Some(4));
    let text = stdout(&output);
    assert!(text.contains("missing   btf") && text.contains("lost: all"), "{text}");
    assert!(text.contains("fix: build it") && !text.contains('\x1b'), "{text}");
    fake.is_clean();
    let json = fake.run(&["doctor", "--json", "--agent", "agent"]);
    assert_eq!(json.status.code(), Some(4));
    let json: serde_json::Value = serde_json::from_str(&stdout(&json)).expect("JSON");
    assert_eq!(
        (json["can_record"].as_bool(), json["checks"][6]["state"].as_str()),
        (Some(false), Some("missing"))
    );
}

#[test]
fn doctor_lists_an_adb_error_only_once() {
    let fake = Fake::new();
    fake.write("devices", "FAKE1\tunauthorized\n");
    let output = fake.run(&["doctor", "--agent", "agent"]);
    assert_eq!(output.status.code(), Some(4));
    let text = stdout(&output);
    assert!(text.contains("ok        adb"), "{text}");
    assert!(text.contains("missing   device  device FAKE1 is unauthorised\n"), "{text}");
    assert!(text.contains("fix: unlock the device and accept the prompt"), "{text}");
    assert_eq!(stderr(&output), "");
}

#[test]
fn doctor_separates_host_and_device_errors() {
    let fake = Fake::new();
    let output = fake.run(&["doctor", "--json", "--agent", "nowhere"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let last = &json["checks"][4];
    let found = last["found"].as_str().expect("text");
    assert!(found.starts_with("agent nowhere: No such file or directory"), "{found}");
    assert_eq!(last["fix"], "");
    fake.write("devices", "FAKE1\tno permissions (missing udev rules?); see [http://x]\n");
    let output = fake.run(&["doctor", "--json", "--agent", "agent"]);
    assert_eq!(output.status.code(), Some(4));
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let fix = json["checks"][1]["fix"].as_str().expect("text");
    assert!(fix.starts_with("install udev rules"), "{fix}");
}
