//! The program as a script sees it: exit codes, errors, files that are not traces, and outputs.

mod common;

use std::io::Read as _;
use std::process::Stdio;

use common::{complaint, everyday, file, run, sleepwalk, stderr, stdout};
use sleepwalk_trace::chunk::{ALIGN, CHUNK_HEADER, FILE_HEADER, file_header, header_crc};

/// The error of `report` and `dump` for these bytes: exit code 5, and one line that names the file.
fn refused(bytes: &[u8]) -> String {
    let (_dir, path) = file(bytes);
    let path = path.to_str().expect("UTF-8");
    let mut said = Vec::new();
    for command in ["report", "dump"] {
        let output = run(&[command, path]);
        assert_eq!(output.status.code(), Some(5));
        let complaint = complaint(&output);
        assert!(complaint.starts_with(&format!("sleepwalk: {path}: ")), "{complaint}");
        said.push(complaint.split_once(".swk: ").expect("the path").1.to_owned());
    }
    assert_eq!(said[0], said[1]);
    said.remove(0)
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for args in [
        &[][..],
        &["nonsense"],
        &["report"],
        &["report", "a", "--format", "pdf"],
        &["record", "-d", "0s"],
        &["record", "-d", "10"],
        &["record", "--source", "guess"],
        &["record", "--detach", "-o", "here.swk"],
        &["record", "--max-size", "64"],
        &["record", "--max-size", "255K"],
        &["record", "--on-full", "explode"],
        &["report", "--force", "a"],
        &["report", "-", "-"],
        &["diff", "-", "-"],
        &["help", "nonsense"],
        &["dump"],
    ] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn help_and_version_are_exit_code_0() {
    for args in [&["--help"][..], &["--version"], &["record", "--help"]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0));
        assert!(!stdout(&output).is_empty());
    }
}

#[test]
fn an_empty_file_is_refused() {
    assert_eq!(refused(b""), "it is empty");
}

#[test]
fn another_kind_of_file_is_refused() {
    assert!(refused(b"PK\x03\x04 and so on").starts_with("it is not a Sleepwalk trace"));
}

#[test]
fn a_newer_format_version_is_named() {
    let mut header = file_header(0);
    header[8..10].copy_from_slice(&77u16.to_le_bytes());
    let crc = header_crc(&header);
    header[12..16].copy_from_slice(&crc.to_le_bytes());
    assert!(refused(&header).starts_with("its format is version 77"));
}

#[test]
fn a_trace_cut_in_its_header_is_refused() {
    assert!(refused(&everyday()[..11]).starts_with("it has 11 bytes"));
    assert!(refused(&everyday()[..FILE_HEADER]).starts_with("it holds no whole record"));
    assert!(refused(&everyday()[..FILE_HEADER + 20]).starts_with("it holds no whole record"));
}

#[test]
fn a_missing_file_is_named() {
    let output = run(&["report", "/nonexistent/t.swk"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(complaint(&output).starts_with("sleepwalk: /nonexistent/t.swk: it cannot be read"));
}

#[test]
fn a_trace_cut_anywhere_never_crashes() {
    let bytes = everyday();
    for cut in (0..bytes.len()).step_by(bytes.len() / 40) {
        let (_dir, path) = file(&bytes[..cut]);
        let output = run(&["report", path.to_str().expect("UTF-8")]);
        match output.status.code() {
            Some(0) => assert!(stdout(&output).contains("the capture did not end cleanly")),
            Some(5) => drop(complaint(&output)),
            other => panic!("cut at {cut}: {other:?} {}", stderr(&output)),
        }
    }
}

/// Whether the byte at `at` belongs to no chunk's header or payload.
fn is_padding(trace: &[u8], at: usize) -> bool {
    let mut begin = FILE_HEADER;
    while begin + CHUNK_HEADER <= trace.len() {
        let length = trace[begin + 4..begin + 8].try_into().expect("four bytes");
        let end = begin + CHUNK_HEADER + u32::from_le_bytes(length) as usize;
        if at < end {
            return at < begin;
        }
        begin = end.next_multiple_of(ALIGN);
    }
    true
}

#[test]
fn damage_is_counted_and_the_rest_reported() {
    let whole = everyday();
    for at in (FILE_HEADER..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        let (_dir, path) = file(&bytes);
        let path = path.to_str().expect("UTF-8");
        for args in [&["report", path][..], &["report", path, "--format", "json"], &["dump", path]]
        {
            let output = run(args);
            assert_eq!(output.status.code(), Some(0), "byte {at}: {}", stderr(&output));
            // Padding between chunks has no checksum and no meaning.
            if is_padding(&whole, at) {
                assert_eq!(stderr(&output), "", "byte {at}");
            } else {
                let warning = complaint(&output);
                assert!(warning.starts_with("sleepwalk: warning: "), "{warning}");
                assert!(warning.contains("bytes unreadable"), "{warning}");
            }
        }
    }
}

#[test]
fn output_goes_to_the_named_file() {
    let (dir, path) = file(&everyday());
    let out = dir.path().join("report.json");
    let args = ["report", path.to_str().expect("UTF-8"), "--format", "json", "-o"];
    let output = sleepwalk().args(args).arg(&out).output().expect("it runs");
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), String::new()));
    assert!(std::fs::read_to_string(&out).expect("the report").contains("sleepwalk.report/2"));
}

#[test]
fn an_unwritable_output_is_named() {
    let (_dir, path) = file(&everyday());
    let output = run(&["report", path.to_str().expect("UTF-8"), "-o", "/nonexistent/out"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).starts_with("sleepwalk: /nonexistent/out: "));
}

#[test]
fn a_broken_pipe_is_not_an_error() {
    let (_dir, path) = file(&everyday());
    for args in [&["dump"][..], &["report"]] {
        let mut child = sleepwalk()
            .args(args)
            .arg(&path)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("UTF-8");
        assert_eq!((child.wait().expect("it ends").code(), said.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_pipe_gets_no_colours() {
    let (_dir, path) = file(&everyday());
    assert!(!stdout(&run(&["report", path.to_str().expect("UTF-8")])).contains('\x1b'));
}
