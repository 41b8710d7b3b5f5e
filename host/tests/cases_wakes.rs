//! Wakes, sources that yield, and times by name, against histories worked out by hand.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::schema::{hold, validator};
use common::{MS, Maker, S, file, run, stdout};
use serde_json::Value;
use sleepwalk::analyze::{Analysis, analyze};
use sleepwalk::report::{By, Evidence, Report, Source, SourceKind, Tie, build};
use sleepwalk_trace::record::Reason;

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

fn read(name: &str) -> Analysis {
    analyze(&fs::read(case(name)).expect("the case")).expect("a trace")
}

fn analysis(m: &mut Maker) -> Analysis {
    let all = analyze(&m.finish()).expect("a trace");
    assert_eq!(all.ledger.total_ns(), all.model.duration_ns());
    all
}

fn row<'a>(report: &'a Report, name: &str) -> &'a Source {
    let row = report.sources.iter().find(|source| source.name.text() == name);
    row.unwrap_or_else(|| panic!("{name} has no row"))
}

/// A deep sleep of 30 s that `irq` ends. `early` are activated before `dpm_resume`, `late` in it, and all
/// are released when user space runs again.
fn sleep(m: &mut Maker, irq: (u32, &str), early: &[u32], late: &[u32]) {
    m.down(3, "").phase("machine_suspend", 3, true).phase("machine_suspend", 3, false);
    m.phase("syscore_resume", 0, true).wait(30 * S).suspended += 30 * S;
    m.phase("syscore_resume", 0, false).woken_by(irq.0, irq.1);
    m.phase("dpm_resume_noirq", 16, true).wait(MS);
    for source in early {
        m.activate(*source).wait(MS);
    }
    m.phase("dpm_resume_noirq", 16, false).phase("dpm_resume", 16, true).wait(MS);
    for source in late {
        m.activate(*source).wait(MS);
    }
    m.phase("dpm_resume", 16, false).phase("thaw_processes", 0, true).wait(MS);
    m.phase("thaw_processes", 0, false).returned(0);
    for source in early.iter().chain(late) {
        m.relax(*source);
    }
    m.wait(3 * S).snapshot(Reason::AttemptEnd).commit();
}

/// Name, evidence and tie of each wake's source.
fn wakers(all: &Analysis) -> Vec<(String, Evidence, Option<Tie>)> {
    let report = build(all, By::Name, None);
    let wakes = report.attempts.iter().filter_map(|attempt| attempt.wake.as_ref());
    let waker = |wake: &sleepwalk::report::Wake| {
        let name = wake.source.as_ref().map(|source| source.name.text().into_owned());
        (name.unwrap_or_default(), wake.evidence, wake.tie)
    };
    wakes.map(waker).collect()
}

/// Name, kind, wakes and time after them, of all rows with wakes, by name.
fn ranked(all: &Analysis) -> Vec<(String, SourceKind, u64, u64)> {
    let report = build(all, By::Name, None);
    let woke = report.sources.iter().filter(|source| source.sum.wakes > 0);
    let row =
        |s: &Source| (s.name.text().into_owned(), s.kind, s.sum.wakes, s.sum.after_wake_ns / S);
    let mut rows: Vec<_> = woke.map(row).collect();
    rows.sort();
    rows
}

#[test]
fn a_name_is_held_while_any_of_it_is() {
    let all = read("s02_same_name.swk");
    let report = build(&all, By::Name, None);
    let wlan = row(&report, "wlan");
    assert_eq!((wlan.sum.held_ns, wlan.sum.longest_hold_ns), (6 * S, 6 * S));
    let each: u64 = all.sources.values().map(|source| source.sum.held_ns).sum();
    assert_eq!(each, 8 * S);
    let report = build(&read("x_three_held.swk"), By::Name, None);
    let polls = row(&report, "eventpoll");
    assert_eq!((polls.sum.instances, polls.sum.held_ns), (3, report.session.duration_ns));
    assert_eq!(polls.longest_hold_at_ns, Some(report.session.start_ns));
}

#[test]
fn a_limit_on_held_time_counts_a_name_once() {
    let (_dir, policy) = file(
        b"[capture]\nmin_duration = \"1m\"\nmin_attempts = 0\n[each_source]\nmax_held_percent = 100\n",
    );
    let trace = case("x_three_held.swk");
    let args =
        ["check", trace.to_str().expect("UTF-8"), "--policy", policy.to_str().expect("UTF-8")];
    assert!(run(&args).status.success(), "{}", stdout(&run(&args)));
}

#[test]
fn a_source_that_nobody_waited_for_costs_nothing() {
    let report = build(&read("06_app_wakelock_quiet.swk"), By::Name, None);
    let wlan = row(&report, "wlan");
    assert_eq!((wlan.sum.cost_ns, wlan.sum.held_ns, wlan.sum.longest_hold_ns), (0, 40 * S, 2 * S));
}

#[test]
fn the_order_of_devices_proves_no_waker() {
    let mut m = Maker::full();
    let (battery, rtc) = (m.source(b"battery", 0), m.source(b"rtc0", 0));
    m.snapshot(Reason::Start).wait(S);
    for _ in 0..5 {
        sleep(&mut m, (17, "rtc0"), &[], &[battery, rtc]);
    }
    let all = analysis(&mut m);
    let rtc0 = ("rtc0".to_owned(), Evidence::Proven, Some(Tie::Name));
    assert_eq!(wakers(&all), vec![rtc0; 5]);
    assert_eq!(ranked(&all), [("rtc0".to_owned(), SourceKind::Source, 5, 15)]);
}

#[test]
fn the_interrupt_bears_what_is_only_likely() {
    let mut m = Maker::full();
    let (battery, rtc) = (m.source(b"battery", 0), m.source(b"rtc0", 0));
    m.snapshot(Reason::Start).wait(S);
    // The source of the interrupt's name stays inactive.
    sleep(&mut m, (17, "rtc0"), &[battery], &[]);
    // Nothing ties this one, but devices were resuming.
    sleep(&mut m, (18, "pm8xxx"), &[], &[battery]);
    // A source of another interrupt.
    sleep(&mut m, (18, "pm8xxx"), &[rtc], &[]);
    // The first, before devices resumed.
    sleep(&mut m, (18, "pm8xxx"), &[battery], &[rtc]);
    let all = analysis(&mut m);
    let likely = |name: &str| (name.to_owned(), Evidence::Likely, None);
    let proven = ("battery".to_owned(), Evidence::Proven, None);
    assert_eq!(wakers(&all), [likely("battery"), likely("battery"), likely("rtc0"), proven]);
    let rows = ranked(&all);
    assert_eq!(
        rows,
        [
            ("battery".to_owned(), SourceKind::Source, 1, 3),
            ("pm8xxx".to_owned(), SourceKind::Interrupt, 2, 6),
            ("rtc0".to_owned(), SourceKind::Interrupt, 1, 3),
        ]
    );
    // Each wake counts once.
    assert_eq!(rows.iter().map(|row| row.2).sum::<u64>(), 4);
}

#[test]
fn a_dedicated_wake_interrupt_names_its_device() {
    let mut m = Maker::full();
    let (battery, serial) = (m.source(b"battery", 0), m.source(b"a90000.serial", 0));
    m.snapshot(Reason::Start).wait(S);
    sleep(&mut m, (40, "gpio,a90000.serial:wakeup"), &[battery], &[serial]);
    let proven = ("a90000.serial".to_owned(), Evidence::Proven, Some(Tie::Name));
    assert_eq!(wakers(&analysis(&mut m)), [proven]);
}

#[test]
fn pairs_are_learnt_from_other_wakes() {
    let mut m = Maker::full();
    let [battery, rtc, wlan] = ["battery", "rtc-pl031", "wlan"].map(|n| m.source(n.as_bytes(), 0));
    m.snapshot(Reason::Start).wait(S);
    // The battery's driver reports on every resume, and comes first.
    for _ in 0..3 {
        sleep(&mut m, (17, "alarm"), &[], &[battery, rtc]);
        sleep(&mut m, (44, "pcie"), &[], &[battery, wlan]);
    }
    let all = analysis(&mut m);
    let learnt = |name: &str| (name.to_owned(), Evidence::Proven, Some(Tie::Learnt));
    let pair = [learnt("rtc-pl031"), learnt("wlan")];
    assert_eq!(wakers(&all), [&pair[..], &pair, &pair].concat());
    assert!(ranked(&all).iter().all(|row| row.0 != "battery"));
}

#[test]
fn one_interrupt_alone_teaches_nothing() {
    let mut m = Maker::full();
    let (battery, rtc) = (m.source(b"battery", 0), m.source(b"rtc-pl031", 0));
    m.snapshot(Reason::Start).wait(S);
    for _ in 0..9 {
        sleep(&mut m, (17, "alarm"), &[], &[battery, rtc]);
    }
    // Two other wakes are too few to compare with.
    sleep(&mut m, (44, "pcie"), &[], &[battery]);
    sleep(&mut m, (44, "pcie"), &[], &[battery]);
    let all = analysis(&mut m);
    let likely = ("battery".to_owned(), Evidence::Likely, None);
    assert_eq!(wakers(&all), vec![likely; 11]);
    let rows = ranked(&all);
    assert_eq!(rows[0], ("alarm".to_owned(), SourceKind::Interrupt, 9, 27));
    assert_eq!(rows.len(), 2);
}

#[test]
fn an_eventpoll_wakes_nothing_beside_others() {
    let mut m = Maker::full();
    let (poll, wlan) = (m.source(b"eventpoll", 0), m.source(b"wlan", 0));
    m.snapshot(Reason::Start).wait(S);
    sleep(&mut m, (44, "pcie"), &[poll, wlan], &[]);
    sleep(&mut m, (44, "pcie"), &[poll], &[]);
    let all = analysis(&mut m);
    assert_eq!(wakers(&all)[0], ("wlan".to_owned(), Evidence::Proven, None));
    assert_eq!(wakers(&all)[1].0, "eventpoll");
}

/// Ten wakes by one key, 3 s each.
fn keys() -> Vec<u8> {
    let mut m = Maker::full();
    m.source(b"idle", 0);
    m.snapshot(Reason::Start).wait(S);
    for _ in 0..10 {
        sleep(&mut m, (41, "gpio-keys"), &[], &[]);
    }
    m.finish()
}

#[test]
fn an_interrupt_without_a_source_has_a_row() {
    let (_dir, path) = file(&keys());
    let path = path.to_str().expect("UTF-8");
    let form = |args: &[&str]| stdout(&run(&[&["report", path], args].concat()));
    let json: Value = serde_json::from_str(&form(&["--format", "json"])).expect("JSON");
    let first = &json["sources"][0];
    assert_eq!(
        (&first["name"], &first["kind"], &first["irq"], &first["wakes"]),
        (&"gpio-keys".into(), &"interrupt".into(), &41.into(), &10.into())
    );
    assert!(first["after_wake_ns"].as_u64().is_some_and(|ns| ns >= 30 * S), "{first}");
    for args in [
        &[][..],
        &["--format", "markdown"],
        &["--format", "html"],
        &["--by", "instance"],
        &["--by", "device"],
    ] {
        let text = form(args).replace('`', "");
        assert!(text.contains("irq 41 gpio-keys") || text.contains("irq gpio-keys"), "{args:?}");
    }
    let csv = form(&["--format", "csv", "--table", "sources"]);
    let line = csv.lines().nth(1).expect("a row");
    assert!(line.contains("gpio-keys,interrupt,41,"), "{line}");
}

#[test]
fn an_eventpoll_takes_no_blocked_time() {
    let mut m = Maker::full();
    let (poll, sensors) = (m.source(b"eventpoll", 0), m.source(b"sensors", 0));
    m.snapshot(Reason::Start).wait_begin(7).activate(sensors).activate(poll).wait(3 * S);
    m.relax(sensors).wait(4 * S).relax(poll).wait_end(7).wait(S);
    let all = analysis(&mut m);
    let report = build(&all, By::Name, None);
    let blocked = |name| {
        let sum = row(&report, name).sum;
        (sum.blocked_share_ns, sum.blocked_sole_ns)
    };
    assert_eq!(blocked("sensors"), (Some(3 * S), Some(3 * S)));
    assert_eq!(blocked("eventpoll"), (Some(4 * S), Some(4 * S)));
    // It blocked for longer, and is not the one to look at.
    let blocker = report.findings.iter().find(|finding| finding.kind.key() == "blocker");
    assert_eq!(blocker.expect("a finding").kind.sources()[0].text(), "sensors");
}

#[test]
fn causes_are_in_the_order_of_their_activation() {
    let mut m = Maker::full();
    let [late, early, poll] =
        ["late", "early", "eventpoll"].map(|name| m.source(name.as_bytes(), 0));
    m.snapshot(Reason::Start).wait(S).save(true).wait(MS);
    m.entered_sync(1).wait(2 * MS).activate(poll).activate(early).wait(300 * MS);
    m.activate(late).wait(100 * MS).returned(-16).relax(late).relax(early).relax(poll).wait(S);
    let all = analysis(&mut m);
    let causes: Vec<_> =
        all.attempts[0].causes.iter().map(|cause| (cause.instance, cause.first)).collect();
    assert_eq!(causes, [(early, true), (late, false)]);
    let table = {
        let (_dir, path) = file(&m.bytes);
        stdout(&run(&["report", path.to_str().expect("UTF-8")]))
    };
    assert!(table.contains("early*, late"), "{table}");
}

#[test]
fn active_sources_are_in_the_order_they_came() {
    let mut m = Maker::full();
    let [a, b, c] = ["a", "b", "c"].map(|name| m.source(name.as_bytes(), 0));
    m.snapshot(Reason::Start).activate(c).wait(MS).activate(a).wait(MS).activate(b).wait(MS);
    // The list of active sources is not in order after this.
    m.relax(c).wait(MS).activate(c).wait(S);
    m.entered_sync(1).wait(MS).returned(-16).wait(S);
    let causes = analysis(&mut m).attempts[0].causes.clone();
    let order: Vec<_> = causes.iter().map(|cause| (cause.instance, cause.first)).collect();
    assert_eq!(order, [(a, true), (b, false), (c, false)]);
}

#[test]
fn sources_from_before_the_capture_have_no_order() {
    let mut m = Maker::full();
    let [a, b] = ["a", "b"].map(|name| m.source(name.as_bytes(), 0));
    m.edges = false;
    m.activate(b).activate(a).wait(S);
    m.edges = true;
    m.snapshot(Reason::Start).wait(S);
    m.entered_sync(1).wait(MS).returned(-16).wait(S);
    // One of them is activated again: now they have one.
    m.relax(b).activate(b).wait(S);
    m.entered_sync(1).wait(MS).returned(-16).wait(S);
    let all = analysis(&mut m);
    let first = |attempt: usize| -> Vec<_> {
        all.attempts[attempt].causes.iter().map(|cause| (cause.instance, cause.first)).collect()
    };
    assert_eq!(first(0), [(a, false), (b, false)]);
    assert_eq!(first(1), [(a, true), (b, false)]);
}

#[test]
fn activations_of_a_short_life_count() {
    let mut m = Maker::full();
    let polls = [m.source(b"eventpoll", 0), m.source(b"eventpoll", 0)];
    m.snapshot(Reason::Start).wait(S);
    for _ in 0..5 {
        m.shared(polls[1], polls[0], true).wait(MS).shared(polls[1], polls[0], false).wait(MS);
    }
    // Another one is born and removed between two snapshots: the agent has no number for it.
    m.edge(polls[0], true, true).wait(MS).edge(polls[0], false, true).wait(MS);
    m.snapshot(Reason::Tick).wait(S);
    let report = build(&analysis(&mut m), By::Name, None);
    assert_eq!(row(&report, "eventpoll").sum.activations, 6);
    // After a loss the counters decide.
    m.lost(1).wait(S);
    let report = build(&analysis(&mut m), By::Name, None);
    assert_eq!(row(&report, "eventpoll").sum.activations, 5);
}

#[test]
fn a_device_that_fails_attempts_has_a_row() {
    let all = read("s22_driver_fails.swk");
    let report = build(&all, By::Name, None);
    let device = row(&report, "1d84000.ufshc");
    let failed: u64 = all.attempts.iter().map(|attempt| attempt.duration_ns()).sum();
    assert_eq!((device.kind, device.sum.aborts), (SourceKind::Device, 5));
    assert_eq!((device.sum.abort_ns, device.sum.cost_ns), (failed, failed));
    assert_eq!((all.ledger.aborted_ns, all.ledger.unattributed_ns), (failed, 0));
    let path = case("s22_driver_fails.swk");
    let table = stdout(&run(&["report", path.to_str().expect("UTF-8")]));
    assert!(table.contains("1  device 1d84000.ufshc"), "{table}");
}

#[test]
fn an_interrupt_that_aborts_an_attempt_has_a_row() {
    let mut m = Maker::full();
    m.source(b"idle", 0);
    m.snapshot(Reason::Start).wait(S);
    for armed in [true, false] {
        m.arms = armed;
        m.down(1, "").woken_by(41, "gpio-keys").wait(MS).returned(-16).wait(S);
    }
    let all = analysis(&mut m);
    let report = build(&all, By::Name, None);
    let keys = row(&report, "gpio-keys");
    assert_eq!((keys.kind, keys.sum.aborts, keys.sum.wakes), (SourceKind::Interrupt, 2, 0));
    assert_eq!(keys.sum.abort_ns, all.ledger.aborted_ns);
}

#[test]
fn sources_that_always_overlap_are_a_group() {
    let mut m = Maker::full();
    let [a, b, poll, c] = ["a", "b", "eventpoll", "c"].map(|name| m.source(name.as_bytes(), 0));
    m.snapshot(Reason::Start).wait_begin(7);
    m.activate(a).activate(b).wait(50 * S).activate(poll).wait(50 * S).relax(poll);
    m.relax(a).relax(b).activate(c).wait(20 * S).relax(c).wait_end(7).wait(S);
    let report = build(&analysis(&mut m), By::Name, None);
    let group = report.findings.iter().find(|finding| finding.kind.key() == "blocking_group");
    let group = group.expect("a finding");
    let names: Vec<_> = group.kind.sources().iter().map(|name| name.text()).collect();
    assert_eq!((names, group.gain_ns), (vec!["a".into(), "b".into()], Some(100 * S)));
    let (_dir, path) = file(&m.bytes);
    let path = path.to_str().expect("UTF-8");
    let json = stdout(&run(&["report", path, "--format", "json"]));
    hold(&validator("report.schema.json"), &json);
    let table = stdout(&run(&["report", path]));
    let wanted = "a and b blocked suspend together: fixing all of them would save 1 m 40 s";
    assert!(table.contains(wanted), "{table}");
}

#[test]
fn a_group_says_what_its_members_gain_alone() {
    let mut m = Maker::full();
    let [a, b] = ["a", "b"].map(|name| m.source(name.as_bytes(), 0));
    m.snapshot(Reason::Start).wait_begin(7).activate(a).wait(30 * S).activate(b).wait(60 * S);
    m.relax(a).wait(10 * S).relax(b).wait_end(7).wait(S).finish();
    let (_dir, path) = file(&m.bytes);
    let table = stdout(&run(&["report", path.to_str().expect("UTF-8")])).replace("\n    ", " ");
    assert!(table.contains("would save 1 m 40 s (99.0 %)"), "{table}");
    assert!(table.contains("includes the 40.0 s that fixing them one by one"), "{table}");
    // One source that does nearly all of it is no group.
    let mut m = Maker::full();
    let [a, b] = ["a", "b"].map(|name| m.source(name.as_bytes(), 0));
    m.snapshot(Reason::Start).wait_begin(7).activate(a).wait(95 * S).activate(b).wait(5 * S);
    m.relax(a).relax(b).wait_end(7).wait(S);
    let report = build(&analysis(&mut m), By::Name, None);
    assert!(report.findings.iter().all(|finding| finding.kind.key() != "blocking_group"));
}

#[test]
fn diff_keeps_an_interrupt_and_a_source_apart() {
    let trace = |wakes: usize| {
        let mut m = Maker::full();
        let rtc = m.source(b"rtc0", 0);
        m.snapshot(Reason::Start).wait(S);
        for _ in 0..wakes {
            sleep(&mut m, (17, "rtc0"), &[rtc], &[]);
            // No source was activated: the interrupt bears it.
            sleep(&mut m, (17, "rtc0"), &[], &[]);
            sleep(&mut m, (17, "rtc0"), &[], &[]);
        }
        file(&m.finish())
    };
    let ((_b, before), (_a, after)) = (trace(2), trace(2));
    let path = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
    let args = ["diff", &path(&before), &path(&after), "--format", "json"];
    let json = stdout(&run(&args));
    hold(&validator("diff.schema.json"), &json);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let rows = json["sources"].as_array().expect("rows");
    let wakes = |kind: &str| {
        let row = rows.iter().find(|row| row["kind"] == kind && row["name"] == "rtc0");
        row.and_then(|row| row["wakes"]["before"]["median"].as_f64()).expect("a rate")
    };
    assert!((wakes("interrupt") / wakes("source") - 2.0).abs() < 1e-9, "{json}");
}
