//! Findings on awake time: whose it is, and when it was.

use super::{Session, line, list, listed, name, named, words};
use crate::render::page::Text;
use crate::report::{FindingKind, Name, Waker, When};
use crate::units::{count, time, utc};

/// Their words.
pub fn sentence(kind: &FindingKind, session: &Session) -> Text {
    match kind {
        FindingKind::Blocker { source, share_ns, alone_ns, blocked_ns } => {
            let (share, blocked) = (session.part(*share_ns), time(*blocked_ns));
            let alone = alone(*alone_ns, *share_ns);
            let rest = format!(" blocked suspend the longest: {share} of {blocked} blocked");
            named(source, format!("{rest}, {alone}."))
        }
        FindingKind::BlockingGroup { sources, gain_ns, alone_ns, left_out_ns } => {
            group(sources, &session.part(*gain_ns), *alone_ns, *left_out_ns)
        }
        FindingKind::Waker { by, wakes, slept, every_ns, resume_ns, after_ns, held_ns } => {
            let mut text = waker(by, *wakes, *slept);
            text.extend(every_ns.map(|ns| words(format!(", about every {}", time(ns)))));
            let (resume, after) = (session.part(*resume_ns), session.part(*after_ns));
            let held = held_ns.map(|ns| format!("; it was held for {} in all", time(ns)));
            text.push(words(format!(
                "; waking up and going to sleep again took {resume}, and {after} awake followed{}.",
                held.unwrap_or_default()
            )));
            text
        }
        FindingKind::UserSpace { user_space_ns } => line(format!(
            "For {} the kernel was ready to suspend and user space was not: on Android, a user-space \
             wakelock was held. `dumpsys power` lists those of apps, and `dumpsys \
             suspend_control_internal --wakelocks` (root) all of them.",
            session.part(*user_space_ns)
        )),
        FindingKind::Backoff { backoff_ns, aborts_ns, refused_ns, after_sleeps_ns, by } => {
            let parts = [
                (*aborts_ns, "after attempts that did not sleep"),
                (*refused_ns, "after refused writes of wakeup_count"),
                (*after_sleeps_ns, "after sleeps"),
            ];
            backoff(&session.part(*backoff_ns), &parts, by)
        }
        FindingKind::NotTrying { not_trying_ns, after_wakes_ns, tried } => {
            let after = match after_wakes_ns {
                0 => String::new(),
                ns => format!(", {} of that after wakes that other findings name", time(*ns)),
            };
            let why = match tried {
                true => "On Android, the usual reason is the screen.",
                false => {
                    "There was no attempt in the whole session: a user-space wakelock from before the \
                     capture, the screen, or suspend is switched off."
                }
            };
            let awake = session.part(*not_trying_ns);
            line(format!(
                "For {awake} the device was awake and nothing tried to suspend it{after}. {why}"
            ))
        }
        FindingKind::LongestHold { source, held_ns, from } => {
            let (held, from) = (session.part(*held_ns), when(from));
            let rest = format!(" was held the longest without a break: {held}, from {from}.");
            named(source, rest)
        }
        FindingKind::WorstHour { from, awake_ns, mean_ns, blocked_ns, blocker } => {
            worst_hour(from, (*awake_ns, *mean_ns, *blocked_ns), blocker.as_ref())
        }
        _ => Text::new(),
    }
}

/// A moment: on the clock on the wall, and in the session.
pub fn when(at: &When) -> String {
    let after = if at.after_ns == 0 { "0 s".to_owned() } else { time(at.after_ns) };
    let within = format!("{after} into the session");
    at.realtime_ns.map_or(within.clone(), |real| format!("{}, {within}", utc(real.0)))
}

/// How much of a blocker's share fixing it would save.
fn alone(alone_ns: u64, share_ns: u64) -> String {
    match alone_ns {
        0 => "but never alone, so fixing it alone would save nothing".to_owned(),
        ns if time(ns) == time(share_ns) => {
            "and it was the only active source throughout, so fixing \
            it would save all of that"
                .to_owned()
        }
        ns => format!("{} of it as the only active source, which fixing it would save", time(ns)),
    }
}

fn group(sources: &[Name], gain: &str, alone_ns: u64, left_out_ns: u64) -> Text {
    let mut text = list(sources);
    text.push(words(format!(" blocked suspend together: fixing all of them would save {gain}")));
    text.push(match alone_ns {
        0 => words(", fixing one of them nothing."),
        ns => words(format!(
            ". That includes the {} that fixing them one by one would save.",
            time(ns)
        )),
    });
    text.extend((left_out_ns > 0).then(|| {
        words(format!(
            " {} with more sources active at a time is not considered.",
            time(left_out_ns)
        ))
    }));
    text
}

fn waker(by: &Waker, wakes: u64, slept: u64) -> Text {
    let mut rest = match wakes {
        n if n == slept => format!(" ended all {slept} sleeps"),
        n => format!(" ended {n} of {}", count(slept, "sleep")),
    };
    match by {
        Waker::Source { source, proven } => {
            rest += &format!(" ({proven} proven)");
            named(source, rest)
        }
        Waker::Interrupt { irq, name } if name.bytes.is_empty() => {
            line(format!("Interrupt {irq}{rest}"))
        }
        Waker::Interrupt { irq, name } => {
            let mut text = line(format!("Interrupt {irq} ("));
            text.extend(named(name, format!("){rest}")));
            text
        }
    }
}

fn backoff(backoff: &str, parts: &[(u64, &str)], by: &[(Name, u64)]) -> Text {
    let parts = parts.iter().filter(|(ns, _)| *ns > 0);
    let parts: Vec<_> = parts.map(|(ns, what)| format!("{} {what}", time(*ns))).collect();
    let mut text = line(format!("User space backed off for {backoff}"));
    text.extend((!parts.is_empty()).then(|| words(format!(": {}", parts.join(", ")))));
    if !by.is_empty() {
        text.push(words("; mostly because of "));
        text.extend(listed(by, time));
    }
    text.push(words("."));
    text
}

fn worst_hour(
    from: &When,
    (awake_ns, mean_ns, blocked_ns): (u64, u64, u64),
    blocker: Option<&(Name, u64)>,
) -> Text {
    let mut text = line(format!(
        "The worst hour began at {}: awake for {}, against a mean of {}",
        when(from),
        time(awake_ns),
        time(mean_ns)
    ));
    if blocked_ns > 0 {
        text.push(words(format!("; {} of it blocked", time(blocked_ns))));
    }
    if let Some((source, ns)) = blocker {
        text.extend([words(", mostly by "), name(source), words(format!(" ({})", time(*ns)))]);
    }
    text.push(words("."));
    text
}
