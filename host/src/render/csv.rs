//! Tables for spreadsheets and data frames: RFC 4180, one row per source, attempt or wait, units in
//! the columns' names, empty where a value is unknown.
//!
//! Strings from the device are escaped as in [`crate::text`], and `;` is `\x3b`: a spreadsheet that
//! takes it for the end of a cell would read another cell from the rest. A cell that a spreadsheet
//! would run as a formula, or that starts with `'`, has a `'` in front. To get a name's bytes back,
//! remove one `'` from the front if there is one, and undo the escapes.

use csv::{Error, Terminator, Writer, WriterBuilder};

use crate::report::{Name, Report, Source};
use crate::text::escape;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// A row per source.
    Sources,
    /// A row per attempt.
    Attempts,
    /// A row per wait.
    Waits,
}

/// The table over all `reports`, whose sessions are numbered from 0.
pub fn render<'a>(
    reports: impl IntoIterator<Item = &'a Report>,
    table: Table,
) -> Result<String, Error> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    let head: &[&str] = match table {
        Table::Sources => &SOURCES,
        Table::Attempts => &ATTEMPTS,
        Table::Waits => &WAITS,
    };
    writer.write_record(SESSION.iter().chain(head))?;
    for (index, report) in reports.into_iter().enumerate() {
        let session = [
            cell(report.session.device.as_bytes()),
            cell(report.session.serial.as_bytes()),
            index.to_string(),
        ];
        match table {
            Table::Sources => sources(&mut writer, &session, report)?,
            Table::Attempts => attempts(&mut writer, &session, report)?,
            Table::Waits => waits(&mut writer, &session, report)?,
        }
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

const SESSION: [&str; 3] = ["device", "serial", "session"];

const SOURCES: [&str; 21] = [
    "name",
    "name_cut",
    "instance",
    "instances",
    "address_id",
    "first_ns",
    "last_ns",
    "born",
    "died",
    "held_ns",
    "blocked_share_ns",
    "blocked_sole_ns",
    "aborts",
    "abort_ns",
    "wakes",
    "after_wake_ns",
    "cost_ns",
    "activations",
    "events",
    "expiries",
    "active_at_end",
];

const ATTEMPTS: [&str; 14] = [
    "index",
    "start_ns",
    "end_ns",
    "mode",
    "outcome",
    "stage",
    "errno",
    "slept_ns",
    "s2idle_entries",
    "causes",
    "wake_irq",
    "wake_irq_name",
    "wake_source",
    "wake_evidence",
];

const WAITS: [&str; 6] = ["start_ns", "end_ns", "thread", "idle", "blockers", "blocker_shares_ns"];

type Out = Writer<Vec<u8>>;

fn row<const N: usize>(
    out: &mut Out,
    session: &[String; 3],
    cells: [String; N],
) -> Result<(), Error> {
    out.write_record(session.iter().chain(&cells))
}

fn sources(out: &mut Out, session: &[String; 3], report: &Report) -> Result<(), Error> {
    for s in &report.sources {
        row(out, session, source(s))?;
    }
    Ok(())
}

fn source(s: &Source) -> [String; SOURCES.len()] {
    [
        cell(&s.name.bytes),
        s.name_cut.to_string(),
        known(s.instance),
        s.sum.instances.to_string(),
        known(s.address_id),
        s.first_ns.0.to_string(),
        s.last_ns.0.to_string(),
        s.born.to_string(),
        s.died.to_string(),
        s.sum.held_ns.to_string(),
        known(s.sum.blocked_share_ns),
        known(s.sum.blocked_sole_ns),
        s.sum.aborts.to_string(),
        s.sum.abort_ns.to_string(),
        s.sum.wakes.to_string(),
        s.sum.after_wake_ns.to_string(),
        s.sum.cost_ns.to_string(),
        s.sum.activations.to_string(),
        s.sum.events.to_string(),
        s.sum.expiries.to_string(),
        s.active_at_end.to_string(),
    ]
}

fn attempts(out: &mut Out, session: &[String; 3], report: &Report) -> Result<(), Error> {
    for a in &report.attempts {
        let wake = a.wake.as_ref();
        let source = wake.and_then(|wake| wake.source.as_ref());
        let irq_name = wake.and_then(|wake| wake.irq_name.as_ref());
        let cells: [String; ATTEMPTS.len()] = [
            a.index.to_string(),
            a.start_ns.0.to_string(),
            a.end_ns.0.to_string(),
            a.mode.to_string(),
            a.outcome.to_string(),
            a.stage.to_string(),
            known(a.errno),
            a.slept_ns.to_string(),
            a.s2idle_entries.to_string(),
            joined(a.causes.iter().map(|cause| &cause.name)),
            known(wake.and_then(|wake| wake.irq)),
            irq_name.map(|name| cell(name.as_bytes())).unwrap_or_default(),
            source.map(|source| cell(&source.name.bytes)).unwrap_or_default(),
            wake.map(|wake| wake.evidence.to_string()).unwrap_or_default(),
        ];
        row(out, session, cells)?;
    }
    Ok(())
}

fn waits(out: &mut Out, session: &[String; 3], report: &Report) -> Result<(), Error> {
    for w in &report.waits {
        let shares: Vec<_> = w.blockers.iter().map(|b| b.share_ns.to_string()).collect();
        let cells: [String; WAITS.len()] = [
            w.start_ns.0.to_string(),
            w.end_ns.0.to_string(),
            w.thread.to_string(),
            known(w.idle),
            joined(w.blockers.iter().map(|blocker| &blocker.name)),
            shares.join("; "),
        ];
        row(out, session, cells)?;
    }
    Ok(())
}

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

/// The bytes of the name in a cell; `None` where no such cell is ever written.
pub fn bytes_of(cell: &str) -> Option<Vec<u8>> {
    crate::text::unescape(cell.strip_prefix('\'').unwrap_or(cell))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            assert_eq!(bytes_of(text).as_deref(), Some(name.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn a_names_bytes_come_back(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            let cell = cell(&name);
            prop_assert!(!cell.contains(['\n', '\r', '\t', ';']));
            prop_assert!(!cell.trim_start().starts_with(['=', '+', '-', '@']));
            prop_assert_eq!(bytes_of(&cell), Some(name));
        }
    }
}
