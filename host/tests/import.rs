//! `sleepwalk import` on files after Android's documented layouts.

mod common;

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use common::{complaint, run, stdout};
use proptest::prelude::*;
use sleepwalk::import::{self, Holder, Import, Layer, Origin};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const MS: u64 = 1_000_000;
const MINUTE: u64 = 60_000 * MS;

fn given(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name)
}

fn read(name: &str) -> Import {
    import::read(&given(name)).expect("facts")
}

fn row<'a>(import: &'a Import, origin: Origin, layer: Layer, name: &str) -> &'a Holder {
    let same = |h: &&Holder| (h.origin, h.layer, h.name.as_deref()) == (origin, layer, Some(name));
    import.holders.iter().find(same).unwrap_or_else(|| panic!("{name} in {:?}", import.holders))
}

/// Lines that were not understood.
fn puzzled(import: &Import) -> Vec<&str> {
    import.parts.iter().filter_map(|part| part.example.as_deref()).collect()
}

#[test]
fn a_bug_report_is_read() {
    let import = read("bugreport-before.txt");
    assert_eq!(puzzled(&import), [""; 0]);
    let device = &import.device;
    let print = "brand/model/device:15/AP1A/1:userdebug/dev-keys";
    assert_eq!(device.fingerprint.as_deref(), Some(print));
    assert_eq!(device.kernel.as_deref(), Some("6.1.75-android14-11-g0"));
    assert_eq!(
        (device.taken.as_deref(), device.uptime_ns),
        (Some("2026-05-23 12:00:00"), Some(180 * MINUTE))
    );
    // Other services have counters of the same names.
    let success =
        import.suspends.iter().flat_map(|counts| &counts.values).find(|v| v.name == "success");
    assert_eq!(success.map(|v| &*v.value), Some("36"));
}

#[test]
fn rows_of_suspend_control_keep_their_names() {
    let import = read("bugreport-before.txt");
    let of = |layer, name| row(&import, Origin::SuspendControl, layer, name);
    let native = of(Layer::Native, "PowerManagerService.WakeLocks");
    assert_eq!((native.pid, native.held_ns), (Some(1803), Some(1_634_079 * MS)));
    // Its ACTIVE COUNT is not how often it was held.
    assert_eq!((native.holds, native.active), (None, Some(true)));
    of(Layer::Native, "PowerManager.SuspendLockout | odd");
    of(Layer::Kernel, "epoll_system_server_file:[timerfd20_system_server]");
    of(Layer::Kernel, "WLAN Timer");
    assert_eq!(of(Layer::Kernel, "").held_ns, Some(5 * MS));
    let timers = of(Layer::Kernel, "[timerfd]");
    assert_eq!((timers.instances, timers.held_ns, timers.holds), (7, Some(721 * MS), Some(91)));
}

#[test]
fn apps_have_packages_and_tags() {
    let import = read("bugreport-before.txt");
    let of = |name| row(&import, Origin::Batterystats, Layer::App, name);
    let job = of("*job*/com.a/.Sync");
    assert_eq!(
        (job.uid, &job.packages[..]),
        (Some(10_219), &["com.google.android.gms".to_owned()][..])
    );
    assert_eq!(
        (job.held_ns, job.background_ns, job.holds),
        (Some(45_000 * MS), Some(30_000 * MS), Some(12))
    );
    assert_eq!(of("a,b").held_ns, Some(120 * MS));
    let all = import.holders.iter().find(|h| h.layer == Layer::App && h.name.is_none());
    assert_eq!(all.and_then(|all| all.held_ns), Some(45_000 * MS));
    row(&import, Origin::Batterystats, Layer::KernelOrNative, "a, \"quoted\" name");

    let held: Vec<_> =
        import.held.iter().map(|h| (&*h.tag, h.uid, h.pid, h.since_ns, h.disabled)).collect();
    assert_eq!(
        held,
        [
            ("*job*/com.a/.Sync", Some(10_219), Some(1803), Some(100_873 * MS), false),
            ("it's (a) tag", Some(10_086), Some(4120), None, true),
            ("WindowManager", Some(10_100), Some(1803), Some(2_001 * MS), false),
        ]
    );
    // The user id alone has a package in batterystats.
    assert_eq!(import.held[1].packages, ["com.android.chatty"]);
}

#[test]
fn wakes_aborts_and_alarms_are_counted() {
    let import = read("bugreport-before.txt");
    let reasons: Vec<_> =
        import.reasons.iter().map(|r| (r.origin, r.abort, r.count, &*r.text)).collect();
    assert!(reasons.contains(&(Origin::SuspendControl, false, Some(2), "200 qcom,glink")));
    assert!(reasons.contains(&(
        Origin::Batterystats,
        true,
        Some(2),
        "Abort:Pending Wakeup Sources: wlan"
    )));
    let aborts: Vec<_> = import
        .aborts
        .iter()
        .map(|a| (&*a.message, a.source.as_deref(), a.count, a.last_ns))
        .collect();
    assert_eq!(
        aborts,
        [
            ("Wakeup pending, aborting suspend", None, Some(2), Some(101_500 * MS)),
            ("active wakeup source", Some("wlan"), Some(2), Some(101_600_001_000)),
            ("last active wakeup source", Some("alarmtimer"), Some(1), Some(101_500_001_000)),
        ]
    );
    let poll = import
        .alarms
        .iter()
        .find(|a| a.tag.as_deref() == Some("*walarm*:com.android.chatty/.Poll"));
    let poll = poll.expect("the alarm");
    assert_eq!((poll.uid, poll.wakeups, poll.alarms), (Some(10_086), Some(20), Some(23)));
}

#[test]
fn two_files_are_subtracted() {
    let (before, after) = (read("bugreport-before.txt"), read("bugreport-after.txt"));
    let both = import::difference(&before, &after);
    let held = |layer, name| row(&both, Origin::SuspendControl, layer, name).held_ns;
    assert_eq!(held(Layer::Native, "PowerManagerService.Display"), Some(312_845 * MS));
    assert_eq!(held(Layer::Native, "PowerManagerService.WakeLocks"), Some(107 * MS));
    assert_eq!(held(Layer::Kernel, "a600000.hsusb"), Some(529_625 * MS));
    assert!(both.holders.iter().all(|row| row.name.as_deref() != Some("radio-interface")));
    let tags: Vec<_> = both.alarms.iter().filter(|a| a.tag.is_some()).map(|a| a.wakeups).collect();
    assert_eq!(tags, [Some(10)]);
    assert!(both.unknown.iter().all(|one| !one.what.contains("one boot")), "{:?}", both.unknown);

    // The other way round each counter has fallen, and nothing is claimed.
    let fell = import::difference(&after, &before);
    let row = row(&fell, Origin::SuspendControl, Layer::Native, "PowerManagerService.Display");
    assert_eq!(row.held_ns, None);
}

#[test]
fn two_boots_are_doubted() {
    let before = read("bugreport-before.txt");
    let text = fs::read_to_string(given("bugreport-after.txt")).expect("text");
    for (from, to) in
        [("3 hours, 34 minutes", "0 hours, 4 minutes"), ("brand/model", "other/model")]
    {
        let after = import::read_bytes("after", text.replace(from, to).as_bytes());
        let both = import::difference(&before, &after);
        assert!(both.unknown.iter().any(|one| one.what.contains("one boot")), "{to}");
        // Nothing is claimed then.
        assert!(both.holders.iter().all(|row| (row.held_ns, row.holds) == (None, None)), "{to}");
        assert!(both.alarms.iter().all(|alarm| alarm.wakeups.is_none()), "{to}");
    }
}

#[test]
fn a_part_that_the_first_file_lacks_has_no_difference() {
    let both = import::difference(&read("wakeup_sources.txt"), &read("bugreport-after.txt"));
    let row = row(&both, Origin::SuspendControl, Layer::Native, "PowerManagerService.Display");
    assert_eq!((row.held_ns, row.longest_ns, row.active), (None, None, None));
    assert!(both.alarms.iter().all(|alarm| alarm.wakeups.is_none()));
    let values = both.suspends.iter().flat_map(|counts| &counts.values);
    assert!(values.filter(|v| v.name == "success").all(|v| v.value == "unknown"));
}

#[test]
fn tables_of_the_kernel_are_read_by_their_heading() {
    let import = read("wakeup_sources.txt");
    assert_eq!(puzzled(&import), [""; 0]);
    let of = |name| row(&import, Origin::WakeupSources, Layer::Kernel, name);
    assert_eq!((of("modem_rx").held_ns, of("modem_rx").holds), (Some(700 * MS), Some(12)));
    assert_eq!(
        (of("mgmt_txrx tx_cmp").held_ns, of("mgmt_txrx tx_cmp").active),
        (Some(3_702 * MS), Some(true))
    );
    // A negative number is none.
    assert_eq!((of("ec_sync").held_ns, of("ec_sync").holds), (None, Some(2)));
    assert_eq!(of("[timerfd]").instances, 2);

    let stats = read("suspend_stats.txt");
    let values: Vec<_> = stats.suspends[0].values.iter().map(|v| (&*v.name, &*v.value)).collect();
    assert!(values.contains(&("fail", "5")) && values.contains(&("last_failed_dev", "adc")));
}

#[test]
fn a_perfetto_trace_has_exact_holds() {
    let import = read("app_wakelocks.pftrace");
    let of = |tag| {
        let row = row(&import, Origin::AppWakelocks, Layer::App, tag);
        (row.uid, row.pid, row.held_ns, row.holds, row.active)
    };
    // 12 s and 7 ns, and 9 s until the end of the trace.
    assert_eq!(
        of("*job*/com.mail/.Sync"),
        (Some(10_219), Some(1803), Some(21_000_000_007), Some(2), Some(true))
    );
    // Since before the first packet of the data source, 19 s earlier; the trace itself begins before that.
    assert_eq!(of("AudioMix"), (Some(1041), Some(900), Some(19_000 * MS), Some(1), Some(false)));
    assert!(
        import.holders.iter().all(|row| row.name.as_deref() != Some("WindowManager")),
        "not partial"
    );
    let part = &import.parts[0];
    assert_eq!((part.used, part.not_understood, part.not_read), (2, 0, 2));
}

#[test]
fn every_encoding_and_container_says_the_same() {
    let text = fs::read_to_string(given("bugreport-before.txt")).expect("text");
    let expected = serde_json::to_value(&read("bugreport-before.txt").holders).expect("JSON");
    let dir = tempfile::tempdir().expect("a directory");
    let utf16 = |mark: bool, bytes: fn(u16) -> [u8; 2]| {
        let mark = mark.then_some('\u{feff}').into_iter();
        let text: String = mark.chain(text.chars()).collect();
        text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>()
    };
    let mut zipped = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in [
        ("version.txt", "2.0"),
        ("main_entry.txt", "bugreport-x.txt\n"),
        ("bugreport-x.txt", &text),
        ("FS/data/wakeup_sources.txt", "name active_count total_time\nnot\u{7f}here 1 1\n"),
    ] {
        zipped.start_file(name, SimpleFileOptions::default()).expect("an entry");
        zipped.write_all(text.as_bytes()).expect("a text");
    }
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).expect("a directory");
    fs::write(folder.join("bugreport-x.txt"), &text).expect("a file");
    fs::write(folder.join("other.txt"), "name active_count total_time\nnot_here 1 1\n")
        .expect("a file");
    let mut paths = vec![folder];
    for (name, bytes) in [
        ("le.txt", utf16(true, u16::to_le_bytes)),
        ("be.txt", utf16(true, u16::to_be_bytes)),
        ("bare.txt", utf16(false, u16::to_le_bytes)),
        ("mark.txt", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
        ("lines.txt", text.replace('\n', "\r\r\n").into_bytes()),
        ("report.zip", zipped.finish().expect("a zip file").into_inner()),
    ] {
        paths.push(dir.path().join(name));
        fs::write(dir.path().join(name), bytes).expect("a file");
    }
    for path in paths {
        let import = import::read(&path).expect("facts");
        assert_eq!(serde_json::to_value(&import.holders).expect("JSON"), expected, "{path:?}");
        assert_eq!(puzzled(&import), [""; 0], "{path:?}");
    }
}

#[test]
fn a_later_dump_of_one_service_replaces_the_first() {
    let text = fs::read_to_string(given("wakeup_sources.txt")).expect("text");
    let twice = import::read_bytes("twice", (text.clone() + &text).as_bytes());
    let of = |name| row(&twice, Origin::WakeupSources, Layer::Kernel, name).held_ns;
    assert_eq!(of("modem_rx"), Some(700 * MS));
}

#[test]
fn a_line_of_a_known_part_starts_no_other() {
    // `dumpsys alarm` may have any line; a bug report's head ends with its first section.
    let text = "Alarm Stats:\n  1000:android 0 running, 1 wakeups:\n\nsuccess: 3\nKernel: x\n";
    let import = import::read_service("alarm", text);
    assert!(import.suspends.is_empty() && import.device.kernel.is_none(), "{import:?}");
    assert_eq!((import.alarms.len(), import.parts.len()), (1, 1));
    assert_eq!((import.parts[0].used, import.parts[0].not_read), (3, 2));
}

#[test]
fn lines_that_are_damaged_are_counted() {
    let whole = fs::read_to_string(given("bugreport-before.txt")).expect("text");
    let damaged = whole
        .replace("1634079ms", "lots")
        .replace("running, 20 wakeups:", "running, many wakeups:")
        .replace("9,10219,l,awl,45000", "9,10219,l,awl,x")
        .replace("(uid=1000 pid=1803 ws=WorkSource{10100})", "(pid=1803)");
    let import = import::read_bytes("damaged", damaged.as_bytes());
    let counts: Vec<_> = import.parts.iter().map(|p| p.not_understood).filter(|n| *n > 0).collect();
    // Without its package, the alarm below it cannot be placed either, nor its tag.
    assert_eq!(counts, [1, 3, 1, 1], "{:?}", import.parts);
}

#[test]
fn the_command_shows_it_in_each_form() {
    let (before, after) = (given("bugreport-before.txt"), given("bugreport-after.txt"));
    let (before, after) = (before.to_str().expect("UTF-8"), after.to_str().expect("UTF-8"));
    let table = stdout(&run(&["import", before]));
    for part in
        ["Native wakelocks", "com.google.android.gms", "Wakeup alarms", "Unknown", "Lines read"]
    {
        assert!(table.contains(part), "{part}: {table}");
    }
    let markdown = stdout(&run(&["import", before, after, "--format", "markdown"]));
    assert!(markdown.contains("| `a600000.hsusb` | 8 m 50 s |"), "{markdown}");
    let few = stdout(&run(&["import", before, "--top", "1"]));
    assert!(few.contains("more"), "{few}");
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&run(&["import", before, "--format", "json"]))).expect("JSON");
    assert_eq!(json["schema"], "sleepwalk.import/1");
}

#[test]
fn names_from_a_file_drive_no_terminal() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("sources.txt");
    let table = "name\tactive_count\ttotal_time\n\x1b]0;owned\x07|`x\t1\t\t5\n";
    fs::write(&path, table).expect("a file");
    for form in ["table", "json", "markdown"] {
        let output = run(&["import", path.to_str().expect("UTF-8"), "--format", form]);
        assert!(output.status.success());
        assert!(!output.stdout.contains(&0x1b) && !output.stdout.contains(&7), "{form}");
    }
}

#[test]
fn what_is_no_report_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let all: [(&str, &[u8], &str); 4] = [
        ("empty.txt", b"", "no line that Sleepwalk understands"),
        ("other.txt", b"hello\n", "no line that Sleepwalk understands"),
        ("cut.zip", b"PK\x03\x04cut", "the zip file is damaged"),
        ("binary.txt", &[0, 159, 146, 150, 0, 7], "no line that Sleepwalk understands"),
    ];
    for (name, bytes, says) in all {
        let path = dir.path().join(name);
        fs::write(&path, bytes).expect("a file");
        let output = run(&["import", path.to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(complaint(&output).contains(says), "{name}: {}", complaint(&output));
    }
    assert_eq!(run(&["import", "/nonexistent"]).status.code(), Some(1));
}

/// Lines as Android prints them, and damage to them.
fn some_line() -> impl Strategy<Value = String> {
    let all: Vec<String> = ["bugreport-before.txt", "wakeup_sources.txt", "suspend_stats.txt"]
        .iter()
        .flat_map(|name| {
            let text = fs::read_to_string(given(name)).expect("text");
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let cut =
        (prop::sample::select(all.clone()), any::<prop::sample::Index>()).prop_map(|(line, at)| {
            let chars: Vec<char> = line.chars().collect();
            chars[..at.index(chars.len() + 1)].iter().collect()
        });
    prop_oneof![4 => prop::sample::select(all), 2 => cut, 1 => ".{0,40}"]
}

proptest! {
    #[test]
    fn each_line_is_counted_once(lines in prop::collection::vec(some_line(), 0..120)) {
        let text: String = lines.iter().map(|line| line.replace(['\n', '\r'], " ") + "\n").collect();
        let import = import::read_bytes("lines", text.as_bytes());
        let counted: u64 =
            import.parts.iter().map(|part| part.used + part.not_understood + part.not_read).sum();
        prop_assert_eq!(counted, lines.len() as u64);
        import::difference(&import, &import);
    }
}
