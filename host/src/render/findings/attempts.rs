//! Findings on attempts that did not sleep.

use super::{Session, line, listed, name, named, words};
use crate::render::labels::{outcome, spaced};
use crate::render::page::Text;
use crate::report::{FindingKind, Outcome, Stage, Storms, Unslept, When};
use crate::units::{count, errno, time};

/// Their words.
pub fn sentence(kind: &FindingKind, session: &Session) -> Text {
    match kind {
        FindingKind::Aborter { source, aborts, proven, attempts, abort_ns, after_abort_ns } => {
            let (attempts, wasted) = (count(*attempts, "attempt"), session.part(*abort_ns));
            let backoff = backoff(*after_abort_ns, session);
            let proven = format!("({proven} proven)");
            let rest = format!(" kept {aborts} of {attempts} from sleeping {proven}");
            named(source, format!("{rest}, which wasted {wasted}{backoff}."))
        }
        FindingKind::NoSleep { attempts, wasted_ns, .. } => {
            let (attempts, wasted) = (count(*attempts, "attempt"), session.part(*wasted_ns));
            line(format!(
                "The kernel reported success for {attempts} that never slept; {wasted} was wasted."
            ))
        }
        FindingKind::Storm(found) => storms(found, session),
        FindingKind::DeviceFailed { device, step, failed, attempts, errno: value, wasted_ns } => {
            let step = step.map(|step| format!(" at the step {}", spaced(step)));
            let value = value.map(|value| format!(" with {}", errno(value))).unwrap_or_default();
            let (attempts, wasted) = (count(*attempts, "attempt"), session.part(*wasted_ns));
            let mut text = line("The device ");
            text.extend(named(
                device,
                format!(
                    " failed {failed} of {attempts}{}{value}: no wakeup source is to blame; {wasted} \
                     was wasted. Look at its driver's suspend callback.",
                    step.unwrap_or_default()
                ),
            ));
            text
        }
        FindingKind::FreezeTimeout { failed, attempts, wasted_ns } => {
            let (attempts, wasted) = (count(*attempts, "attempt"), session.part(*wasted_ns));
            line(format!(
                "Tasks did not freeze in {failed} of {attempts}, which wasted {wasted}: no wakeup source \
                 is to blame. The kernel log names the tasks (Freezing of tasks failed)."
            ))
        }
        FindingKind::Failed { attempts, errno: most, wasted_ns } => {
            let with = most.map(|(value, times)| format!(" ({times} with {})", errno(value)));
            let (attempts, with) = (count(*attempts, "attempt"), with.unwrap_or_default());
            let wasted = session.part(*wasted_ns);
            line(format!(
                "{attempts} failed{with}: a driver or the platform refused, and no wakeup source is to \
                 blame; {wasted} was wasted."
            ))
        }
        FindingKind::Unslept(found) => unslept(found, session),
        FindingKind::CountRefused { refused, backoff_ns, most } => {
            let refused = count(*refused, "write");
            let mut text = line(format!(
                "The kernel refused {refused} of wakeup_count, as an event had come since the read"
            ));
            if let Some((source, times)) = most {
                text.extend([words(": "), name(source)]);
                text.push(words(format!(" was active for {times} of them")));
            }
            text.push(words(format!("{}.", backoff(*backoff_ns, session))));
            text
        }
        FindingKind::DiedSuspending { stage, step, from, after_ns } => {
            died(*stage, *step, from, *after_ns)
        }
        _ => Text::new(),
    }
}

fn backoff(ns: u64, session: &Session) -> String {
    if ns == 0 { String::new() } else { format!(", and {} of back-off followed", session.part(ns)) }
}

fn storms(found: &Storms, session: &Session) -> Text {
    let Storms { storms, attempts, largest, .. } = found;
    let largest = format!("{largest} in {}", time(found.largest_ns));
    let lasted = session.part(found.lasted_ns);
    let mut text = line(match storms {
        1 => format!("A storm of attempts, {largest}; none slept"),
        n => format!(
            "{n} storms of attempts, {attempts} in {lasted}, the largest {largest}; none slept"
        ),
    });
    if let Some((source, times)) = &found.blamed {
        text.extend([words(", and "), name(source)]);
        text.push(words(format!(" kept {times} of them from sleeping")));
    }
    text.push(words("."));
    text
}

fn unslept(found: &Unslept, session: &Session) -> Text {
    let Unslept { attempts, all, outcomes, sources, most, unknown, wasted_ns } = found;
    let counted = |(of, n): &(Outcome, u64)| format!("{n} {}", outcome(*of));
    let outcomes: Vec<_> = outcomes.iter().map(counted).collect();
    let mut text = line(format!(
        "{attempts} of {} did not sleep, and no single source stands out ({})",
        count(*all, "attempt"),
        outcomes.join(", ")
    ));
    if !most.is_empty() {
        let blamed = count(*sources, "source");
        text.push(words(format!(": {blamed} kept them from sleeping, most often ")));
        text.extend(listed(most, |times| times.to_string()));
    }
    if *unknown > 0 {
        text.push(words(format!("; for {unknown} no cause is known")));
    }
    text.push(words(format!("; {} was wasted.", session.part(*wasted_ns))));
    text
}

fn died(stage: Stage, step: Option<&str>, from: &When, after_ns: u64) -> Text {
    let step = step.map(|step| format!(" ({step})")).unwrap_or_default();
    let at = match stage {
        Stage::Machine => "asleep or on its way back".to_owned(),
        stage => format!("at the stage {}{step} or later", spaced(stage)),
    };
    line(format!(
        "The trace ends within a suspend attempt, {} after it began ({}): the device probably died \
         {at}. Look at the kernel log of that boot (/sys/fs/pstore).",
        if after_ns == 0 { "0 s".to_owned() } else { time(after_ns) },
        super::awake::when(from)
    ))
}
