//! Outputs and inputs of commands: files that appear complete or not at all, `--force`, and `-`.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use common::{complaint, everyday, file, run, sleepwalk, stderr, stdout};

/// Every command that takes `-o`, except for `export`.
const COMMANDS: [&[&str]; 4] = [
    &["report", "t.swk"],
    &["dump", "t.swk"],
    &["diff", "t.swk", "t.swk"],
    &["check", "t.swk", "--policy", "p.toml"],
];
const EXPORTS: [&[&str]; 2] =
    [&["export", "t.swk", "--to", "jsonl"], &["export", "t.swk", "--to", "perfetto"]];

fn commands() -> impl Iterator<Item = &'static [&'static str]> {
    COMMANDS.into_iter().chain(EXPORTS)
}

/// A folder with a trace and a policy.
fn folder() -> tempfile::TempDir {
    let (dir, _) = file(&everyday());
    let policy = "[capture]\nmin_duration = \"500ms\"\nmin_attempts = 1\n";
    fs::write(dir.path().join("p.toml"), policy).expect("a file");
    dir
}

fn run_in(dir: &Path, args: &[&str], more: &[&str]) -> Output {
    let mut command = sleepwalk();
    command.current_dir(dir).args(args).args(more).output().expect("the program starts")
}

/// The names in the folder, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a folder").flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_only_with_force() {
    for args in commands() {
        let dir = folder();
        let out = dir.path().join("out");
        let written = run_in(dir.path(), args, &["-o", "out"]);
        assert_eq!((written.status.code(), stderr(&written).as_str()), (Some(0), ""), "{args:?}");
        let whole = fs::read(&out).expect("the output");
        assert!(whole.len() > 100);
        assert_eq!(run_in(dir.path(), args, &[]).stdout, whole, "{args:?}");
        fs::write(&out, "precious").expect("a file");
        let refused = run_in(dir.path(), args, &["-o", "out"]);
        assert_eq!(refused.status.code(), Some(1), "{args:?}");
        let message = complaint(&refused);
        assert!(message.contains("out exists already\nfix: ") && message.contains("--force"));
        assert_eq!(fs::read(&out).expect("a file"), b"precious");
        let forced = run_in(dir.path(), args, &["-o", "out", "--force"]);
        assert_eq!(forced.status.code(), Some(0), "{args:?}");
        assert_eq!(fs::read(&out).expect("the output"), whole);
        assert_eq!(names(dir.path()), ["out", "p.toml", "t.swk"]);
    }
}

#[test]
fn a_failed_command_keeps_the_old_file() {
    for args in commands() {
        let dir = folder();
        fs::write(dir.path().join("t.swk"), "no trace").expect("a file");
        fs::write(dir.path().join("out"), "precious").expect("a file");
        let output = run_in(dir.path(), args, &["-o", "out", "--force"]);
        assert_eq!(output.status.code(), Some(5), "{args:?}");
        assert_eq!(fs::read(dir.path().join("out")).expect("a file"), b"precious");
        assert_eq!(names(dir.path()), ["out", "p.toml", "t.swk"]);
    }
}

#[test]
fn force_never_replaces_an_input() {
    for args in commands() {
        let dir = folder();
        let output = run_in(dir.path(), args, &["-o", "./t.swk", "--force"]);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(complaint(&output).contains("t.swk is one of the files that this command reads"));
        assert_eq!(fs::read(dir.path().join("t.swk")).expect("the trace"), everyday());
    }
    let dir = folder();
    let policy = fs::read(dir.path().join("p.toml")).expect("the policy");
    let output = run_in(dir.path(), COMMANDS[3], &["-o", "p.toml", "--force"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read(dir.path().join("p.toml")).expect("the policy"), policy);
}

#[test]
fn a_dash_is_standard_input_and_output() {
    let dir = folder();
    for args in commands() {
        let dash = |arg: &&'static str| if *arg == "t.swk" { "-" } else { *arg };
        let mut piped: Vec<_> = args.iter().map(dash).collect();
        // Only one of the two traces of `diff` comes from standard input.
        if piped[0] == "diff" {
            piped[1] = "t.swk";
        }
        let stdin = fs::File::open(dir.path().join("t.swk")).expect("the trace");
        let mut command = sleepwalk();
        command.current_dir(dir.path()).args(&piped).args(["-o", "-"]).stdin(stdin);
        let output = command.output().expect("the program starts");
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{piped:?}");
        let named = run_in(dir.path(), args, &[]).stdout;
        let named = String::from_utf8_lossy(&named).replace("t.swk", "standard input");
        let read = String::from_utf8_lossy(&output.stdout).replace("t.swk", "standard input");
        assert_eq!(read, named, "{piped:?}");
    }
    assert_eq!(names(dir.path()), ["p.toml", "t.swk"]);
}

#[test]
fn errors_name_standard_input() {
    for args in [&["report", "-"][..], &["dump", "-"], &["export", "-", "--to", "jsonl"]] {
        let mut command = sleepwalk();
        let output = command.args(args).stdin(Stdio::null()).output().expect("it runs");
        assert_eq!(output.status.code(), Some(5), "{args:?}");
        assert_eq!(complaint(&output), "sleepwalk: standard input: it is empty");
    }
    let output = run(&["report", "-", "-"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("standard input (-) is named 2 times"));
}

#[cfg(unix)]
#[test]
fn special_files_are_written_in_place() {
    for args in commands() {
        let dir = folder();
        let plain = run_in(dir.path(), args, &[]).stdout;
        for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
            let output = run_in(dir.path(), args, &["-o", name]);
            assert_eq!((output.status.code(), &output.stdout), (Some(0), &plain), "{args:?}");
        }
        // Standard output may be a file, and standard error another one.
        let path = dir.path().join("out");
        for (name, to_stdout) in [("/dev/stdout", true), ("/dev/stderr", false)] {
            let out = fs::File::create(&path).expect("a file");
            let mut command = sleepwalk();
            command.current_dir(dir.path()).args(args).args(["-o", name]);
            if to_stdout {
                command.stdout(out)
            } else {
                command.stderr(out)
            };
            assert!(command.status().expect("it runs").success(), "{args:?} {name}");
            assert_eq!(fs::read(&path).expect("the output"), plain, "{args:?} {name}");
        }
        for name in ["/dev/null", "/dev/full"] {
            let before = fs::metadata(name).expect("a device").file_type();
            let code = run_in(dir.path(), args, &["-o", name]).status.code();
            assert_eq!(code, Some(i32::from(name == "/dev/full")), "{args:?} {name}");
            assert_eq!(fs::metadata(name).expect("a device").file_type(), before);
        }
        let fifo = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
        assert!(made.success());
        let mut command = sleepwalk();
        command.current_dir(dir.path()).args(args).args(["-o", "fifo"]);
        let mut child = command.spawn().expect("it runs");
        assert_eq!(fs::read(&fifo).expect("the output"), plain, "{args:?}");
        assert!(child.wait().expect("it ends").success());
    }
}

#[cfg(unix)]
#[test]
fn permissions_and_links_are_kept() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let dir = folder();
    let mode = |name: &str| {
        fs::metadata(dir.path().join(name)).expect("a file").permissions().mode() & 0o777
    };
    // A new file has the permissions of any other.
    fs::write(dir.path().join("plain"), "").expect("a file");
    assert!(run_in(dir.path(), COMMANDS[0], &["-o", "new"]).status.success());
    assert_eq!(mode("new"), mode("plain"));
    // One that is replaced keeps its own.
    fs::set_permissions(dir.path().join("new"), fs::Permissions::from_mode(0o640)).expect("a mode");
    symlink("new", dir.path().join("link")).expect("a link");
    assert!(run_in(dir.path(), COMMANDS[0], &["-o", "link", "--force"]).status.success());
    assert_eq!(mode("new"), 0o640);
    assert!(fs::symlink_metadata(dir.path().join("link")).expect("a link").is_symlink());
}

#[cfg(unix)]
#[test]
fn an_interrupted_command_leaves_no_file() {
    let dir = folder();
    // The command waits for a trace that never comes.
    let mut command = sleepwalk();
    command.current_dir(dir.path()).args(["report", "-", "-o", "out"]).stdin(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    // Waiting for the child would close its input, and so end the trace.
    let _input = child.stdin.take();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !names(dir.path()).iter().any(|name| name.ends_with(".part")) {
        assert!(std::time::Instant::now() < until, "the output is not begun");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    common::fake::press(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert_eq!(names(dir.path()), ["p.toml", "t.swk"]);
}

#[cfg(unix)]
#[test]
fn a_trace_is_not_recorded_to_a_special_file() {
    let fake = common::fake::Fake::new();
    let output = fake.run(&["record", "-d", "1s", "-o", "/dev/null", "--force"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("/dev/null is not a regular file"));
}

#[test]
fn help_explains_commands_and_terms() {
    let help = stdout(&run(&["help"]));
    for command in ["record", "report", "help terms"] {
        assert!(help.contains(command), "{help}");
    }
    let report = stdout(&run(&["help", "report"]));
    assert!(report.contains("sleepwalk report [OPTIONS] <TRACE>"), "{report}");
    assert_eq!(report, stdout(&run(&["report", "--help"])));
    let terms = stdout(&run(&["help", "terms"]));
    assert!(terms.starts_with("# Glossary") && terms.contains("Wakeup source"), "{terms}");
    let unknown = run(&["help", "nonsense"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(complaint(&unknown).contains("\"nonsense\""));
}
