//! Android's own counters, as a page.

use std::collections::BTreeSet;

use crate::import::{
    Abort, Alarm, AppWakelock, Blocker, Holder, Import, Layer, Origin, Part, Reason, SuspendCounts,
};
use crate::render::page::{Cell, Column, Kind, Mark, Page, Piece, Row, Text, quote, words};
use crate::report::{Known, Name};
use crate::units::{many, time};

/// The page, with `top` rows in each table.
pub fn page(import: &Import, top: usize) -> Page {
    let mut page = Page::default();
    let two = import.files.len() > 1;
    page.title(words(if two {
        "Android's own counters, between two files"
    } else {
        "Android's own counters"
    }));
    page.items(Mark::Plain, head(import));
    for layer in [Layer::Native, Layer::App, Layer::Kernel, Layer::KernelOrNative] {
        holders(&mut page, import, layer, top);
    }
    held(&mut page, &import.held);
    blockers(&mut page, &import.blockers);
    reasons(&mut page, &import.reasons, top);
    aborts(&mut page, &import.aborts, top);
    alarms(&mut page, &import.alarms, top);
    suspends(&mut page, &import.suspends);
    next_steps(&mut page, import, top);
    parts(&mut page, &import.parts);
    let unknown = import.unknown.iter().map(|one| words(format!("{}: {}", one.what, one.why)));
    page.list("Unknown", Mark::Doubt, unknown.collect());
    page
}

fn head(import: &Import) -> Vec<Text> {
    let device = &import.device;
    let line = |what: &str, text: &str| {
        let mut line = words(format!("{what}: "));
        line.extend(quote(text));
        line
    };
    let mut lines: Vec<_> = import.files.iter().map(|file| line("file", file)).collect();
    lines.extend(device.fingerprint.as_deref().map(|text| line("build", text)));
    lines.extend(device.kernel.as_deref().map(|text| line("kernel", text)));
    lines.extend(device.taken.as_deref().map(|text| line("taken", text)));
    lines.extend(device.uptime_ns.map(|ns| words(format!("up for {}", time(ns)))));
    lines
}

/// The best counter of `layer`, and the others by name: their rows are of the same holds.
fn holders(page: &mut Page, import: &Import, layer: Layer, top: usize) {
    let of = |origin| {
        let same = move |h: &&Holder| h.layer == layer && h.origin == origin && did(h);
        import.holders.iter().filter(same).collect::<Vec<_>>()
    };
    let origins =
        [Origin::AppWakelocks, Origin::SuspendControl, Origin::WakeupSources, Origin::Batterystats];
    let Some(origin) = origins.into_iter().find(|origin| !of(*origin).is_empty()) else { return };
    // All that an app holds together, before its tags.
    let rows = of(origin);
    if layer == Layer::App {
        let (apps, tags): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.name.is_none());
        table(page, import, "Apps that held partial wakelocks", &apps, (layer, origin), top);
        table(page, import, "Wakelocks of apps", &tags, (layer, origin), top);
        return;
    }
    let heading = match layer {
        Layer::Native => "Native wakelocks, held by processes of user space",
        Layer::KernelOrNative => "Wakeup sources and native wakelocks, on battery",
        Layer::Kernel | Layer::App => "Wakeup sources of the kernel",
    };
    table(page, import, heading, &rows, (layer, origin), top);
}

/// Whether it held anything, as far as is known.
fn did(holder: &Holder) -> bool {
    holder.held_ns != Some(0) || holder.holds.is_some_and(|holds| holds > 0)
}

fn table(
    page: &mut Page,
    import: &Import,
    heading: &str,
    rows: &[&Holder],
    (layer, origin): (Layer, Origin),
    top: usize,
) {
    if rows.is_empty() {
        return;
    }
    page.heading(heading);
    page.line(match (origin, layer) {
        _ if import.files.len() > 1 => format!("Between the two files, by {origin}."),
        (Origin::SuspendControl, Layer::Native) => {
            format!("Since SystemSuspend started, without time asleep, by {origin}.")
        }
        (Origin::AppWakelocks, _) => format!("Within the Perfetto trace, by {origin}."),
        (Origin::Batterystats, _) => format!("On battery, since it was charged, by {origin}."),
        _ => format!("Since each was registered, by {origin}."),
    });
    let mut columns = Vec::new();
    let mut cells: Vec<fn(&Holder) -> Cell> = Vec::new();
    let mut column = |column, cell| {
        columns.push(column);
        cells.push(cell);
    };
    if layer == Layer::App {
        column(Column::text("app"), |h: &Holder| Cell::Text(app(h.uid, &h.packages)));
    }
    if rows.iter().any(|row| row.name.is_some()) {
        column(Column::text(if layer == Layer::App { "tag" } else { "name" }), named);
    }
    if layer == Layer::Native {
        column(Column::text("pid"), |h| Cell::known(h.pid.map(|pid| pid.to_string())));
    }
    column(Column::number("held"), |h| Cell::known_time(h.held_ns));
    if rows.iter().any(|row| row.background_ns.is_some()) {
        column(Column::number("in background").spare(), |h| Cell::known_time(h.background_ns));
    }
    column(Column::number("longest").spare(), |h| Cell::known_time(h.longest_ns));
    column(Column::number("holds"), |h| known_count(h.holds));
    if layer == Layer::Kernel {
        let meaning = "suspends that the kernel charges to it";
        column(Column::number("wakeups").spare().meaning(meaning), |h| known_count(h.wakeups));
    }
    if rows.iter().any(|row| row.active == Some(true)) {
        column(Column::text("now"), |h| {
            Cell::words(if h.active == Some(true) { "held" } else { "" })
        });
    }
    let drawn = |row: &&Holder| Row {
        cells: cells.iter().map(|cell| cell(row)).collect(),
        kind: Kind::Plain,
        meaning: "",
    };
    page.table(&columns, rows.iter().take(top).map(drawn));
    rest(page, rows.len(), top);
}

/// How many of `all` rows are beyond the first `top`.
fn rest(page: &mut Page, all: usize, top: usize) {
    if all > top {
        page.rest(&[format!("{} more", many((all - top) as u64))]);
    }
}

fn named(holder: &Holder) -> Cell {
    let name = holder.name.as_deref().unwrap_or_default();
    if holder.layer == Layer::App {
        return Cell::Text(quote(name));
    }
    let mut text = vec![Piece::Name(name.as_bytes().to_vec())];
    if holder.instances > 1 {
        text.push(Piece::Words(format!(" ×{}", holder.instances)));
    }
    Cell::Text(text)
}

fn known_count(count: Option<u64>) -> Cell {
    count.map_or_else(|| Cell::known(None), Cell::count)
}

/// Packages, or the user id alone.
fn app(uid: Option<u32>, packages: &[String]) -> Text {
    let uid = uid.map_or_else(|| "uid unknown".to_owned(), |uid| format!("uid {uid}"));
    match packages {
        [] => words(uid),
        [one] => quote(one.as_str()),
        [first, others @ ..] => {
            let mut text = quote(first.as_str());
            text.extend(words(format!(" and {} more of {uid}", others.len())));
            text
        }
    }
}

/// For the first `top` of each layer.
fn next_steps(page: &mut Page, import: &Import, top: usize) {
    let mut names = BTreeSet::new();
    let layers = [Layer::Native, Layer::Kernel, Layer::KernelOrNative].into_iter();
    let busy = layers.flat_map(|layer| {
        import.holders.iter().filter(move |h| h.layer == layer && did(h)).take(top)
    });
    let known = busy.filter_map(|holder| {
        let bytes = holder.name.as_ref()?.as_bytes();
        let known = Known::of(&Name::new(bytes))?;
        names.insert(bytes).then(|| (vec![Piece::Name(bytes.to_vec())], known))
    });
    super::next_steps::list(page, known);
}

fn held(page: &mut Page, held: &[AppWakelock]) {
    if held.is_empty() {
        return;
    }
    page.heading("Wakelocks of apps that were held then");
    let columns = [
        Column::text("app"),
        Column::text("tag"),
        Column::text("level"),
        Column::number("pid").spare(),
        Column::number("since"),
        Column::text("note").spare(),
    ];
    let rows = held.iter().map(|one| {
        [
            Cell::Text(app(one.uid, &one.packages)),
            Cell::Text(quote(one.tag.as_str())),
            Cell::Text(quote(one.level.as_str())),
            Cell::known(one.pid.map(|pid| pid.to_string())),
            Cell::known_time(one.since_ns),
            Cell::words(if one.disabled { "ignored" } else { "" }),
        ]
    });
    page.table(&columns, rows);
}

fn blockers(page: &mut Page, blockers: &[Blocker]) {
    let held = blockers.iter().filter(|one| one.holders > 0).map(|one| {
        let mut text = vec![Piece::Quote(one.name.clone())];
        if one.name.ends_with(".Display") {
            text.extend(words(": the screen was on"));
        }
        text
    });
    page.list("Suspend blockers of the framework that were held then", Mark::Plain, held.collect());
}

fn reasons(page: &mut Page, reasons: &[Reason], top: usize) {
    for (abort, heading) in [(false, "Wake reasons"), (true, "Reasons of aborts")] {
        let rows: Vec<_> = reasons.iter().filter(|reason| reason.abort == abort).collect();
        if rows.is_empty() {
            continue;
        }
        page.heading(heading);
        let columns = [
            Column::text("reason"),
            Column::number("times"),
            Column::number("awake").spare(),
            Column::text("counted by"),
        ];
        let all = rows.len();
        let rows = rows.into_iter().take(top).map(|reason| {
            [
                Cell::Text(quote(reason.text.as_str())),
                known_count(reason.count),
                Cell::known_time(reason.awake_ns),
                Cell::words(reason.origin.to_string()),
            ]
        });
        page.table(&columns, rows);
        rest(page, all, top);
    }
}

fn aborts(page: &mut Page, aborts: &[Abort], top: usize) {
    if aborts.is_empty() {
        return;
    }
    page.heading("Aborted suspends in the kernel's log");
    let columns = [
        Column::text("message"),
        Column::text("source"),
        Column::number("times"),
        Column::number("last at").spare().meaning("by the log's clock, which stops in suspend"),
    ];
    let mut rows: Vec<_> = aborts.iter().collect();
    rows.sort_by_key(|abort| std::cmp::Reverse(abort.count));
    let rows = rows.into_iter().take(top).map(|abort| {
        [
            Cell::Text(quote(abort.message.as_str())),
            Cell::Text(quote(abort.source.as_deref().unwrap_or_default())),
            known_count(abort.count),
            Cell::known_time(abort.last_ns),
        ]
    });
    page.table(&columns, rows);
}

fn alarms(page: &mut Page, alarms: &[Alarm], top: usize) {
    // A package's own row is the sum of its alarms.
    let rows: Vec<_> = alarms.iter().filter(|a| a.tag.is_some() && a.wakeups != Some(0)).collect();
    if rows.is_empty() {
        return;
    }
    page.heading("Wakeup alarms");
    let columns = [
        Column::text("package"),
        Column::text("alarm"),
        Column::number("wakeups"),
        Column::number("alarms").spare(),
        Column::number("running").spare().meaning("how long its receivers ran"),
    ];
    let all = rows.len();
    let rows = rows.into_iter().take(top).map(|alarm| {
        [
            Cell::Text(quote(alarm.package.as_str())),
            Cell::Text(quote(alarm.tag.as_deref().unwrap_or_default())),
            known_count(alarm.wakeups),
            known_count(alarm.alarms),
            Cell::known_time(alarm.running_ns),
        ]
    });
    page.table(&columns, rows);
    rest(page, all, top);
}

fn suspends(page: &mut Page, suspends: &[SuspendCounts]) {
    for counts in suspends {
        let shown = counts.values.iter().filter(|one| !matches!(&*one.value, "" | "0" | "0 ms"));
        let rows = shown.map(|one| {
            [Cell::Text(quote(one.name.as_str())), Cell::Text(quote(one.value.as_str()))]
        });
        let rows: Vec<_> = rows.collect();
        page.heading(format!("Suspend attempts by {}", counts.origin));
        if rows.is_empty() {
            page.line("There were none.");
        }
        page.table(&[Column::text("counter"), Column::text("value")], rows);
    }
}

fn parts(page: &mut Page, parts: &[Part]) {
    page.heading("Lines read");
    let several = parts.iter().any(|part| part.file != parts[0].file);
    let mut columns = vec![
        Column::text("part"),
        Column::number("used"),
        Column::number("not understood"),
        Column::number("not read"),
        Column::text("first not understood").spare(),
    ];
    if several {
        columns.insert(0, Column::text("file"));
    }
    let rows = parts.iter().map(|part| {
        let mut cells = vec![
            Cell::Text(quote(part.name.as_str())),
            Cell::count(part.used),
            Cell::count(part.not_understood),
            Cell::count(part.not_read),
            Cell::Text(quote(part.example.as_deref().unwrap_or_default())),
        ];
        if several {
            cells.insert(0, Cell::Text(quote(part.file.as_str())));
        }
        Row { cells, kind: Kind::Plain, meaning: "" }
    });
    page.table(&columns, rows);
}
