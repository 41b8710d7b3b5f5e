//! Attempts that no source ended: what `suspend_stats` shows about them.

mod common;

use std::path::Path;

use common::{MS, Maker, S, sleepwalk};
use sleepwalk::analyze::{Analysis, analyze};
use sleepwalk::compare::{Trace, check, policy::Policy};
use sleepwalk::report::{
    Attempt, Counted, Evidence, FailedStep, FindingKind, HookKind, HookState, Outcome,
};
use sleepwalk::report::{By, Report, SourceKind, Stage, Warning, build, by_name};
use sleepwalk_trace::record::{HookRun, HookRuns, Reason, Record, SuspendStats, WakeReason};

fn case(name: &str) -> Analysis {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    analyze(&std::fs::read(path).expect("a case")).expect("a trace")
}

fn report(analysis: &Analysis) -> Report {
    build(analysis, By::Name, None)
}

/// Device, step, and outcome of each attempt.
fn failures(analysis: &Analysis) -> Vec<(Option<&str>, Option<FailedStep>, Outcome)> {
    let of = |a: &Attempt| (a.failed_step, a.outcome);
    let all = analysis.attempts.iter();
    all.map(|a| (a.failed_device.as_deref(), of(a).0, of(a).1)).collect()
}

fn blamed(analysis: &Analysis) -> usize {
    analysis.attempts.iter().map(|attempt| attempt.causes.len()).sum()
}

fn kinds(analysis: &Analysis) -> Vec<&'static str> {
    report(analysis).findings.iter().map(|finding| finding.kind.key()).collect()
}

#[test]
fn a_driver_that_is_busy_is_named() {
    let analysis = case("02_driver_ebusy.swk");
    let failed = (Some("xhci-hcd.0.auto"), Some(FailedStep::Suspend), Outcome::Failed);
    assert_eq!(failures(&analysis), [failed; 4]);
    assert_eq!(blamed(&analysis), 0);
    let sources = report(&analysis).sources;
    let mut sources = sources.iter().filter(|s| s.kind == SourceKind::Source);
    assert!(sources.all(|source| source.sum.aborts == 0));
}

#[test]
fn tasks_that_do_not_freeze_are_no_abort() {
    let analysis = case("02b_freeze_failure.swk");
    assert_eq!(failures(&analysis), [(None, Some(FailedStep::Freeze), Outcome::Failed); 3]);
    assert!(analysis.attempts.iter().all(|a| a.freeze_timeout && a.stage == Stage::Freeze));
    assert_eq!(blamed(&analysis), 0);
    assert_eq!(kinds(&analysis)[0], "freeze_timeout");
}

#[test]
fn every_form_names_device_and_step() {
    let path = "tests/cases/04_driver_etimedout.swk";
    let forms = [&["report"][..], &["export", "--to", "jsonl"], &["export", "--to", "perfetto"]];
    let formats = ["json", "csv", "markdown", "html"].map(|format| ["report", "--format", format]);
    for form in forms.into_iter().chain(formats.iter().map(|form| &form[..])) {
        let attempts: &[&str] = if form.contains(&"csv") { &["--table", "attempts"] } else { &[] };
        let output = sleepwalk().args(form).args(attempts).arg(path).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{form:?}");
        let named = text.contains("xhci-hcd.0.auto") && text.contains("suspend");
        assert!(named, "{form:?}");
    }
}

#[test]
fn a_driver_that_times_out_is_found() {
    let analysis = case("04_driver_etimedout.swk");
    let failed = (Some("xhci-hcd.0.auto"), Some(FailedStep::Suspend), Outcome::Failed);
    assert_eq!(failures(&analysis), [failed; 4]);
    let found = report(&analysis).findings.into_iter().find_map(|finding| match finding.kind {
        FindingKind::DeviceFailed { device, failed, errno, .. } => Some((device, failed, errno)),
        _ => None,
    });
    let (device, failed, errno) = found.expect("a finding");
    assert_eq!((&device.text()[..], failed, errno), ("xhci-hcd.0.auto", 4, Some(-110)));
}

#[test]
fn a_driver_that_fails_is_found() {
    let analysis = case("s22_driver_fails.swk");
    let failed = (Some("1d84000.ufshc"), Some(FailedStep::Suspend), Outcome::Failed);
    assert_eq!(failures(&analysis), [failed; 5]);
    assert!(kinds(&analysis).contains(&"device_failed"));
}

/// The counts of the kernel, written after attempts as the agent does.
struct Kernel {
    m: Maker,
    counts: [u64; 5],
    device: &'static str,
}

const COUNTERS: [&str; 5] = ["success", "fail", "failed_freeze", "failed_suspend", "failed_resume"];

impl Kernel {
    /// `before`: failures of devices before the trace, the last of which has this name.
    fn new(m: Maker, before: u64, device: &'static str) -> Self {
        let mut kernel = Self { m, counts: [7, before, 0, before, 0], device };
        kernel.record(0..5, "");
        kernel
    }

    fn record(&mut self, which: std::ops::Range<usize>, device: &str) {
        let counters = which.map(|i| (self.m.text(COUNTERS[i].as_bytes()), self.counts[i]));
        let counters = counters.collect();
        let [last_device, last_step] = [device, ""].map(|text| self.m.text(text.as_bytes()));
        let stats = SuspendStats { counters, last_device, last_errno: 0, last_step };
        self.m.push(Record::SuspendStats(stats));
    }

    /// The agent reads them.
    fn read(&mut self) -> &mut Self {
        let device = self.device;
        self.m.wait(MS);
        self.record(0..5, device);
        self.m.wait(MS);
        self
    }

    /// An attempt that fails in `dpm_suspend`; by a device, or else by a wakeup.
    fn fail(&mut self, errno: i32, device: Option<&'static str>) -> &mut Self {
        self.m.down(3, "dpm_suspend_late").wait(MS).returned(errno).wait(S);
        self.counts[1] += 1;
        self.counts[3] += 1;
        self.device = device.unwrap_or(self.device);
        self
    }

    fn analysis(&mut self) -> Analysis {
        analyze(&self.m.finish()).expect("a trace")
    }
}

fn busy_maker() -> (Maker, u32) {
    let mut m = Maker::full();
    let source = m.source(b"modem", 0);
    m.snapshot(Reason::Start);
    (m, source)
}

#[test]
fn a_wakeup_leaves_the_name_of_an_old_failure() {
    let (m, modem) = busy_maker();
    let mut kernel = Kernel::new(m, 0, "");
    kernel.fail(-5, Some("ufs")).read();
    // The count was written, and the source came up in the attempt: the kernel saw its event.
    kernel.m.wait_begin(1).wait(MS).wait_end(1).save(true).activate(modem);
    kernel.fail(-16, None);
    kernel.m.relax(modem);
    let analysis = kernel.read().analysis();
    assert_eq!(failures(&analysis)[0], (Some("ufs"), Some(FailedStep::Suspend), Outcome::Failed));
    assert_eq!(failures(&analysis)[1], (None, Some(FailedStep::Suspend), Outcome::Aborted));
    assert_eq!(analysis.attempts[1].causes[0].evidence, Evidence::Proven);
}

#[test]
fn another_name_is_a_device_whatever_was_active() {
    let (m, modem) = busy_maker();
    let mut kernel = Kernel::new(m, 0, "");
    kernel.m.wait_begin(1).wait(MS).wait_end(1).save(true).activate(modem);
    let analysis = kernel.fail(-16, Some("touch_spi0")).read().analysis();
    let failed = (Some("touch_spi0"), Some(FailedStep::Suspend), Outcome::Failed);
    assert_eq!(failures(&analysis), [failed]);
    assert_eq!(blamed(&analysis), 0);
}

#[test]
fn a_name_from_before_the_trace_proves_nothing() {
    let (m, modem) = busy_maker();
    let mut kernel = Kernel::new(m, 1, "touch_spi0");
    kernel.m.wait_begin(1).wait(MS).wait_end(1).save(true).activate(modem);
    let analysis = kernel.fail(-16, None).read().analysis();
    assert_eq!(failures(&analysis), [(None, Some(FailedStep::Suspend), Outcome::Aborted)]);
    assert_eq!(blamed(&analysis), 1);
}

#[test]
fn an_interrupt_may_abort_without_a_source() {
    let (m, _) = busy_maker();
    let mut kernel = Kernel::new(m, 1, "touch_spi0");
    kernel.m.down(3, "dpm_suspend_late").woken_by(9, "rtc").wait(MS).returned(-16);
    kernel.counts[1] += 1;
    kernel.counts[3] += 1;
    let analysis = kernel.read().analysis();
    assert_eq!(failures(&analysis), [(None, Some(FailedStep::Suspend), Outcome::Aborted)]);
}

#[test]
fn a_storm_names_only_its_last_failure() {
    let (m, _) = busy_maker();
    let mut kernel = Kernel::new(m, 0, "");
    kernel.fail(-5, Some("first")).fail(-5, Some("ufs")).read();
    let analysis = kernel.analysis();
    let step = Some(FailedStep::Suspend);
    let expected = [(None, step, Outcome::Failed), (Some("ufs"), step, Outcome::Failed)];
    assert_eq!(failures(&analysis), expected);
}

#[test]
fn a_storm_of_busy_attempts_claims_no_device() {
    let (m, modem) = busy_maker();
    let mut kernel = Kernel::new(m, 0, "");
    for device in [Some("ufs"), None] {
        kernel.m.wait_begin(1).wait(MS).wait_end(1).save(true).activate(modem);
        kernel.fail(-16, device);
        kernel.m.relax(modem);
    }
    let analysis = kernel.read().analysis();
    assert!(failures(&analysis).iter().all(|(device, _, _)| device.is_none()));
    assert_eq!(analysis.counted.map(|c| c.agree()), Some(true));
}

#[test]
fn a_device_that_fails_to_resume_fails_no_attempt() {
    let (m, modem) = busy_maker();
    let mut kernel = Kernel::new(m, 0, "");
    kernel.m.sleep(10 * S, Some(modem));
    kernel.counts[0] += 1;
    kernel.counts[4] += 1;
    kernel.device = "panel";
    let analysis = kernel.read().analysis();
    assert_eq!(failures(&analysis), [(Some("panel"), Some(FailedStep::Resume), Outcome::Slept)]);
}

/// An attempt whose freeze takes so long, with an activation so long before its end.
fn frozen(took: u64, before_end: u64) -> Analysis {
    let (mut m, modem) = busy_maker();
    m.wait(S).wait_begin(1).wait(MS).wait_end(1).save(true);
    m.phase("suspend_enter", 3, true).wait(MS).phase("freeze_processes", 0, true);
    m.wait(took - before_end).activate(modem).wait(before_end);
    m.phase("freeze_processes", 0, false).wait(MS).returned(-16).relax(modem);
    analyze(&m.wait(S).finish()).expect("a trace")
}

#[test]
fn a_freeze_that_goes_on_was_not_aborted() {
    for (took, before_end, outcome, blamed_sources) in [
        (20_003 * MS, 5 * S, Outcome::Failed, 0),
        // The event may have come right at the limit.
        (20_003 * MS, 10 * MS, Outcome::Aborted, 1),
        (19 * S, 10 * MS, Outcome::Aborted, 1),
        // A wakeup would have ended it sooner, so the limit is lower than usual.
        (19 * S, 5 * S, Outcome::Failed, 0),
        (100 * MS, 90 * MS, Outcome::Aborted, 1),
    ] {
        let analysis = frozen(took, before_end);
        let found = (analysis.attempts[0].outcome, blamed(&analysis));
        assert_eq!(found, (outcome, blamed_sources), "{took} {before_end}");
        assert_eq!(analysis.attempts[0].freeze_timeout, outcome == Outcome::Failed);
    }
    assert_eq!(frozen(20_003 * MS, 10 * MS).attempts[0].causes[0].evidence, Evidence::Likely);
    assert_eq!(frozen(19 * S, 10 * MS).attempts[0].causes[0].evidence, Evidence::Proven);
}

#[test]
fn no_wakeup_is_seen_while_devices_prepare() {
    let (mut m, modem) = busy_maker();
    m.activate(modem).down(3, "dpm_suspend").wait(MS).returned(-16);
    let analysis = analyze(&m.wait(S).finish()).expect("a trace");
    assert_eq!((analysis.attempts[0].outcome, blamed(&analysis)), (Outcome::Failed, 0));
}

fn reason(m: &mut Maker, irq: Option<u32>, reason: &[u8], freeze_timeout_ms: Option<u32>) {
    let reason = reason.to_vec();
    m.push(Record::WakeReason(WakeReason { irq, reason, freeze_timeout_ms }));
}

#[test]
fn a_shorter_limit_of_the_freeze_counts() {
    // Without activations it is unknown whether there was a wakeup.
    for (limit, outcome) in [(Some(2_000), Outcome::Failed), (None, Outcome::Aborted)] {
        let mut m = Maker::new();
        m.snapshot(Reason::Start);
        reason(&mut m, None, b"", limit);
        m.wait(S).phase("suspend_enter", 3, true).phase("freeze_processes", 0, true);
        m.wait(2_004 * MS).phase("freeze_processes", 0, false).returned(-16);
        let analysis = analyze(&m.wait(S).finish()).expect("a trace");
        let attempt = &analysis.attempts[0];
        assert_eq!((attempt.outcome, attempt.freeze_timeout), (outcome, limit.is_some()));
    }
}

#[test]
fn the_kernels_interrupt_replaces_a_dead_hook() {
    let (mut m, modem) = busy_maker();
    m.sleep(10 * S, Some(modem)).wait(MS);
    reason(&mut m, Some(57), b"57 rtc\x1b\xff", None);
    // An attempt that ended before the freeze has no interrupt of its own.
    m.relax(modem).wait(S).aborted_in_sync(modem, MS);
    reason(&mut m, Some(57), b"Abort: modem", None);
    let analysis = analyze(&m.wait(S).finish()).expect("a trace");
    assert_eq!(states(&analysis), ["wake"]);
    let [slept, aborted] = &analysis.attempts[..] else { panic!("{:?}", analysis.attempts) };
    assert_eq!(slept.wake.as_ref().and_then(|wake| wake.irq), Some(57));
    assert_eq!(slept.resume_reason.as_deref(), Some("57 rtc\x1b\u{fffd}"));
    assert_eq!(aborted.resume_reason.as_deref(), Some("Abort: modem"));
}

#[test]
fn missed_runs_are_a_warning() {
    let (mut m, _) = busy_maker();
    let run = |what: &str, missed| HookRun { what: what.to_owned(), runs: None, missed };
    let hooks = vec![run("edge", Some(3)), run("wait", Some(0)), run("wake", None)];
    m.push(Record::HookRuns(HookRuns { hooks }));
    let report = report(&analyze(&m.wait(S).finish()).expect("a trace"));
    let missed = Warning::MissedRuns { what: HookKind::Edge, missed: 3 };
    assert_eq!(report.session.warnings(), [missed]);
}

fn counted(analysis: &Analysis) -> (u64, u64, u64, u64) {
    let Counted { kernel_success, kernel_fail, returned_success, returned_fail } =
        analysis.counted.expect("counts");
    (kernel_success, kernel_fail, returned_success, returned_fail)
}

fn miscounted(analysis: &Analysis) -> bool {
    let warnings = report(analysis).session.warnings();
    warnings.iter().any(|warning| matches!(warning, Warning::Counts(_)))
}

#[test]
fn the_kernels_counts_are_held_against_ours() {
    let (m, modem) = busy_maker();
    let mut kernel = Kernel::new(m, 0, "");
    kernel.m.sleep(10 * S, Some(modem));
    kernel.counts[0] += 1;
    kernel.read().fail(-5, Some("ufs")).read();
    // One return is missing, and later ones are right.
    kernel.counts[1] += 1;
    kernel.read().fail(-5, Some("ufs")).read().fail(-5, Some("ufs")).read();
    let analysis = kernel.analysis();
    assert_eq!(counted(&analysis), (1, 4, 1, 3));
    assert!(miscounted(&analysis));
    let last = failures(&analysis).pop().expect("attempts");
    assert_eq!(last, (Some("ufs"), Some(FailedStep::Suspend), Outcome::Failed));
}

#[test]
fn a_reading_may_come_late_or_early() {
    let (m, _) = busy_maker();
    let mut kernel = Kernel::new(m, 0, "");
    // Counted before its return is in the trace.
    kernel.counts[1] += 1;
    kernel.counts[3] += 1;
    kernel.device = "ufs";
    kernel.m.down(3, "dpm_suspend_late").wait(MS);
    kernel.read().m.returned(-5);
    kernel.m.wait(S);
    kernel.fail(-5, Some("ufs")).fail(-5, Some("ufs")).read();
    let analysis = kernel.analysis();
    assert_eq!((counted(&analysis), miscounted(&analysis)), ((0, 3, 0, 3), false));
}

#[test]
fn nothing_is_counted_across_a_loss() {
    let (m, _) = busy_maker();
    let mut kernel = Kernel::new(m, 0, "");
    kernel.fail(-5, Some("ufs")).read();
    kernel.counts[1] += 5;
    kernel.m.lost(20).snapshot(Reason::Lost);
    kernel.read().fail(-5, Some("ufs")).read();
    let analysis = kernel.analysis();
    assert_eq!((counted(&analysis), miscounted(&analysis)), ((0, 2, 0, 2), false));
}

#[test]
fn a_gate_does_not_pass_on_counts_in_doubt() {
    let policy = "[capture]\nmin_duration = \"1s\"\nmin_attempts = 1\n[session]\nmax_failed = 9\n";
    let policy = Policy::parse(policy).expect("a policy");
    for (missed, passed) in [(0, true), (1, false)] {
        let (m, _) = busy_maker();
        let mut kernel = Kernel::new(m, 0, "");
        kernel.fail(-5, Some("ufs")).read();
        kernel.counts[1] += missed;
        let analysis = kernel.read().analysis();
        let trace =
            Trace { file: "t".to_owned(), by_name: by_name(&analysis), report: report(&analysis) };
        assert_eq!(check::check("p", &policy, &[trace]).passed, passed, "{missed} missed");
    }
}

fn states(analysis: &Analysis) -> Vec<String> {
    let hooks = report(analysis).session.hooks;
    let dead = hooks.into_iter().filter(|hook| hook.state == HookState::Dead);
    dead.map(|hook| hook.what.to_string()).collect()
}

#[test]
fn a_hook_without_returns_is_dead() {
    let (m, _) = busy_maker();
    let mut kernel = Kernel::new(m, 0, "");
    kernel.counts[1] += 1;
    kernel.m.down(3, "dpm_suspend_late").wait(10 * S);
    let analysis = kernel.read().analysis();
    assert_eq!(states(&analysis), ["return"]);
    assert!(!report(&analysis).session.watched(&HookKind::Return));
    let warnings = report(&analysis).session.warnings();
    assert!(warnings.contains(&Warning::DeadHook(HookKind::Return)));
}

#[test]
fn a_hook_without_phases_is_dead() {
    let (mut m, _) = busy_maker();
    m.wait(S).returned(0).wait(S).returned(-16);
    let analysis = analyze(&m.wait(S).finish()).expect("a trace");
    assert_eq!(states(&analysis), ["phase"]);
    assert_eq!(analysis.attempts[0].outcome, Outcome::Unfinished);
}

#[test]
fn a_hook_without_edges_is_dead() {
    let (mut m, modem) = busy_maker();
    m.edges = false;
    m.wait_begin(412).wait(S).activate(modem).wait(5 * S).relax(modem).wait_end(412);
    m.wait(S).snapshot(Reason::Tick);
    let analysis = analyze(&m.wait(S).finish()).expect("a trace");
    assert_eq!(states(&analysis), ["edge"]);
    assert_eq!((analysis.ledger.blocked_ns, analysis.ledger.not_trying_ns), (None, None));
    assert!(!report(&analysis).session.edges);
}

#[test]
fn a_hook_without_waits_is_dead() {
    let (mut m, _) = busy_maker();
    for _ in 0..2 {
        m.wait(S).save(true).down(1, "dpm_prepare").returned(-5);
    }
    let analysis = analyze(&m.wait(S).finish()).expect("a trace");
    assert_eq!(states(&analysis), ["wait"]);
    assert_eq!((analysis.ledger.blocked_ns, analysis.ledger.not_trying_ns), (None, None));
}

#[test]
fn a_hook_without_count_writes_is_dead() {
    let (mut m, _) = busy_maker();
    m.arms = false;
    for _ in 0..2 {
        m.wait(S).wait_begin(1).wait(S).wait_end(1).down(1, "dpm_prepare").returned(-5);
    }
    let analysis = analyze(&m.wait(S).finish()).expect("a trace");
    assert_eq!(states(&analysis), ["count_write"]);
}

#[test]
fn a_quiet_session_has_no_dead_hook() {
    let (mut m, _) = busy_maker();
    let analysis = analyze(&m.wait(60 * S).finish()).expect("a trace");
    assert!(states(&analysis).is_empty());
}
