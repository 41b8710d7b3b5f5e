//! Tables for spreadsheets and data frames: RFC 4180, one row per source, attempt or wait, units in
//! the columns' names, empty where a value is unknown.
//!
//! Strings from the device are escaped as in [`crate::text`], and `;` is `\x3b`: a spreadsheet that
//! takes it for the end of a cell would read another cell from the rest. A cell that a spreadsheet
//! would run as a formula, or that starts with `'`, has a `'` in front. To get a name's bytes back,
//! remove one `'` from the front if there is one, and undo the escapes.

use clap::ValueEnum;
use csv::{Error, Terminator, WriterBuilder};

use crate::import::Layer;
use crate::report::{Activator, Attempt, Name, Report, Source, Wait, Wakelock};
use crate::text::escape;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Table {
    /// One row per wakeup source, and per interrupt that bears the cost of wakes
    Sources,
    /// One row per suspend attempt
    Attempts,
    /// One row per wait: user space wanted to suspend, and a source blocked it
    Waits,
    /// One row per wakelock of a process or an app, by Android's services
    Wakelocks,
}

/// The table over all `reports`, whose sessions are numbered from 0.
pub fn render<'a>(
    reports: impl IntoIterator<Item = &'a Report>,
    table: Table,
) -> Result<String, Error> {
    match table {
        Table::Sources => rendered(reports, SOURCES, |report| &report.sources),
        Table::Attempts => rendered(reports, ATTEMPTS, |report| &report.attempts),
        Table::Waits => rendered(reports, WAITS, |report| &report.waits),
        Table::Wakelocks => rendered(reports, WAKELOCKS, |report| {
            report.user_space.as_ref().map_or(&[], |user_space| &user_space.wakelocks)
        }),
    }
}

fn rendered<'a, T>(
    reports: impl IntoIterator<Item = &'a Report>,
    columns: &[Column<T>],
    rows: fn(&Report) -> &[T],
) -> Result<String, Error> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    let heads = columns.iter().map(|(head, _)| *head);
    writer.write_record(["device", "serial", "session"].into_iter().chain(heads))?;
    for (index, report) in reports.into_iter().enumerate() {
        let device = cell(report.session.device.as_bytes());
        let session = [device, cell(report.session.serial.as_bytes()), index.to_string()];
        for row in rows(report) {
            let cells = columns.iter().map(|(_, cell)| cell(row));
            writer.write_record(session.iter().cloned().chain(cells))?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The head of a column, and its cell in a row.
type Column<T> = (&'static str, fn(&T) -> String);

const SOURCES: &[Column<Source>] = &[
    ("name", |s| cell(&s.name.bytes)),
    ("kind", |s| s.kind.to_string()),
    ("irq", |s| known(s.irq)),
    ("name_cut", |s| s.name_cut.to_string()),
    ("instance", |s| known(s.instance)),
    ("instances", |s| s.sum.instances.to_string()),
    ("address_id", |s| known(s.address_id)),
    ("first_ns", |s| s.first_ns.0.to_string()),
    ("last_ns", |s| s.last_ns.0.to_string()),
    ("born", |s| s.born.to_string()),
    ("died", |s| s.died.to_string()),
    ("held_ns", |s| s.sum.held_ns.to_string()),
    ("held_at_least", |s| s.sum.held_at_least.to_string()),
    ("longest_hold_ns", |s| s.sum.longest_hold_ns.to_string()),
    ("longest_hold_at_ns", |s| known(s.longest_hold_at_ns.map(|at| at.0))),
    ("blocked_share_ns", |s| known(s.sum.blocked_share_ns)),
    ("blocked_sole_ns", |s| known(s.sum.blocked_sole_ns)),
    ("aborts", |s| s.sum.aborts.to_string()),
    ("abort_ns", |s| s.sum.abort_ns.to_string()),
    ("after_abort_ns", |s| s.sum.after_abort_ns.to_string()),
    ("wakes", |s| s.sum.wakes.to_string()),
    ("resume_ns", |s| s.sum.resume_ns.to_string()),
    ("after_wake_ns", |s| s.sum.after_wake_ns.to_string()),
    ("cost_ns", |s| s.sum.cost_ns.to_string()),
    ("activations", |s| s.sum.activations.to_string()),
    ("events", |s| s.sum.events.to_string()),
    ("expiries", |s| s.sum.expiries.to_string()),
    ("active_at_end", |s| s.active_at_end.to_string()),
    ("device", |s| quoted(s.device.as_ref().map(|d| d.path.as_str()))),
    ("driver", |s| quoted(s.device.as_ref().and_then(|d| d.driver.as_deref()))),
    ("compatible", |s| quoted(s.device.as_ref().and_then(|d| d.compatible.as_deref()))),
    ("activators", |s| known(s.activators.as_ref().map(Vec::len))),
    ("activator_function", |s| quoted(first(s).and_then(|a| a.function.as_deref()))),
    ("activator_module", |s| quoted(first(s).and_then(|a| a.module.as_deref()))),
    ("activator_level", |s| known(first(s).map(|a| a.level))),
    ("activator_comm", |s| {
        first(s).and_then(|a| a.comm.as_ref()).map(|c| cell(&c.bytes)).unwrap_or_default()
    }),
    ("activator_process", |s| known(first(s).and_then(|a| a.process))),
    ("activator_activations", |s| known(first(s).map(|a| a.activations))),
    ("activator_held_ns", |s| known(first(s).map(|a| a.held_ns))),
];

const WAKELOCKS: &[Column<Wakelock>] = &[
    ("layer", |w| if w.layer == Layer::App { "app" } else { "native" }.to_owned()),
    ("name", |w| cell(w.name.as_bytes())),
    ("pid", |w| known(w.pid)),
    ("uid", |w| known(w.uid)),
    ("packages", |w| cell(w.packages.join(" ").as_bytes())),
    ("held_ns", |w| known(w.held_ns)),
    ("found_held", |w| w.found_held.to_string()),
    ("charged_ns", |w| w.charged_ns.to_string()),
    ("evidence", |w| w.evidence.to_string()),
];

/// The activator that held it longest.
fn first(source: &Source) -> Option<&Activator> {
    source.activators.as_ref()?.first()
}

fn quoted(text: Option<&str>) -> String {
    text.map(|text| cell(text.as_bytes())).unwrap_or_default()
}

const ATTEMPTS: &[Column<Attempt>] = &[
    ("index", |a| a.index.to_string()),
    ("start_ns", |a| a.start_ns.0.to_string()),
    ("end_ns", |a| a.end_ns.0.to_string()),
    ("mode", |a| a.mode.to_string()),
    ("outcome", |a| a.outcome.to_string()),
    ("stage", |a| a.stage.to_string()),
    ("errno", |a| known(a.errno)),
    ("slept_ns", |a| a.slept_ns.to_string()),
    ("s2idle_entries", |a| a.s2idle_entries.to_string()),
    ("armed", |a| known(a.armed)),
    ("save_refused", |a| a.save_refused.to_string()),
    ("irq", |a| known(a.irq)),
    ("irq_name", |a| a.irq_name.as_ref().map(|name| cell(name.as_bytes())).unwrap_or_default()),
    ("causes", |a| joined(a.causes.iter().map(|cause| &cause.name))),
    ("first_cause", |a| joined(a.causes.iter().filter(|c| c.first).map(|cause| &cause.name))),
    ("wake_irq", |a| known(a.wake.as_ref().and_then(|wake| wake.irq))),
    ("wake_irq_name", |a| {
        let name = a.wake.as_ref().and_then(|wake| wake.irq_name.as_ref());
        name.map(|name| cell(name.as_bytes())).unwrap_or_default()
    }),
    ("wake_source", |a| a.waker().map(|source| cell(&source.name.bytes)).unwrap_or_default()),
    ("wake_evidence", |a| known(a.wake.as_ref().map(|wake| wake.evidence))),
    ("wake_tie", |a| known(a.wake.as_ref().and_then(|wake| wake.tie))),
    ("failed_device", |a| {
        a.failed_device.as_ref().map(|device| cell(device.as_bytes())).unwrap_or_default()
    }),
    ("failed_step", |a| known(a.failed_step)),
    ("freeze_timeout", |a| a.freeze_timeout.to_string()),
    ("resume_reason", |a| {
        a.resume_reason.as_ref().map(|reason| cell(reason.as_bytes())).unwrap_or_default()
    }),
];

const WAITS: &[Column<Wait>] = &[
    ("start_ns", |w| w.start_ns.0.to_string()),
    ("end_ns", |w| w.end_ns.0.to_string()),
    ("thread", |w| w.thread.to_string()),
    ("idle", |w| known(w.idle)),
    ("blockers", |w| joined(w.blockers.iter().map(|blocker| &blocker.name))),
    ("blocker_shares_ns", |w| {
        w.blockers.iter().map(|b| b.share_ns.to_string()).collect::<Vec<_>>().join("; ")
    }),
];

fn known(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Several names in one cell: none of them contains `; `.
fn joined<'a>(names: impl Iterator<Item = &'a Name>) -> String {
    names.map(|name| cell(&name.bytes)).collect::<Vec<_>>().join("; ")
}

/// A string from the device.
fn cell(bytes: &[u8]) -> String {
    let text = escape(bytes).replace(';', "\\x3b");
    // Some spreadsheets pass over blanks, and take the full-width signs for the common ones.
    let formula = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\''];
    match text.trim_start().starts_with(formula) {
        true => format!("'{text}"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::inverse::csv_bytes;

    #[test]
    fn no_cell_is_a_formula() {
        for (name, text) in [
            ("wlan", "wlan"),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("  =1", "'  =1"),
            ("＝1", "'＝1"),
            ("\t=1", "\\t=1"),
            ("\r=1", "\\r=1"),
            ("'=1", "''=1"),
            ("a;=1", "a\\x3b=1"),
        ] {
            assert_eq!(cell(name.as_bytes()), text);
            assert_eq!(csv_bytes(text).as_deref(), Some(name.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn a_names_bytes_come_back(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            let cell = cell(&name);
            prop_assert!(!cell.contains(['\n', '\r', '\t', ';']));
            prop_assert!(!cell.trim_start().starts_with(['=', '+', '-', '@']));
            prop_assert_eq!(csv_bytes(&cell), Some(name));
        }
    }
}
