//! Asks Android's services at the edges of a capture, and while user space keeps the device awake.
//!
//! SystemSuspend waits until no source is active, then until no process holds a wakelock, and then writes the count. A
//! device that sits between the wait's end and the write is awake, so to ask costs it no sleep.

use std::time::{Duration, Instant};

use sleepwalk_trace::record::{DUMP_GOES_ON, Record, ServiceDump};
use sleepwalk_trace::time::BootNanos;

use super::journal::begins_attempt;
use crate::clock;
use crate::context::services::{Answer, Services};
use crate::probe::events::{EventKind, ProbeEvent};

/// A hold as long is worth a question.
const LONG: Duration = Duration::from_secs(5);
/// The next question comes when the hold is so many times as long.
const AGAIN: u32 = 4;
/// Questions about holds are so far apart.
const PAUSE: Duration = Duration::from_secs(60);
/// Bytes of the output in a record.
const PART: usize = 4 << 10;

/// The questions, and the answers until they are recorded.
#[derive(Debug)]
pub struct UserSpace {
    /// `None` where there are none, or no room for answers.
    services: Option<Services>,
    /// The kernel has been ready since then; and how long that is to last before the next question.
    ready: Option<(BootNanos, Duration)>,
    /// When a hold was the reason for the last question.
    last_asked: Option<Instant>,
    dumps: u32,
    /// Bytes of answers that the trace still takes.
    room: usize,
}

impl UserSpace {
    /// Asks for the first time. Answers take `room` bytes in all.
    pub fn start(services: Option<Services>, room: usize) -> Self {
        let mut new = Self { services, ready: None, last_asked: None, dumps: 0, room };
        if let Some(services) = &mut new.services {
            services.ask(true);
        }
        new
    }

    /// Follows the suspend loop.
    pub fn observe(&mut self, event: &ProbeEvent) {
        match &event.kind {
            EventKind::WaitEnd { idle: true, .. } => self.ready = Some((event.at, LONG)),
            EventKind::WaitBegin { .. } | EventKind::CountWrite { .. } => self.ready = None,
            _ if begins_attempt(event) => self.ready = None,
            _ => {}
        }
    }

    /// In so many ms there is something to do.
    pub fn due(&self) -> Option<u16> {
        let services = self.services.as_ref()?;
        if services.is_busy() {
            return None;
        }
        let (since, lasts) = self.ready?;
        let held = Duration::from_nanos(clock::now().boot.since(since));
        let pause = self.last_asked.map_or(Duration::ZERO, |at| PAUSE.saturating_sub(at.elapsed()));
        let due = lasts.saturating_sub(held).max(pause).as_millis();
        Some(u16::try_from(due).unwrap_or(u16::MAX))
    }

    /// Asks if it is time to, and returns the records of the answers that have come.
    pub fn turn(&mut self) -> Vec<(BootNanos, Record)> {
        let Some(services) = &mut self.services else { return Vec::new() };
        let answers = services.answers();
        if self.due() == Some(0) {
            self.last_asked = Some(Instant::now());
            if let Some(services) = &mut self.services {
                services.ask(false);
            }
            if let Some((_, lasts)) = &mut self.ready {
                *lasts = lasts.saturating_mul(AGAIN);
            }
        }
        self.records(answers)
    }

    /// The records of the last answers.
    pub fn finish(&mut self) -> Vec<(BootNanos, Record)> {
        let answers = self.services.as_mut().map(Services::last_answers).unwrap_or_default();
        self.records(answers)
    }

    fn records(&mut self, answers: Vec<Answer>) -> Vec<(BootNanos, Record)> {
        let mut records = Vec::new();
        for Answer { service, at, took_ns, status, bytes } in answers {
            let Some(left) = self.room.checked_sub(bytes.len()) else {
                log::info!("the trace has no room for more of dumpsys {service}");
                continue;
            };
            self.room = left;
            let dump = self.dumps;
            self.dumps = self.dumps.wrapping_add(1);
            let parts = bytes.len().div_ceil(PART).max(1);
            for n in 0..parts {
                let bytes =
                    bytes[(n * PART).min(bytes.len())..bytes.len().min((n + 1) * PART)].to_vec();
                let status = if n + 1 < parts { DUMP_GOES_ON } else { status };
                let part =
                    ServiceDump { dump, service: service.to_owned(), status, took_ns, bytes };
                records.push((at, Record::ServiceDump(part)));
            }
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use sleepwalk_trace::record::{DUMP_CUT, DUMP_WHOLE};

    use super::*;

    fn answer(length: usize, status: u8) -> Answer {
        let bytes = (0..length).map(|n| n as u8).collect();
        Answer { service: "power", at: BootNanos(7), took_ns: 5, status, bytes }
    }

    #[test]
    fn answers_are_divided_and_bounded() {
        let mut asked = UserSpace::start(None, 3 * PART);
        let records = asked.records(vec![answer(PART + 1, DUMP_WHOLE), answer(0, DUMP_CUT)]);
        let parts: Vec<_> = records
            .iter()
            .map(|(at, record)| match record {
                Record::ServiceDump(d) => (at.0, d.dump, d.status, d.bytes.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(parts, [(7, 0, DUMP_GOES_ON, PART), (7, 0, DUMP_WHOLE, 1), (7, 1, DUMP_CUT, 0)]);
        assert!(asked.records(vec![answer(2 * PART, DUMP_WHOLE)]).is_empty(), "no room");
    }
}
