//! Traces checked against a policy: a gate.
//!
//! Every trace is judged on its own: a bad night does not hide among good ones. Rates are per hour of
//! the session and not per hour awake, because a device that sleeps better has fewer hours awake and
//! must not look worse for it.
//!
//! A limit is broken only where the trace proves it: an event or two in a short session do not prove a
//! rate, and time whose reason is unknown may belong to any line.

use serde::Serialize;

use super::noise::at_least;
use super::policy::{Confidence, Glob, Percent, Policy, Rate, SourceLimits, Unknown};
use super::{Trace, flaws};
use crate::report::{HookKind, Name, Outcome, Source};

/// Names the keys and their meaning.
pub const SCHEMA: &str = "sleepwalk.check/2";

/// The result of checking traces against a policy.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// No limit is broken, and none is unknown unless the policy lets that pass.
    pub passed: bool,
    /// The policy's file, as named on the command line.
    pub policy: String,
    /// The policy's confidence, from 0 to below 1.
    pub confidence: f64,
    /// Every trace.
    pub traces: Vec<Judged>,
    /// Patterns that match no source of any trace.
    pub unused: Vec<String>,
}

/// One trace, judged.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// The file, as named on the command line.
    pub trace: String,
    /// Model of the device.
    pub device: String,
    /// Length of the session.
    pub duration_ns: u64,
    /// Suspend attempts.
    pub attempts: u64,
    /// Limits that were kept.
    pub kept: u64,
    /// Limits that were broken.
    pub broken: Vec<Check>,
    /// Limits that the value exceeds, within noise: they pass.
    pub within_noise: Vec<Check>,
    /// Limits that the trace has no data for, or not enough to judge.
    pub unknown: Vec<Check>,
}

/// One limit and one value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The limit's key, with its table.
    pub limit: String,
    /// The source that it limits; null where it limits the whole trace.
    pub source: Option<Name>,
    /// The measured value; null where the trace has no data for it.
    pub value: Option<f64>,
    /// The lower end of the confidence interval of a rate; null for other values.
    pub at_least: Option<f64>,
    /// The limit.
    pub bound: f64,
    /// The unit of both.
    pub unit: Unit,
    /// Why the value is unknown, or what is missing from the trace.
    pub why: Option<String>,
}

/// The unit of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Per cent of the session.
    Percent,
    /// Per hour of the session.
    PerHour,
    /// A count.
    Count,
    /// Seconds.
    Seconds,
}

/// Checks each of `traces` against `policy`, whose file is `name`.
pub fn check(name: &str, policy: &Policy, traces: &[Trace]) -> Verdict {
    let traces: Vec<_> = traces.iter().map(|trace| (trace, judge(policy, trace))).collect();
    let lenient = policy.unknown == Unknown::Pass;
    let good = |t: &Judged| t.broken.is_empty() && (lenient || t.unknown.is_empty());
    let globs = policy.benign.iter().chain(policy.source.iter().map(|named| &named.name));
    let unused = globs.filter(|glob| {
        let mut sources = traces.iter().flat_map(|(trace, _)| &trace.by_name);
        !sources.any(|source| glob.fits(&source.name.text()))
    });
    Verdict {
        schema: SCHEMA,
        // No trace, no pass.
        passed: !traces.is_empty() && traces.iter().all(|(_, judged)| good(judged)),
        policy: name.to_owned(),
        confidence: policy.confidence.0,
        unused: unused.map(|glob| glob.text().to_owned()).collect(),
        traces: traces.into_iter().map(|(_, judged)| judged).collect(),
    }
}

const UNHOOKED: &str = "suspend attempts were not recorded";
const UNRETURNED: &str = "the return values of attempts were not recorded";
const MISCOUNTED: &str = "the kernel counted other attempts than the trace has";
const NO_EDGES: &str =
    "activations or waits (for user space also writes of wakeup_count) were not recorded";
const NO_LENGTH: &str = "the session has no length";
const NO_POWER: &str = "no power supply was read";

/// A value, or why there is none.
type Known<T> = Result<T, &'static str>;

/// A value, and how far the trace bounds it.
#[derive(Clone, Copy)]
struct Measured {
    value: f64,
    /// It is at least this.
    least: f64,
    /// It is at most this, as far as unknown time is concerned.
    most: f64,
}

impl Measured {
    fn exact(value: f64) -> Self {
        Self { value, least: value, most: value }
    }
}

fn judge(policy: &Policy, trace: &Trace) -> Judged {
    let session = &trace.report.session;
    let mut judge = Judge {
        trace,
        confidence: policy.confidence,
        out: Judged {
            trace: trace.file.clone(),
            device: session.device.clone(),
            duration_ns: session.duration_ns,
            attempts: trace.report.attempts.len() as u64,
            kept: 0,
            broken: Vec::new(),
            within_noise: Vec::new(),
            unknown: Vec::new(),
        },
    };
    judge.capture(policy);
    judge.session(policy);
    judge.sources(policy);
    judge.out
}

struct Judge<'a> {
    trace: &'a Trace,
    confidence: Confidence,
    out: Judged,
}

impl Judge<'_> {
    fn capture(&mut self, policy: &Policy) {
        let (limits, session) = (&policy.capture, &self.trace.report.session);
        let seconds = session.duration_ns as f64 / 1e9;
        let bound = (limits.min_duration.0, Unit::Seconds);
        self.least("capture.min_duration", Ok(Measured::exact(seconds)), bound);
        let attempts = self.counted(self.trace.report.attempts.len() as u64, &[HookKind::Phase]);
        let bound = (limits.min_attempts as f64, Unit::Count);
        self.least("capture.min_attempts", attempts, bound);
        let lost = Ok(Measured::exact(session.lost_events as f64));
        self.most("capture.max_lost_events", None, lost, counts(Some(limits.max_lost_events)));
        if limits.whole {
            let flaws = flaws(session);
            let why = (!flaws.is_empty()).then(|| flaws.join(", "));
            let check = at("capture.whole", None, 0.0, Unit::Count);
            let value = Some(flaws.len() as f64);
            let check = Check { value, why, ..check };
            if flaws.is_empty() { self.out.kept += 1 } else { self.out.broken.push(check) }
        }
        let charger = self.trace.report.power.charger_ns.ok_or(NO_POWER);
        let charger = charger.and_then(|ns| self.share(ns));
        self.most(
            "capture.max_charger_percent",
            None,
            charger,
            percent(limits.max_charger_percent),
        );
    }

    fn session(&mut self, policy: &Policy) {
        let (limits, report) = (&policy.session, &self.trace.report);
        let ledger = &report.ledger;
        let outcomes = [HookKind::Phase, HookKind::Return];
        let awake = self.trace.awake_ns().ok_or(UNHOOKED).and_then(|ns| self.share(ns));
        let blocked = self.share_or_more(ledger.blocked_ns);
        let user_space = self.share_or_more(ledger.user_space_ns);
        let backoff = self.share_or_more(ledger.backoff_ns);
        let not_trying = self.share_or_more(ledger.not_trying_ns);
        let unattributed = self.share(ledger.unattributed_ns);
        let aborts = self.rate(report.count(Outcome::Aborted), &outcomes);
        let wakes = self.rate(report.count(Outcome::Slept), &[HookKind::Phase]);
        let no_sleep = self.counted(report.count(Outcome::NoSleep), &outcomes);
        let failed = self.counted(report.count(Outcome::Failed), &outcomes);
        for (key, value, bound) in [
            ("max_awake_percent", awake, percent(limits.max_awake_percent)),
            ("max_blocked_percent", blocked, percent(limits.max_blocked_percent)),
            ("max_user_space_percent", user_space, percent(limits.max_user_space_percent)),
            ("max_backoff_percent", backoff, percent(limits.max_backoff_percent)),
            ("max_not_trying_percent", not_trying, percent(limits.max_not_trying_percent)),
            ("max_unattributed_percent", unattributed, percent(limits.max_unattributed_percent)),
            ("max_aborts_per_hour", aborts, per_hour(limits.max_aborts_per_hour)),
            ("max_wakes_per_hour", wakes, per_hour(limits.max_wakes_per_hour)),
            ("max_no_sleep", no_sleep, counts(limits.max_no_sleep)),
            ("max_failed", failed, counts(limits.max_failed)),
        ] {
            self.most(&format!("session.{key}"), None, value, bound);
        }
    }

    fn sources(&mut self, policy: &Policy) {
        let trace = self.trace;
        for source in &trace.by_name {
            let fits = |glob: &Glob| glob.fits(&source.name.text());
            let named = policy.source.iter().find(|named| fits(&named.name));
            let benign = policy.benign.iter().any(fits);
            match named {
                Some(named) => {
                    let table = format!("source[{}]", named.name.text());
                    self.source(&table, source, &named.limits());
                }
                None if benign => {}
                None => self.source("each_source", source, &policy.each_source),
            }
        }
    }

    fn source(&mut self, table: &str, source: &Source, limits: &SourceLimits) {
        let sum = &source.sum;
        let blocked = self.share_or_more(sum.blocked_share_ns);
        let held = self.share(sum.held_ns);
        let aborts = self.rate(sum.aborts, &[HookKind::Phase, HookKind::Return]);
        let wakes = self.rate(sum.wakes, &[HookKind::Phase]);
        for (key, value, bound) in [
            ("max_blocked_percent", blocked, percent(limits.max_blocked_percent)),
            ("max_held_percent", held, percent(limits.max_held_percent)),
            ("max_aborts_per_hour", aborts, per_hour(limits.max_aborts_per_hour)),
            ("max_wakes_per_hour", wakes, per_hour(limits.max_wakes_per_hour)),
        ] {
            self.most(&format!("{table}.{key}"), Some(&source.name), value, bound);
        }
    }

    /// Whether all of these were watched.
    fn watched(&self, hooks: &[HookKind]) -> Result<(), &'static str> {
        let session = &self.trace.report.session;
        let counts = session.attempt_counts.is_none_or(|counts| counts.agree());
        match hooks.iter().find(|hook| !session.watched(hook)) {
            None if counts => Ok(()),
            None => Err(MISCOUNTED),
            Some(HookKind::Return) => Err(UNRETURNED),
            Some(_) => Err(UNHOOKED),
        }
    }

    fn counted(&self, n: u64, hooks: &[HookKind]) -> Known<Measured> {
        self.watched(hooks).map(|()| Measured::exact(n as f64))
    }

    fn percent(&self, ns: u64) -> Known<f64> {
        let whole = self.trace.report.session.duration_ns;
        if whole == 0 { Err(NO_LENGTH) } else { Ok(ns as f64 / whole as f64 * 100.0) }
    }

    fn share(&self, ns: u64) -> Known<Measured> {
        self.percent(ns).map(Measured::exact)
    }

    /// The share of a line of the ledger, to which unknown time may belong too.
    fn share_or_more(&self, ns: Option<u64>) -> Known<Measured> {
        let ns = ns.ok_or(NO_EDGES)?;
        let unknown_ns = self.trace.report.ledger.unknown_ns;
        let most = self.percent(ns.saturating_add(unknown_ns))?;
        Ok(Measured { most, ..Measured::exact(self.percent(ns)?) })
    }

    fn rate(&self, n: u64, hooks: &[HookKind]) -> Known<Measured> {
        self.watched(hooks)?;
        let hours = self.trace.report.session.duration_ns as f64 / 3_600e9;
        if hours <= 0.0 {
            return Err(NO_LENGTH);
        }
        let least = at_least(n, self.confidence.0) / hours;
        Ok(Measured { least, ..Measured::exact(n as f64 / hours) })
    }

    fn most(
        &mut self,
        limit: &str,
        source: Option<&Name>,
        measured: Known<Measured>,
        bound: Option<Bound>,
    ) {
        let Some((bound, unit)) = bound else { return };
        let check = at(limit, source, bound, unit);
        let Measured { value, least, most } = match measured {
            Ok(measured) => measured,
            Err(why) => return self.unknown(check, why),
        };
        let at_least = (unit == Unit::PerHour).then_some(least);
        let check = Check { value: Some(value), at_least, ..check };
        if least > bound {
            self.out.broken.push(check);
        } else if value > bound {
            self.out.within_noise.push(check);
        } else if most > bound {
            let unknown = most - value;
            let why = format!("the reason is unknown for {unknown:.1} % of the session");
            self.unknown(check, &why);
        } else {
            self.out.kept += 1;
        }
    }

    fn least(&mut self, limit: &str, measured: Known<Measured>, (bound, unit): Bound) {
        let check = at(limit, None, bound, unit);
        match measured {
            Err(why) => self.unknown(check, why),
            Ok(Measured { value, .. }) if value >= bound => self.out.kept += 1,
            Ok(Measured { value, .. }) => {
                self.out.broken.push(Check { value: Some(value), ..check });
            }
        }
    }

    /// A limit that is unknown is listed once, not for each source.
    fn unknown(&mut self, check: Check, why: &str) {
        if !self.out.unknown.iter().any(|known| known.limit == check.limit) {
            let value = check.value.filter(|_| check.source.is_none());
            let why = Some(why.to_owned());
            self.out.unknown.push(Check { source: None, value, why, ..check });
        }
    }
}

/// A limit and its unit.
type Bound = (f64, Unit);

fn percent(limit: Option<Percent>) -> Option<Bound> {
    limit.map(|limit| (limit.0, Unit::Percent))
}

fn per_hour(limit: Option<Rate>) -> Option<Bound> {
    limit.map(|limit| (limit.0, Unit::PerHour))
}

fn counts(limit: Option<u64>) -> Option<Bound> {
    limit.map(|limit| (limit as f64, Unit::Count))
}

fn at(limit: &str, source: Option<&Name>, bound: f64, unit: Unit) -> Check {
    let (limit, source) = (limit.to_owned(), source.cloned());
    Check { limit, source, value: None, at_least: None, bound, unit, why: None }
}
