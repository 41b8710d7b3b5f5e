//! `sleepwalkd record`: records until the time is up or a signal comes.

use std::io::Write as _;

use anyhow::{Result, ensure};
use nix::errno::Errno;
use sleepwalk_trace::record::{Note, Session};

use super::{Unusable, attach_hooks, kernel, open_source, version};
use crate::args::RecordOptions;
use crate::capture::detach;
use crate::capture::lock::CaptureLock;
use crate::capture::recorder::Recorder;
use crate::capture::wakeups::{Signals, Wakeups};
use crate::context::Surroundings;
use crate::probe::hooks::Hooks;
use crate::snapshot::SnapshotSource;
use crate::store::{OnFull, Store, choose, sigbus};
use crate::{capabilities, clock, context};

/// Records.
pub fn run(options: &RecordOptions) -> Result<()> {
    let _lock = CaptureLock::take()?;
    if options.detached {
        detach::from_adbd();
    }
    // Before the file is created: a signal must not leave it without an end.
    let signals = Signals::hold(options.detached)?;
    let path = choose(&options.output, clock::now().real);
    // Before anything is loaded, which takes seconds: a bad path is reported at once.
    sigbus::handle()?;
    let store = Store::create(&path, context::page_size(), options.bounds);
    let full =
        |error: &anyhow::Error| matches!(error.downcast_ref(), Some(Errno::ENOSPC | Errno::EDQUOT));
    let store =
        store.map_err(|error| if full(&error) { error.context(Unusable) } else { error })?;
    let Loaded { source, notes, mut hooks, mut wakeups, surroundings, session } =
        match load(options, signals) {
            Ok(loaded) => loaded,
            Err(error) => {
                // A capture that cannot start leaves no file.
                store.remove();
                return Err(error);
            }
        };
    let ring = options.bounds.on_full == OnFull::Ring;
    let mut recorder = Recorder::start(source, store, session, notes, surroundings, ring)?;
    recorder.record_waiters(&mut hooks);
    let readable = recorder.readable();
    capabilities::drop_unneeded(|| {
        recorder.works(&mut hooks)?;
        ensure!(recorder.readable() >= readable, "fewer values can be read than before");
        Ok(())
    });
    let mut out = std::io::stdout();
    if path != options.output {
        let _ = writeln!(out, "trace {}", path.display());
    }
    // The host waits for this line.
    let _ = writeln!(out, "ready").and_then(|()| out.flush());
    recorder.run(&mut hooks, &mut wakeups)
}

/// Everything that a capture needs besides its file.
struct Loaded {
    source: Box<dyn SnapshotSource>,
    notes: Vec<Note>,
    hooks: Hooks,
    wakeups: Wakeups,
    surroundings: Surroundings,
    session: Session,
}

fn load(options: &RecordOptions, signals: Signals) -> Result<Loaded> {
    let kernel = kernel();
    capabilities::raise_memlock();
    let opened = open_source(options.source, kernel.as_ref(), options.capacity)?;
    let about = || "snapshots".to_owned();
    let notes = opened.notes().map(|text| Note { about: about(), text: text.to_owned() }).collect();
    let source = opened.source;
    let hooks = attach_hooks(kernel.as_ref().ok(), options.edges)?;
    let wakeups = Wakeups::new(hooks.fd(), signals, options.interval, options.duration)?;
    let surroundings = Surroundings::open();
    let session = Session {
        agent: version::build()?,
        source: source.name().to_owned(),
        hooks: surroundings.hooks(hooks.attached()),
        edges: hooks.sees("edge"),
        interval_ns: options.interval.as_nanos() as u64,
        ..context::session()
    };
    Ok(Loaded { source, notes, hooks, wakeups, surroundings, session })
}
