//! Conclusions in plain words, each with a number and with how it is known.
//!
//! Names in the words are escaped for a terminal; who shows them elsewhere escapes the words again,
//! as that place needs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Analysis;
use super::attempts::{Attempt, Evidence, Outcome};
use super::ledger::Charge;
use crate::text::{escape, fit};
use crate::units::{count, errno, percent, time};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// At least a tenth of the session is at stake, or of what the report says.
    High,
    /// At least a hundredth.
    Medium,
    /// Less.
    Low,
}

/// A conclusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The words.
    pub text: String,
    /// The names of the sources concerned, as the kernel has them where they are UTF-8.
    pub sources: Vec<String>,
    /// What mending it would gain.
    pub gain_ns: Option<u64>,
}

/// So many times make a habit.
const AGAIN: usize = 3;
/// So many attempts in a row that did not sleep, each soon after the other, make a storm.
const STORM: usize = 5;
/// What concerns less than one in so many attempts or sleeps is no habit.
const RARELY: u64 = 20;
/// That soon.
const SOON_NS: u64 = 2_000_000_000;
/// So many wakes in step make a pattern.
const PATTERN: usize = 4;

/// All that can be concluded, the most important first.
pub fn findings(analysis: &Analysis) -> Vec<Finding> {
    let finder = Finder { analysis, whole_ns: analysis.model.duration_ns() };
    let charges = analysis.charges_by_name();
    let mut findings = Vec::new();
    findings.extend(finder.blocker(&charges));
    findings.extend(finder.aborters(&charges));
    findings.extend(finder.wakers());
    findings.extend(finder.never_slept());
    findings.extend(finder.storms());
    findings.extend(finder.refusals());
    findings.extend(finder.not_trying());
    findings.extend(finder.untold());
    findings.extend(finder.charger());
    findings.extend(finder.lost());
    findings.extend(finder.late());
    // Those of equal weight by what they gain, else as they stand above.
    findings.sort_by_key(|finding| (finding.severity, Reverse(finding.gain_ns)));
    findings
}

struct Finder<'a> {
    analysis: &'a Analysis,
    whole_ns: u64,
}

impl Finder<'_> {
    /// By the part of the session that is at stake.
    fn severity(&self, ns: u64) -> Severity {
        match self.whole_ns {
            whole if ns >= whole.div_ceil(10) => Severity::High,
            whole if ns >= whole.div_ceil(100) => Severity::Medium,
            _ => Severity::Low,
        }
    }

    /// A time, and how much of the session it is.
    fn part(&self, ns: u64) -> String {
        format!("{} ({})", time(ns), percent(ns, self.whole_ns))
    }

    fn blocker(&self, charges: &BTreeMap<&[u8], Charge>) -> Option<Finding> {
        let blocked_ns = self.analysis.ledger.blocked_ns?;
        let (name, top) = charges.iter().max_by_key(|(name, charge)| {
            (charge.blocked_share_ns, charge.blocked_sole_ns, Reverse(**name))
        })?;
        if top.blocked_share_ns == 0 {
            return None;
        }
        let alone = match top.blocked_sole_ns {
            0 => "never alone: mending it alone gains nothing".to_owned(),
            sole if time(sole) == time(top.blocked_share_ns) => {
                "all of it alone: mending it gains that".to_owned()
            }
            sole => format!("{} of it alone: mending it gains that much", time(sole)),
        };
        Some(Finding {
            // Many small blockers are a large matter: this is where to begin.
            severity: self.severity(top.blocked_share_ns).min(match self.severity(blocked_ns) {
                Severity::Low => Severity::Low,
                _ => Severity::Medium,
            }),
            text: format!(
                "{} blocked suspend the longest: {} of the {} blocked, {alone}.",
                shown(name),
                self.part(top.blocked_share_ns),
                time(blocked_ns),
            ),
            sources: vec![plain(name)],
            gain_ns: Some(top.blocked_sole_ns),
        })
    }

    /// Sources that abort attempts again and again.
    fn aborters(&self, charges: &BTreeMap<&[u8], Charge>) -> Vec<Finding> {
        let attempts = &self.analysis.attempts;
        let habit =
            |aborts: u64| aborts >= AGAIN as u64 && aborts >= attempts.len() as u64 / RARELY;
        let mut again: Vec<_> = charges.iter().filter(|(_, charge)| habit(charge.aborts)).collect();
        again.sort_by_key(|(name, charge)| (Reverse(charge.aborts), **name));
        let finding = |(name, charge): (&&[u8], &Charge)| {
            let blames = |evidence: Evidence| {
                let blamed = attempts.iter().filter(|attempt| {
                    let mut causes = attempt.causes.iter();
                    causes.any(|cause| {
                        cause.evidence == evidence
                            && self.analysis.model.name(cause.instance) == *name
                    })
                });
                blamed.count()
            };
            Finding {
                severity: self.severity(charge.abort_ns).min(Severity::Medium),
                text: format!(
                    "{} kept {} of {} from sleeping ({} proven), which wasted {}.",
                    shown(name),
                    charge.aborts,
                    count(attempts.len() as u64, "attempt"),
                    blames(Evidence::Proven),
                    self.part(charge.abort_ns),
                ),
                sources: vec![plain(name)],
                gain_ns: Some(charge.abort_ns),
            }
        };
        again.into_iter().take(3).map(finding).collect()
    }

    /// Whoever wakes the device often, and whether in step.
    fn wakers(&self) -> Vec<Finding> {
        let model = &self.analysis.model;
        let mut wakes = BTreeMap::<(Option<&[u8]>, Option<u32>), Vec<&Attempt>>::new();
        let mut slept = 0u64;
        for attempt in self.analysis.attempts.iter().filter(|a| a.outcome == Outcome::Slept) {
            slept += 1;
            // Where the source is known the interrupt is a detail of it.
            let key = match (attempt.wake, attempt.irq) {
                (Some(wake), _) => (Some(model.name(wake.instance)), None),
                (None, Some(irq)) => (None, Some(irq)),
                (None, None) => continue,
            };
            wakes.entry(key).or_default().push(attempt);
        }
        let mut findings = Vec::new();
        for ((source, irq), woken) in wakes {
            let after_ns = woken.iter().map(|attempt| attempt.after_ns).sum();
            let who = match (source, irq) {
                (Some(name), _) => shown(name),
                (None, irq) => self.irq(irq),
            };
            let proven = woken.iter().filter_map(|attempt| attempt.wake);
            let proven = proven.filter(|wake| wake.evidence == Evidence::Proven).count();
            let how = if source.is_some() { format!(" ({proven} proven)") } else { String::new() };
            let every = pattern(&woken);
            let often = woken.len() >= AGAIN && woken.len() as u64 >= slept / RARELY;
            if !often {
                continue;
            }
            let step = every.map_or(String::new(), |ns| format!(", about every {}", time(ns)));
            let ended = if woken.len() as u64 == slept {
                format!("all {slept} sleeps")
            } else {
                format!("{} of {}", woken.len(), count(slept, "sleep"))
            };
            findings.push(Finding {
                severity: self.severity(after_ns).min(match every {
                    Some(_) => Severity::Medium,
                    None => Severity::Low,
                }),
                text: format!(
                    "{who} ended {ended}{how}{step}; {} awake followed.",
                    self.part(after_ns),
                ),
                sources: source.iter().map(|name| plain(name)).collect(),
                gain_ns: Some(after_ns),
            });
        }
        findings.sort_by_key(|finding| (finding.severity, Reverse(finding.gain_ns)));
        findings.truncate(3);
        findings
    }

    fn irq(&self, irq: Option<u32>) -> String {
        let Some(irq) = irq else { return "an unknown interrupt".to_owned() };
        let model = &self.analysis.model;
        let name = model.irqs.get(&irq).map_or(&[][..], |known| model.text(known.name));
        if name.is_empty() {
            format!("interrupt {irq}")
        } else {
            format!("interrupt {irq}, {}", shown(name))
        }
    }

    fn never_slept(&self) -> Option<Finding> {
        let attempts = self.analysis.attempts.iter();
        let none: Vec<_> = attempts.filter(|a| a.outcome == Outcome::NoSleep).collect();
        if none.is_empty() {
            return None;
        }
        let ns = none.iter().map(|attempt| attempt.duration_ns()).sum();
        let causes = none.iter().flat_map(|attempt| &attempt.causes);
        let mut names: Vec<_> =
            causes.map(|cause| self.analysis.model.name(cause.instance)).collect();
        names.sort_unstable();
        names.dedup();
        let verb = if none.len() == 1 { "is a success that" } else { "are successes that" };
        Some(Finding {
            severity: self.severity(ns).min(Severity::Medium),
            text: format!(
                "By the kernel's word {} {verb} never slept; {} wasted.",
                count(none.len() as u64, "attempt"),
                self.part(ns),
            ),
            sources: names.into_iter().map(plain).collect(),
            gain_ns: Some(ns),
        })
    }

    /// Attempts that follow each other at once, and none of them sleeps.
    fn storms(&self) -> Option<Finding> {
        let attempts = &self.analysis.attempts;
        let mut storms: Vec<&[Attempt]> = Vec::new();
        let alike = |a: &Attempt, b: &Attempt| {
            let awake = a.outcome != Outcome::Slept && b.outcome != Outcome::Slept;
            awake && b.start.since(a.end) <= SOON_NS
        };
        storms.extend(attempts.chunk_by(alike).filter(|storm| storm.len() >= STORM));
        let span = |storm: &[Attempt]| match storm {
            [first, .., last] => last.end.since(first.start),
            _ => 0,
        };
        let largest = storms.iter().max_by_key(|storm| (storm.len(), span(storm)))?;
        let ns = storms.iter().map(|storm| span(storm)).sum();
        let all: usize = storms.iter().map(|storm| storm.len()).sum();
        let largest = format!("{} in {}", largest.len(), time(span(largest)));
        let mut names = BTreeMap::<&[u8], usize>::new();
        for attempt in storms.iter().copied().flatten() {
            let causes = attempt.causes.iter().map(|c| self.analysis.model.name(c.instance));
            for name in causes.collect::<BTreeSet<_>>() {
                *names.entry(name).or_default() += 1;
            }
        }
        let most = names.into_iter().max_by_key(|(name, times)| (*times, Reverse(*name)));
        let by = most.map_or(String::new(), |(name, times)| {
            format!(", and {} kept {times} of them up", shown(name))
        });
        let text = match storms.len() {
            1 => format!("A storm of attempts, {largest}; none slept{by}."),
            n => format!(
                "{n} storms of attempts, {all} in {}, the largest {largest}; none slept{by}.",
                self.part(ns),
            ),
        };
        let severity = self.severity(ns).min(Severity::Medium);
        let sources = most.iter().map(|(name, _)| plain(name)).collect();
        Some(Finding { severity, text, sources, gain_ns: Some(ns) })
    }

    /// Attempts that failed for another reason than a wakeup.
    fn refusals(&self) -> Option<Finding> {
        let attempts = self.analysis.attempts.iter();
        let failed: Vec<_> = attempts.filter(|a| a.outcome == Outcome::Failed).collect();
        let ns = failed.iter().map(|attempt| attempt.duration_ns()).sum();
        let mut errors = BTreeMap::<i32, usize>::new();
        for value in failed.iter().filter_map(|attempt| attempt.errno) {
            *errors.entry(value).or_default() += 1;
        }
        let most = errors.iter().max_by_key(|(_, times)| **times);
        let with = most
            .map_or(String::new(), |(value, times)| format!(" ({times} with {})", errno(*value)));
        (failed.len() >= AGAIN).then(|| Finding {
            severity: self.severity(ns).min(Severity::Medium),
            text: format!(
                "{} failed{with}: a driver or the platform refused, and no wakeup source is to blame; {} wasted.",
                count(failed.len() as u64, "attempt"),
                self.part(ns),
            ),
            sources: Vec::new(),
            gain_ns: Some(ns),
        })
    }

    fn not_trying(&self) -> Option<Finding> {
        let ns = self.analysis.ledger.not_trying_ns?;
        let severity = self.severity(ns);
        if severity == Severity::Low {
            return None;
        }
        let quiet = self.analysis.attempts.is_empty() && self.analysis.waits.is_empty();
        let held = self.analysis.held_longest();
        let hint = match held {
            Some((name, held_ns)) if quiet => format!(
                " Whoever has waited since before the capture is not seen: {} was held for {}.",
                shown(name),
                time(held_ns)
            ),
            None if quiet => {
                " Nothing tried in all of the session: is suspend switched off?".to_owned()
            }
            _ => " On Android the screen or a user-space wakelock keeps it from asking.".to_owned(),
        };
        Some(Finding {
            severity,
            text: format!("Nobody asked to suspend for {} awake.{hint}", self.part(ns)),
            sources: held.iter().filter(|_| quiet).map(|(name, _)| plain(name)).collect(),
            gain_ns: Some(ns),
        })
    }

    /// A capture that can't tell blocked time.
    fn untold(&self) -> Option<Finding> {
        let ledger = &self.analysis.ledger;
        let held = self.analysis.held_longest();
        let longest = held.map_or(String::new(), |(name, ns)| {
            format!(" {} was held the longest, for {}.", shown(name), self.part(ns))
        });
        (ledger.blocked_ns.is_none() && ledger.untold_ns > 0).then(|| Finding {
            severity: self.severity(ledger.untold_ns).max(Severity::Medium),
            text: format!(
                "Without both edges and waits, {} awake can't be told apart: blocked, or nobody asked to suspend.{longest}",
                self.part(ledger.untold_ns),
            ),
            sources: held.iter().map(|(name, _)| plain(name)).collect(),
            gain_ns: None,
        })
    }

    fn charger(&self) -> Option<Finding> {
        let power = &self.analysis.power;
        let ns = power.charger_ns().filter(|ns| *ns > 0)?;
        let start = self.analysis.model.start;
        let told = power.charger.iter().take(2).map(|(from, to)| {
            let at = |ns| if ns == 0 { "0 s".to_owned() } else { time(ns) };
            format!("{} to {}", at(from.since(start)), at(to.since(start)))
        });
        let told = told.collect::<Vec<_>>().join(", ");
        let more = if power.charger.len() > 2 { ", …" } else { "" };
        Some(Finding {
            severity: self.severity(ns),
            text: format!(
                "On a charger or over USB for {}, at {told}{more}: a phone on a cable seldom suspends fully. Use adb over Wi-Fi, or detach the capture and pull the cable.",
                self.part(ns),
            ),
            sources: Vec::new(),
            gain_ns: None,
        })
    }

    /// What is missing, and what it puts in doubt.
    fn lost(&self) -> Option<Finding> {
        let Analysis { model, contradictions, doubtful_ns, .. } = self.analysis;
        let mut missing = Vec::new();
        for (n, what) in [
            (model.lost_events, "event"),
            (model.damage.missing_chunks, "chunk"),
            (model.damage.bad_records, "record"),
        ] {
            if n > 0 {
                missing.push(count(n, what));
            }
        }
        let unseen = match contradictions {
            0 => String::new(),
            1 => " 1 state or count does not fit the edges.".to_owned(),
            n => format!(" {n} states or counts do not fit the edges."),
        };
        if missing.is_empty() && unseen.is_empty() {
            return None;
        }
        let text = if missing.is_empty() {
            format!("Edges are missing that nobody counted:{unseen}")
        } else {
            format!(
                "{} lost: who was active is in doubt for {}.{unseen}",
                missing.join(", "),
                self.part(*doubtful_ns),
            )
        };
        let severity = self.severity(*doubtful_ns).min(Severity::Medium);
        Some(Finding { severity, text, sources: Vec::new(), gain_ns: None })
    }

    fn late(&self) -> Option<Finding> {
        let (late, all) = (self.analysis.late_snapshots, self.analysis.attempts.len() as u64);
        let edges = self.analysis.ledger.blocked_ns.is_some();
        (late > 0).then(|| Finding {
            severity: if edges { Severity::Low } else { Severity::Medium },
            text: format!(
                "The snapshot of {late} of {} came after the freeze; {}.",
                count(all, "begin"),
                if edges { "edges say who was active" } else { "who was active then is a guess" },
            ),
            sources: Vec::new(),
            gain_ns: None,
        })
    }
}

/// The step of wakes that come in step: three of four are within a tenth of the median.
fn pattern(woken: &[&Attempt]) -> Option<u64> {
    if woken.len() < PATTERN {
        return None;
    }
    let mut steps: Vec<u64> = woken.windows(2).map(|pair| pair[1].end.since(pair[0].end)).collect();
    steps.sort_unstable();
    let median = steps[steps.len() / 2];
    let near = steps.iter().filter(|step| step.abs_diff(median) <= median / 10).count();
    (median > 0 && near * 4 >= steps.len() * 3).then_some(median)
}

/// As part of a sentence.
fn shown(name: &[u8]) -> String {
    if name.is_empty() { "a source without a name".to_owned() } else { fit(&escape(name), 48) }
}

fn plain(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
