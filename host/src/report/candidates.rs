//! Processes that may be behind a source.

use serde::Serialize;

use super::Name;
use crate::session::decode::Model;

/// A process that waited, when the capture started, for a file of the source's name with EPOLLWAKEUP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Its id.
    pub process: u32,
    /// Its user.
    pub uid: u32,
    /// Its name (`comm`).
    pub comm: Name,
}

/// The candidates for the sources of this name.
pub fn of(model: &Model, name: &[u8]) -> Vec<Candidate> {
    let named = model.epoll_waiters.iter().filter(|(id, _)| model.text(**id) == name);
    let waiters = named.flat_map(|(_, waiters)| waiters);
    let candidate = |waiter: &sleepwalk_trace::record::EpollWaiter| Candidate {
        process: waiter.process,
        uid: waiter.uid,
        comm: Name::new(model.text(waiter.comm)),
    };
    waiters.map(candidate).collect()
}
