//! `sleepwalkd record`: captures until the time is up or a signal comes.

use std::io::Write as _;

use anyhow::{Result, ensure};
use sleepwalk_trace::record::Session;

use crate::alone::Alone;
use crate::args::RecordOptions;
use crate::cmd::version;
use crate::context::Surroundings;
use crate::probe::hooks::Hooks;
use crate::recorder::Recorder;
use crate::source::SnapshotSource;
use crate::store::{OnFull, Store, choose};
use crate::wakeups::{Signals, Wakeups};
use crate::{clock, context, preflight, rights};

/// Records.
pub fn run(options: &RecordOptions) -> Result<()> {
    let _alone = Alone::take()?;
    // Before there is a file, which is not to be left without an end.
    let signals = Signals::hold()?;
    let path = choose(&options.output, clock::now().real);
    // Before anything is loaded: that takes seconds, and a path that won't do is soon told.
    let store = Store::create(&path, context::page_size(), options.bounds)?;
    let Loaded { source, mut hooks, mut wakeups, around, session } = match load(options, signals) {
        Ok(loaded) => loaded,
        Err(error) => {
            // A capture that can't begin leaves no file.
            store.remove();
            return Err(error);
        }
    };
    let ring = options.bounds.on_full == OnFull::Ring;
    let mut recorder = Recorder::start(source, store, session, around, ring)?;
    let readable = recorder.readable();
    rights::give_up(|| {
        recorder.works(&mut hooks)?;
        ensure!(recorder.readable() >= readable, "less can be read than before");
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

/// All that a capture needs besides its file.
struct Loaded {
    source: Box<dyn SnapshotSource>,
    hooks: Hooks,
    wakeups: Wakeups,
    around: Surroundings,
    session: Session,
}

fn load(options: &RecordOptions, signals: Signals) -> Result<Loaded> {
    let kernel = preflight::kernel();
    rights::raise_memlock();
    let source = preflight::source(options.source, kernel.as_ref(), options.capacity)?;
    let hooks = preflight::hooks(kernel.as_ref().ok(), options.edges)?;
    let wakeups = Wakeups::new(hooks.fd(), signals, options.interval, options.duration)?;
    let around = Surroundings::open();
    let session = Session {
        agent: version::build()?,
        source: source.name().to_owned(),
        hooks: around.hooks(hooks.told()),
        edges: hooks.sees("edge"),
        interval_ns: options.interval.as_nanos() as u64,
        ..context::session()
    };
    Ok(Loaded { source, hooks, wakeups, around, session })
}
