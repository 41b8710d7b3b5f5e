//! `sleepwalkd record`: captures until the time is up or a signal comes.

use std::io::Write as _;

use anyhow::{Result, ensure};

use crate::args::RecordOptions;
use crate::cmd::version;
use crate::recorder::Recorder;
use crate::source::SnapshotSource as _;
use crate::store::Store;
use crate::wakeups::Wakeups;
use crate::{context, preflight, rights};

/// Records.
pub fn run(options: &RecordOptions) -> Result<()> {
    let kernel = preflight::kernel();
    rights::raise_memlock();
    let source = preflight::source(options.source, kernel.as_ref(), options.capacity)?;
    let mut hooks = preflight::hooks(kernel.as_ref().ok(), options.edges)?;
    let mut wakeups = Wakeups::new(hooks.fd(), options.interval, options.duration)?;
    let around = context::Surroundings::open();
    let mut session = context::session();
    session.agent = version::build()?;
    session.source = source.name().to_owned();
    session.hooks = around.hooks(hooks.told());
    session.edges = hooks.sees("edge");
    session.interval_ns = options.interval.as_nanos() as u64;
    // Last of all: a capture that can't begin leaves no file.
    let store = Store::create(&options.output, context::page_size())?;
    let mut recorder = Recorder::start(source, store, session, around)?;
    let readable = recorder.readable();
    rights::give_up(|| {
        recorder.works(&mut hooks)?;
        ensure!(recorder.readable() >= readable, "less can be read than before");
        Ok(())
    });
    // The host waits for this line.
    let mut out = std::io::stdout();
    let _ = writeln!(out, "ready").and_then(|()| out.flush());
    recorder.run(&mut hooks, &mut wakeups)
}
