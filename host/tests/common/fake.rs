//! A fake device behind a fake adb: a temporary folder, and shell scripts in `tests/fake-adb`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sleepwalk_trace::chunk::crc32c;

use super::{complaint, everyday, stderr};

/// A device that has everything a capture needs. Tests take parts away.
pub struct Fake {
    pub dir: tempfile::TempDir,
}

pub const ON_DEVICE: &str = "root/data/local/tmp";

impl Fake {
    pub fn new() -> Self {
        let fake = Self { dir: tempfile::tempdir().expect("a folder") };
        fs::create_dir_all(fake.path(ON_DEVICE)).expect("a folder");
        fs::create_dir_all(fake.path("bin")).expect("a folder");
        fake.write("devices", "FAKE1\tdevice\n\n");
        fake.program("uname", "echo aarch64");
        fake.program("id", "echo 0");
        fake.write("status", "Name:\tcat\nCapEff:\t000001ffffffffff\n");
        // The files of this user are root's there.
        fake.program("chown", "true");
        let real = "PATH=${PATH#*:}";
        fake.program("stat", &format!("{real} stat \"$@\" | sed \"s/^$({real} id -u) /0 /\""));
        // The script that takes the agent's place counts as the agent.
        fake.program(
            "sha256sum",
            &format!(
                "cat >$FAKE/sum; cmp -s $FAKE/sum $FAKE/agent.sh && cp $FAKE/agent $FAKE/sum; \
                 {real} sha256sum <$FAKE/sum"
            ),
        );
        fake.program("df", "printf 'Filesystem 1K-blocks Used Available Use%% Mounted on\\n/dev/x 9 9 900000 1%% /data\\n'");
        let agent = Self::agent_bytes();
        fs::write(fake.path("agent"), &agent).expect("a file");
        fake.version(agent.len(), crc32c(&agent));
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-adb");
        fs::copy(scripts.join("agent.sh"), fake.path("agent.sh")).expect("the agent");
        fs::write(fake.path("canned"), everyday()).expect("a file");
        let ok = r#"{"name":"kfuncs","state":"ok","found":"all three","lost":"","fix":""}"#;
        fake.write("doctor", &format!("{{\"checks\":[{ok}]}}\n"));
        fake
    }

    /// The head of an ELF program for aarch64.
    pub fn agent_bytes() -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(18, 0);
        bytes.extend([183, 0]);
        bytes.resize(4_000, 7);
        bytes
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    /// Puts a file into the agent's folder, and returns its path.
    pub fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let folder = self.path(ON_DEVICE).join("sleepwalk");
        fs::create_dir_all(&folder).expect("a folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("private");
        let path = folder.join(name);
        fs::write(&path, bytes).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("private");
        path
    }

    pub fn version(&self, len: usize, crc: u32) {
        self.write(
            "version",
            &format!(
                "{{\"version\":\"0.1.0\",\"format\":1,\"exe_len\":{len},\"exe_crc32c\":\"{crc:08x}\"}}\n"
            ),
        );
    }

    pub fn program(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = super::sleepwalk();
        let adb = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-adb/adb");
        command.args(args).env("ADB", adb).env("FAKE", self.dir.path());
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("it runs")
    }

    pub fn record(&self, more: &[&str]) -> Output {
        let mut args = vec!["record", "-d", "1s", "-o", "t.swk", "--agent", "agent"];
        args.extend(more);
        self.run(&args)
    }

    pub fn start(&self, seconds: &str) -> Recording {
        let args = ["record", "-d", seconds, "-o", "t.swk", "--agent", "agent"];
        let errors = self.path("errors");
        let mut command = self.command(&args);
        command.stdout(Stdio::piped()).stderr(fs::File::create(&errors).expect("a file"));
        Recording { child: command.spawn().expect("it runs"), errors }
    }

    pub fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    /// The names of all files and folders on the device.
    pub fn left(&self) -> Vec<String> {
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

    /// Checks that no file is on the device, no process runs there, and no file was begun on the host.
    pub fn is_clean(&self) {
        assert_eq!(self.left(), [""; 0]);
        self.runs_nothing();
        let here = fs::read_dir(self.dir.path()).expect("the folder").flatten();
        for entry in here {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(!name.contains(".swk") && !name.contains(".part"), "{name}");
        }
    }

    pub fn runs_nothing(&self) {
        let until = Instant::now() + Duration::from_secs(3);
        while !self.running().is_empty() {
            assert!(Instant::now() < until, "{:?}", self.running());
            sleep(Duration::from_millis(50));
        }
    }

    /// The processes of this device.
    pub fn running(&self) -> Vec<String> {
        let marker = format!("FAKE={}", self.dir.path().display());
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ours = processes.filter(|p| {
            let environ = fs::read(p.path().join("environ")).unwrap_or_default();
            environ.split(|b| *b == 0).any(|v| v == marker.as_bytes())
        });
        ours.map(|p| fs::read_to_string(p.path().join("cmdline")).unwrap_or_default()).collect()
    }

    /// Checks that `record` fails with this code and message, and leaves no files.
    pub fn record_fails(&self, code: i32, words: &str) {
        let output = self.record(&[]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        let said = complaint(&output);
        assert!(said.contains(words), "{said}");
        self.is_clean();
    }
}

/// A `sleepwalk record` under way.
pub struct Recording {
    child: Child,
    errors: PathBuf,
}

impl Recording {
    /// Waits until it prints `text` on standard error.
    pub fn until(&self, text: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let printed = fs::read_to_string(&self.errors).expect("the errors");
            if printed.contains(text) {
                return;
            }
            assert!(Instant::now() < until, "`{text}` is not in: {printed}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Presses Ctrl-C.
    pub fn press(&self) {
        press(&self.child);
    }

    /// Waits for its end.
    pub fn end(self) -> Output {
        let output = self.child.wait_with_output().expect("it ends");
        Output { stderr: fs::read(&self.errors).expect("the errors"), ..output }
    }
}

/// Ctrl-C.
pub fn press(child: &Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
}
