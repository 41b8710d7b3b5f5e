//! How each attempt ended and why, by the kernel's own decisions in ftrace, without data of ours.

use std::collections::BTreeSet;

use crate::attempts::{self, Attempt};
use crate::ftrace::{Event, Kind};

/// The kernel's verdict on one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its span, errno and stage.
    pub attempt: Attempt,
    /// The thread that tried it.
    pub thread: u32,
    /// The kernel looked at wakeup sources (`events_check_enabled`).
    pub armed: bool,
    /// `pm_wakeup_pending` was true in it.
    pub pending: bool,
    /// The device that refused, by the kernel's message.
    pub failed_device: Option<String>,
    /// The freezer gave up at its limit, by the kernel's message.
    pub freeze_timeout: bool,
    /// The sources that were activated between the write of the count and the moment at which the
    /// kernel noticed; empty where it did not look.
    pub culprits: BTreeSet<String>,
    /// Refused writes of the count since the attempt before.
    pub save_refused: u64,
    /// suspend_stats names the device that refused, and did not before. Only then is the name certain: an
    /// attempt that a wakeup ends leaves the name of an earlier one.
    pub device_is_new: bool,
}

impl Verdict {
    /// How it came out, as the report names it.
    pub fn outcome(&self) -> &'static str {
        match self.attempt.outcome() {
            // The same errno, but a device or the freezer returned it, or a notifier.
            "aborted" if !self.pending || self.failed_device.is_some() => "failed",
            outcome => outcome,
        }
    }
}

/// All attempts in the order of their return. `device` is the one that suspend_stats named before.
pub fn of(events: &[Event], mut device: String) -> Vec<Verdict> {
    let mut watch = Watch::default();
    let mut verdicts = Vec::new();
    let mut attempts = attempts::of(events).into_iter();
    for event in events {
        if let Some(mut verdict) = watch.event(&event.kind) {
            verdict.attempt = attempts.next().unwrap_or(verdict.attempt);
            if let Some(failed) = &verdict.failed_device {
                verdict.device_is_new = *failed != device;
                device.clone_from(failed);
            }
            verdicts.push(verdict);
        }
    }
    verdicts
}

/// The kernel's state as the events show it.
#[derive(Debug, Default)]
struct Watch {
    /// `events_check_enabled`: a write of the count that is taken sets it, one that is refused clears
    /// it, and so does `pm_wakeup_pending` as it notices an event (drivers/base/power/wakeup.c, 6.1 to
    /// 7.3). An attempt that ends otherwise leaves it set.
    enabled: bool,
    /// Activated since that write.
    activated: BTreeSet<String>,
    refused: u64,
    open: Option<Verdict>,
}

impl Watch {
    /// The verdict on the attempt that this event ends.
    fn event(&mut self, kind: &Kind) -> Option<Verdict> {
        match kind {
            Kind::Save { saved, .. } => {
                self.enabled = *saved;
                self.activated.clear();
                self.refused += u64::from(!saved);
            }
            Kind::Edge { name, active: true, .. } => drop(self.activated.insert(name.clone())),
            Kind::Suspend { thread, armed } => {
                let armed = armed.unwrap_or(self.enabled);
                self.open = Some(Verdict {
                    attempt: Attempt::default(),
                    thread: *thread,
                    armed,
                    pending: false,
                    failed_device: None,
                    freeze_timeout: false,
                    culprits: BTreeSet::new(),
                    save_refused: std::mem::take(&mut self.refused),
                    device_is_new: false,
                });
            }
            Kind::Pending(true) => {
                if let Some(open) = self.open.as_mut().filter(|open| !open.pending) {
                    open.pending = true;
                    if open.armed {
                        open.culprits = self.activated.clone();
                    }
                }
                // Else it was `pm_system_wakeup`, which needs no source.
                self.enabled &= self.activated.is_empty();
            }
            Kind::Message(text) => {
                let open = self.open.as_mut()?;
                if let Some((device, _)) = text.split_once(": PM: failed to ") {
                    // The bus or driver comes first.
                    open.failed_device = device.rsplit(' ').next().map(str::to_owned);
                }
                open.freeze_timeout |=
                    text.starts_with("Freezing") && text.contains("failed after");
            }
            Kind::Return(_) => return self.open.take(),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(kinds: &[Kind]) -> Vec<Verdict> {
        let events = kinds.iter().zip(1..).map(|(kind, at_ns)| Event { at_ns, kind: kind.clone() });
        of(&events.collect::<Vec<_>>(), "usb1".into())
    }

    fn active(name: &str) -> Kind {
        Kind::Edge { name: name.into(), state: 0, active: true }
    }

    const ENTER: Kind = Kind::Suspend { thread: 7, armed: None };
    const SAVE: Kind = Kind::Save { thread: 7, saved: true };
    const REFUSED: Kind = Kind::Save { thread: 7, saved: false };

    #[test]
    fn only_an_armed_attempt_has_culprits() {
        let [unarmed, armed] = &verdicts(&[
            active("a"),
            ENTER,
            Kind::Return(-16),
            active("b"),
            REFUSED,
            SAVE,
            active("c"),
            ENTER,
            active("d"),
            Kind::Pending(false),
            Kind::Pending(true),
            active("e"),
            Kind::Return(-16),
        ])[..] else {
            panic!("two attempts")
        };
        assert!(!unarmed.armed && !unarmed.pending && unarmed.culprits.is_empty());
        assert_eq!((unarmed.outcome(), unarmed.save_refused), ("failed", 0));
        assert!(armed.armed && armed.pending);
        assert_eq!((armed.outcome(), armed.save_refused), ("aborted", 1));
        assert_eq!(armed.culprits, ["c", "d"].map(str::to_owned).into());
    }

    #[test]
    fn a_write_arms_until_the_kernel_notices() {
        let kinds = [
            SAVE,
            ENTER,
            Kind::Return(-110),
            ENTER,
            active("a"),
            Kind::Pending(true),
            Kind::Return(-16),
            ENTER,
            Kind::Return(-16),
        ];
        let armed: Vec<_> = verdicts(&kinds).iter().map(|verdict| verdict.armed).collect();
        assert_eq!(armed, [true, true, false]);
    }

    #[test]
    fn the_kernel_names_who_refused() {
        let messages = [
            "usb usb1: PM: failed to suspend async: error -16",
            "Freezing user space processes failed after 0.5 seconds (1 tasks refusing to freeze):",
        ];
        let message = |text: &str| Kind::Message(text.into());
        let [device, freeze] = &verdicts(&[
            SAVE,
            ENTER,
            active("usb1"),
            message(messages[0]),
            Kind::Pending(true),
            Kind::Return(-16),
            ENTER,
            message(messages[1]),
            Kind::Return(-16),
        ])[..] else {
            panic!("two attempts")
        };
        assert_eq!((device.outcome(), device.failed_device.as_deref()), ("failed", Some("usb1")));
        assert!(!device.device_is_new, "it failed before");
        assert_eq!((freeze.outcome(), freeze.freeze_timeout), ("failed", true));
    }
}
