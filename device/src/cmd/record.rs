//! `sleepwalkd record`: records until the time is up or a signal comes.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Result, ensure};
use nix::errno::Errno;
use sleepwalk_trace::record::{Note, Session};

use super::{Unusable, attach_hooks, kernel, open_source, version};
use crate::activators::callers::Callers;
use crate::activators::symbols::Symbols;
use crate::activators::{Activators, Detail};
use crate::args::RecordOptions;
use crate::capture::detach;
use crate::capture::lock::CaptureLock;
use crate::capture::recorder::Recorder;
use crate::capture::wakeups::{Signals, Wakeups};
use crate::context::Surroundings;
use crate::context::services::Services;
use crate::probe::events::PreemptBits;
use crate::probe::hooks::Hooks;
use crate::snapshot::{SnapshotSource, kptr};
use crate::store::{Bounds, OnFull, Store, choose, sigbus};
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
    let Loaded { source, notes, mut hooks, activators, mut wakeups, surroundings, session } =
        match load(options, &path, signals) {
            Ok(loaded) => loaded,
            Err(error) => {
                // A capture that cannot start leaves no file.
                store.remove();
                return Err(error);
            }
        };
    let ring = options.bounds.on_full == OnFull::Ring;
    let mut recorder = Recorder::start(source, store, session, notes, surroundings, ring)?;
    if let Some(activators) = activators {
        recorder.record_activators(activators);
    }
    recorder.record_waiters(&mut hooks);
    recorder.record_epoll_waiters();
    let readable = recorder.readable();
    capabilities::drop_unneeded(|| {
        recorder.works(&mut hooks)?;
        ensure!(recorder.readable() >= readable, "fewer values can be read than before");
        Ok(())
    });
    if let Some(services) = options.dumpsys.then(Services::find).flatten() {
        recorder.ask_services(services, dump_room(options.bounds));
    }
    let mut out = std::io::stdout();
    if path != options.output {
        let _ = writeln!(out, "trace {}", path.display());
    }
    // The host waits for this line.
    let _ = writeln!(out, "ready").and_then(|()| out.flush());
    recorder.run(&mut hooks, &mut wakeups)
}

/// Bytes for the output of Android's services: a small part of the trace.
fn dump_room(bounds: Bounds) -> usize {
    const MOST: u64 = 8 << 20;
    (bounds.max_size / 8).min(MOST) as usize
}

/// Everything that a capture needs besides its file.
struct Loaded {
    source: Box<dyn SnapshotSource>,
    notes: Vec<Note>,
    hooks: Hooks,
    activators: Option<Activators>,
    wakeups: Wakeups,
    surroundings: Surroundings,
    session: Session,
}

fn load(options: &RecordOptions, path: &Path, signals: Signals) -> Result<Loaded> {
    let kernel = kernel();
    capabilities::raise_memlock();
    let opened = open_source(options.source, kernel.as_ref(), options.capacity)?;
    let about = || "snapshots".to_owned();
    let notes = opened.notes().map(|text| Note { about: about(), text: text.to_owned() });
    let mut notes: Vec<_> = notes.collect();
    let source = opened.source;
    let (mut hooks, why) = attach_hooks(kernel.as_ref().ok(), options.edges, options.activators)?;
    let (activators, sentences) = match &why {
        None => activators(options, path, &mut hooks, PreemptBits::of(kernel.as_ref().ok())),
        Some(why) => (None, vec![format!("they are not recorded: {why}")]),
    };
    let about = || "activators".to_owned();
    notes.extend(sentences.into_iter().map(|text| Note { about: about(), text }));
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
    Ok(Loaded { source, notes, hooks, activators, wakeups, surroundings, session })
}

/// The means to record activators, and notes on them.
fn activators(
    options: &RecordOptions,
    path: &Path,
    hooks: &mut Hooks,
    bits: PreemptBits,
) -> (Option<Activators>, Vec<String>) {
    if options.activators == Detail::Off || !hooks.sees("edge") {
        return (None, Vec::new());
    }
    let Some(stacks) = hooks.take_stacks() else { return (None, Vec::new()) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut notes = Vec::new();
    let symbols = kptr::kallsyms().and_then(|(file, lowered)| {
        notes.extend(lowered);
        Symbols::read(file, folder.unwrap_or(Path::new(".")))
    });
    let symbols = symbols.map_err(|error| format!("they have no functions: {error:#}"));
    notes.extend(symbols.as_ref().err().cloned());
    let symbols = symbols.ok();
    let callers = Callers::new(move |key| stacks.frames(key), symbols);
    (Some(Activators::new(callers, bits, options.activators == Detail::Stacks)), notes)
}
