//! `doctor`, `record` and `pull` against a stand-in for adb whose device is a folder. Each failure
//! is one line, has its exit code, and leaves nothing on the device.
#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{complaint, everyday, stderr, stdout};
use sleepwalk_trace::chunk::crc32c;

/// A device with all that is needed, to take something away from.
struct Fake {
    dir: tempfile::TempDir,
}

const ON_DEVICE: &str = "root/data/local/tmp";

impl Fake {
    fn new() -> Self {
        let fake = Self { dir: tempfile::tempdir().expect("a folder") };
        fs::create_dir_all(fake.path(ON_DEVICE)).expect("a folder");
        fs::create_dir_all(fake.path("bin")).expect("a folder");
        fake.write("devices", "FAKE1\tdevice\n\n");
        fake.program("uname", "echo aarch64");
        fake.program("id", "echo 0");
        fake.program("df", "printf 'Filesystem 1K-blocks Used Available Use%% Mounted on\\n/dev/x 9 9 900000 1%% /data\\n'");
        let agent = Self::agent_bytes();
        fs::write(fake.path("agent"), &agent).expect("a file");
        fake.version(agent.len(), crc32c(&agent));
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-adb");
        fs::copy(scripts.join("agent.sh"), fake.path("agent.sh")).expect("the agent");
        fs::write(fake.path("canned"), everyday()).expect("a file");
        let ok = r#"{"name":"kfuncs","state":"ok","found":"all three","lost":"","mend":""}"#;
        fake.write("doctor", &format!("{{\"checks\":[{ok}]}}\n"));
        fake
    }

    /// The head of an ELF program for aarch64.
    fn agent_bytes() -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(18, 0);
        bytes.extend([183, 0]);
        bytes.resize(4_000, 7);
        bytes
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    fn version(&self, len: usize, crc: u32) {
        self.write(
            "version",
            &format!(
                "{{\"version\":\"0.1.0\",\"format\":1,\"exe_len\":{len},\"exe_crc32c\":\"{crc:08x}\"}}\n"
            ),
        );
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = common::sleepwalk();
        let adb = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-adb/adb");
        command.args(args).env("ADB", adb).env("FAKE", self.dir.path());
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("it runs")
    }

    fn record(&self, more: &[&str]) -> Output {
        let mut args = vec!["record", "-d", "1s", "-o", "t.swk", "--agent", "agent"];
        args.extend(more);
        self.run(&args)
    }

    fn start(&self, seconds: &str) -> Child {
        let args = ["record", "-d", seconds, "-o", "t.swk", "--agent", "agent"];
        let mut command = self.command(&args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs")
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    /// What lies on the device, apart from folders.
    fn left(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(ON_DEVICE)) else { return Vec::new() };
        let inside = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
        let mut left = Vec::new();
        for entry in entries.flatten() {
            left.push(entry.file_name().to_string_lossy().into_owned());
            left.extend(
                inside(&entry.path()).map(|e| e.file_name().to_string_lossy().into_owned()),
            );
        }
        left.sort();
        left
    }

    /// Nothing lies on the device, nothing runs there, and no file was begun here.
    fn is_clean(&self) {
        assert_eq!(self.left(), [""; 0]);
        self.runs_nothing();
        let here = fs::read_dir(self.dir.path()).expect("the folder").flatten();
        for entry in here {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(!name.contains(".swk") && !name.contains(".part"), "{name}");
        }
    }

    fn runs_nothing(&self) {
        let until = Instant::now() + Duration::from_secs(3);
        while !self.running().is_empty() {
            assert!(Instant::now() < until, "{:?}", self.running());
            sleep(Duration::from_millis(50));
        }
    }

    /// Processes that belong to this device.
    fn running(&self) -> Vec<String> {
        let marker = format!("FAKE={}", self.dir.path().display());
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ours = processes.filter(|p| {
            let environ = fs::read(p.path().join("environ")).unwrap_or_default();
            environ.split(|b| *b == 0).any(|v| v == marker.as_bytes())
        });
        ours.map(|p| fs::read_to_string(p.path().join("cmdline")).unwrap_or_default()).collect()
    }

    /// `record` fails so, and leaves nothing.
    fn record_fails(&self, code: i32, words: &str) {
        let output = self.record(&[]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        let said = complaint(&output);
        assert!(said.contains(words), "{said}");
        self.is_clean();
    }
}

#[test]
fn without_adb_the_mend_is_named() {
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
fn without_a_device_the_mend_is_named() {
    let fake = Fake::new();
    fake.write("devices", "\n");
    fake.record_fails(4, "no device: connect one by USB");
}

#[test]
fn of_several_devices_one_must_be_chosen() {
    let fake = Fake::new();
    fake.write("devices", "FAKE1\tdevice\nFAKE2\tdevice\n");
    fake.record_fails(4, "several devices (FAKE1, FAKE2): choose one with -s");
    assert_eq!(fake.record(&["-s", "FAKE2"]).status.code(), Some(0));
    assert!(fake.calls().contains("-s FAKE2 push"));
    let named =
        fake.command(&["doctor", "--agent", "agent"]).env("ANDROID_SERIAL", "FAKE1").output();
    assert_eq!(named.expect("it runs").status.code(), Some(0));
    let output = fake.record(&["-s", "FAKE3", "--force"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(complaint(&output).contains("no device \"FAKE3\": connected is FAKE1, FAKE2"));
}

#[test]
fn an_offline_device_is_named() {
    let fake = Fake::new();
    fake.write("devices", "FAKE1\toffline\n");
    fake.record_fails(4, "device FAKE1 is offline");
}

#[test]
fn an_unauthorised_device_asks_for_the_prompt() {
    let fake = Fake::new();
    fake.write("devices", "FAKE1\tunauthorized\n");
    fake.record_fails(4, "device FAKE1 is unauthorised: unlock it and accept the prompt");
}

#[test]
fn another_machine_type_is_named() {
    let fake = Fake::new();
    fake.program("uname", "echo armv7l");
    fake.record_fails(4, "device FAKE1 is of machine type \"armv7l\"");
}

#[test]
fn without_root_everything_was_tried() {
    let fake = Fake::new();
    fake.program("id", "echo 2000");
    fake.program("su", "echo 'su: not allowed' >&2; exit 1");
    fake.record_fails(4, "device FAKE1 gives no root (tried adb root, su 0, su -c)");
    assert!(fake.calls().contains("-s FAKE1 root"));
}

#[test]
fn root_by_su_is_used_for_every_command_that_needs_it() {
    // Android's own su, and the other kind.
    let kinds = [
        ("[ \"$1\" = 0 ] || exit 1; shift; AS_ROOT=1 exec \"$@\"", "shell su 0 sh -c"),
        ("[ \"$1\" = -c ] || exit 1; AS_ROOT=1 exec sh -c \"$2\"", "shell su -c"),
    ];
    for (su, call) in kinds {
        let fake = Fake::new();
        fake.program("id", "[ -n \"$AS_ROOT\" ] && echo 0 || echo 2000");
        fake.program("su", su);
        fake.program("chown", "true");
        let output = fake.record(&[]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(fake.calls().contains(call));
        // The shell's user writes into the folder, whoever made it.
        let given = fake.calls();
        let given = given.lines().any(|call| {
            call.contains("chown 2000 /data/local/tmp/sleepwalk") && !call.contains(".swk")
        });
        assert!(given, "{}", fake.calls());
        assert_eq!(fake.left(), ["sleepwalk", "sleepwalkd"]);
    }
}

#[test]
fn without_room_nothing_is_pushed() {
    let fake = Fake::new();
    fake.program("df", "printf 'Filesystem 1K-blocks Used Available Use%% Mounted on\\n/dev/x 9 9 2048 99%% /data\\n'");
    fake.record_fails(4, "no room on the device: 2.0 MiB free in /data/local/tmp, 8.0 MiB needed");
    assert!(!fake.calls().contains("push"));
}

#[test]
fn an_agent_for_another_machine_is_never_pushed() {
    let fake = Fake::new();
    fake.write("agent", "#!/bin/sh\n");
    fake.record_fails(1, "agent agent is no program for aarch64");
    assert!(!fake.calls().contains("push"));
}

#[test]
fn a_push_that_fails_leaves_nothing() {
    let fake = Fake::new();
    fake.write("push-fails", "");
    fake.record_fails(4, "device FAKE1: adb says: adb: error: failed to copy: No space left");
}

#[test]
fn another_build_on_the_device_is_told_apart() {
    let fake = Fake::new();
    fake.version(4_001, 0x1234_5678);
    fake.record_fails(1, "is another build: 4001 bytes with CRC32C 12345678 there, 4000 bytes");
}

#[test]
fn an_agent_that_does_not_run_is_told() {
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
fn a_kernel_that_cannot_be_recorded_on_is_exit_code_4() {
    let fake = Fake::new();
    fake.write("fails", "sleepwalkd: no BTF: build the kernel with CONFIG_DEBUG_INFO_BTF\n");
    fake.write("code", "4");
    fake.record_fails(4, "sleepwalk: device FAKE1: no BTF: build the kernel");
}

#[test]
fn an_agent_that_fails_midway_gives_what_it_saw() {
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
fn a_recording_brings_the_trace_and_leaves_only_the_agent() {
    let fake = Fake::new();
    let output = fake.record(&["--interval", "5s", "--source", "kfunc"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("modem_rx"));
    assert_eq!(fs::read(fake.path("t.swk")).expect("the trace"), everyday());
    assert_eq!(fake.left(), ["sleepwalk", "sleepwalkd"]);
    assert!(fake.calls().contains("-d 1s --interval 5s --source kfunc"));
    fake.runs_nothing();
    // The same build is not pushed again.
    fs::remove_file(fake.path("calls")).expect("the calls");
    assert_eq!(fake.record(&["--force"]).status.code(), Some(0));
    assert!(!fake.calls().contains("push"));
}

#[test]
fn a_trace_that_exists_is_not_overwritten_unless_asked() {
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
fn a_folder_that_cannot_be_written_to_is_told_before_the_capture() {
    let fake = Fake::new();
    let output = fake.run(&["record", "--agent", "agent", "-o", "/nonexistent/t.swk"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("/nonexistent/t.swk cannot be written"));
    assert_eq!(fake.calls(), "");
}

#[test]
fn a_transfer_that_is_cut_is_noticed_and_the_trace_stays() {
    let fake = Fake::new();
    fake.write("pull-cuts", "");
    let output = fake.record(&[]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("100 bytes came across of"), "{said}");
    assert!(said.contains(".swk on the device: `sleepwalk pull` brings it"), "{said}");
    assert!(!fake.path("t.swk").exists());
    let left = fake.left();
    assert_eq!(left.len(), 3, "{left:?}");
    fs::remove_file(fake.path("pull-cuts")).expect("the cable is mended");
    let output = fake.run(&["pull", "-o", "t.swk"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(fs::read(fake.path("t.swk")).expect("the trace"), everyday());
}

#[test]
fn a_file_that_appeared_meanwhile_does_not_cost_the_trace() {
    let fake = Fake::new();
    let child = fake.start("2s");
    until_it_runs(&fake);
    fake.write("t.swk", "precious");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(fake.path("t.swk")).expect("the file"), "precious");
    assert!(fake.left().iter().any(|name| name.ends_with(".swk")), "{:?}", fake.left());
}

#[test]
fn what_others_put_beside_the_agent_stays() {
    let fake = Fake::new();
    fake.write("mute", "");
    let child = fake.start("60s");
    until_it_runs(&fake);
    fs::write(fake.path(&format!("{ON_DEVICE}/sleepwalk/other.swk")), "x").expect("a file");
    press(&child);
    assert_eq!(child.wait_with_output().expect("it ends").status.code(), Some(1));
    assert_eq!(fake.left(), ["other.swk", "sleepwalk"]);
}

#[test]
fn ctrl_c_ends_a_pull_and_leaves_nothing_here() {
    let fake = Fake::new();
    let there = format!("{ON_DEVICE}/sleepwalk");
    fs::create_dir(fake.path(&there)).expect("a folder");
    fs::write(fake.path(&format!("{there}/new.swk")), everyday()).expect("a file");
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
    fs::remove_dir_all(fake.path(&there)).expect("the device's");
    fake.is_clean();
}

fn press(child: &Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
}

/// Waits until the agent of `fake` has said what it had to say.
fn until_it_runs(fake: &Fake) {
    let until = Instant::now() + Duration::from_secs(10);
    while !fake.left().iter().any(|name| name.ends_with(".pid")) {
        assert!(Instant::now() < until, "the agent does not start");
        sleep(Duration::from_millis(50));
    }
    sleep(Duration::from_millis(800));
}

#[test]
fn ctrl_c_stops_the_capture_and_still_brings_the_trace() {
    let fake = Fake::new();
    let child = fake.start("60s");
    until_it_runs(&fake);
    press(&child);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("modem_rx"));
    assert_eq!(fs::read(fake.path("t.swk")).expect("the trace"), everyday());
    assert_eq!(fake.left(), ["sleepwalk", "sleepwalkd"]);
    fake.runs_nothing();
}

#[test]
fn a_second_ctrl_c_gives_the_trace_up_and_leaves_nothing() {
    let fake = Fake::new();
    fake.write("stubborn", "");
    let child = fake.start("60s");
    until_it_runs(&fake);
    press(&child);
    sleep(Duration::from_millis(700));
    press(&child);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("interrupted: the trace was given up"));
    fake.is_clean();
}

#[test]
fn ctrl_c_before_the_capture_began_leaves_nothing() {
    let fake = Fake::new();
    fake.write("mute", "");
    let child = fake.start("60s");
    until_it_runs(&fake);
    press(&child);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("interrupted before the capture began"));
    fake.is_clean();
}

#[test]
fn a_device_that_goes_away_for_a_while_is_waited_for() {
    let fake = Fake::new();
    let child = fake.start("2s");
    until_it_runs(&fake);
    fake.write("gone", "");
    sleep(Duration::from_secs(3));
    fs::remove_file(fake.path("gone")).expect("the device is back");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("waiting for it"));
    assert!(stdout(&output).contains("modem_rx"));
}

#[test]
fn doctor_lists_everything_and_leaves_nothing() {
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
fn doctor_tells_what_is_lost_and_how_to_mend_it() {
    let fake = Fake::new();
    fake.write(
        "doctor",
        r#"{"checks":[{"name":"btf","state":"missing","found":"no \u001b[31mBTF","lost":"all","mend":"build it"}]}"#,
    );
    let output = fake.run(&["doctor", "--agent", "agent"]);
    assert_eq!(output.status.code(), Some(4));
    let text = stdout(&output);
    assert!(text.contains("missing   btf") && text.contains("lost: all"), "{text}");
    assert!(text.contains("mend: build it") && !text.contains('\x1b'), "{text}");
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
fn doctor_says_how_far_it_came() {
    let fake = Fake::new();
    fake.write("devices", "FAKE1\tunauthorized\n");
    let output = fake.run(&["doctor", "--agent", "agent"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stdout(&output).contains("ok       ") && stdout(&output).contains("missing   device"));
    assert!(complaint(&output).contains("accept the prompt"));
}

#[test]
fn doctor_tells_an_error_here_from_one_of_the_device() {
    let fake = Fake::new();
    let output = fake.run(&["doctor", "--json", "--agent", "nowhere"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let last = &json["checks"][4];
    let found = last["found"].as_str().expect("text");
    assert!(found.starts_with("agent nowhere: No such file or directory"), "{found}");
    assert_eq!(last["mend"], "");
    fake.write("devices", "FAKE1\tno permissions (missing udev rules?); see [http://x]\n");
    let output = fake.run(&["doctor", "--json", "--agent", "agent"]);
    assert_eq!(output.status.code(), Some(4));
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let mend = json["checks"][1]["mend"].as_str().expect("text");
    assert!(mend.starts_with("install udev rules"), "{mend}");
}

#[test]
fn hostile_names_of_devices_and_files_drive_no_terminal() {
    let fake = Fake::new();
    fake.write("devices", "FA\u{1b}[31m\u{202e}KE\tdevice\n");
    let there = format!("{ON_DEVICE}/sleepwalk");
    fs::create_dir(fake.path(&there)).expect("a folder");
    let name = "e\u{1b}[31m\u{9b}\u{202e}.swk";
    fs::write(fake.path(&format!("{there}/{name}")), everyday()).expect("a file");
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
fn pull_brings_the_newest_trace_and_leaves_it_there() {
    let fake = Fake::new();
    fs::create_dir(fake.path(ON_DEVICE).join("sleepwalk")).expect("a folder");
    let there = format!("{ON_DEVICE}/sleepwalk");
    fs::write(fake.path(&format!("{there}/old.swk")), b"old").expect("a file");
    sleep(Duration::from_millis(20));
    fs::write(fake.path(&format!("{there}/new.swk")), everyday()).expect("a file");
    let output = fake.run(&["pull"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("new.swk ("));
    assert_eq!(fs::read(fake.path("new.swk")).expect("the trace"), everyday());
    assert_eq!(fake.left(), ["new.swk", "old.swk", "sleepwalk"]);
    // One that can't be read is not taken for one that can.
    let output = fake.run(&["pull", "old.swk"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(complaint(&output).contains("old.swk: it is not a Sleepwalk trace"));
    assert!(!fake.path("old.swk").exists());
}

#[test]
fn pull_says_when_there_is_nothing() {
    let fake = Fake::new();
    let output = fake.run(&["pull"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("no trace lies on device FAKE1"));
    let output = fake.run(&["pull", "gone.swk", "-o", "here.swk"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("gone.swk on device FAKE1"));
    fake.is_clean();
}
