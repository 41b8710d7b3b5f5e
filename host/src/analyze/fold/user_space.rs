//! The events of threads that wait for `wakeup_count` or write it.

use sleepwalk_trace::time::BootNanos;

use super::Fold;
use crate::session::decode::{Event, Model};

impl Fold {
    /// Which threads may wait unseen, after the last event.
    pub(super) fn follow_waits(&mut self, model: &Model, at: BootNanos, event: &Event) {
        let Some(waits) = &mut self.waits else { return };
        match event {
            Event::Lost { .. } => {
                waits.gap(at, &mut self.active);
                waits.resume(at);
            }
            Event::Waiters { in_prologue: false, threads, all } => {
                waits.found(threads, *all, at, &mut self.active);
            }
            Event::PrologueEnd => {
                // The records between the snapshot in the prologue and the first chunk are gone.
                if let Some((threads, all)) = self.in_prologue.take() {
                    waits.found(&threads, all, at, &mut self.active);
                }
            }
            _ => {}
        }
        match event {
            Event::WaitEnd { idle: true, .. } => self.idle = true,
            Event::Edge { active: true, .. } | Event::Lost { .. } => self.idle = false,
            _ => {}
        }
        let idle = self.idle || self.held.known() && self.active.idle();
        waits.idle(at, idle && self.held.edges(model), &mut self.active);
    }

    /// User space does something that has to do with suspending.
    pub(super) fn user_space(&mut self, model: &Model, at: BootNanos, event: &Event) {
        let Some(waits) = &mut self.waits else { return };
        match *event {
            Event::WaitBegin { thread } => {
                waits.begin(thread, at, &mut self.active);
                self.suspend_loop.wait(thread, at);
                self.awake(at);
            }
            Event::WaitEnd { thread, idle } => {
                self.waited |= idle;
                if let Some(since) = waits.end(thread, at, idle, &mut self.active) {
                    self.awake_since = None;
                    self.causes.waited(since);
                }
                self.suspend_loop.waited(thread, at, idle);
                if idle && !self.attempts.open() && self.armed.now != Some(true) {
                    // The count that it read: an event from here on has the write refused.
                    self.active.open_window();
                }
            }
            Event::CountWrite { thread, saved } => {
                waits.writes(thread, at, &mut self.active);
                self.awake(at);
                let refused = (!saved).then(|| self.suspects(model));
                self.suspend_loop.write(thread, at, refused);
                if self.attempts.open() {
                    return;
                }
                self.armed.write(saved);
                self.save_refused += u64::from(!saved);
                if saved {
                    self.active.open_window();
                } else {
                    self.active.close_window();
                }
            }
            _ => {}
        }
    }
}
