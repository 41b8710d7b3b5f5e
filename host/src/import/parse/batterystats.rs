//! `dumpsys batterystats -c` (`BatteryStats.dumpCheckinLocked`, Android 5 to 16): lines of
//! `9,<uid>,<i|l|…>,<kind>,…`, of which `l` is since the device was charged.

use super::super::facts::{Facts, Holder, Layer, Origin, Reason};
use super::suspend_control::is_abort;
use super::values::ms;
use super::{Parser, Read, used};

/// Reads one fact a line.
#[derive(Default)]
pub struct Lines;

/// Whether `line` is one of this text.
pub fn is_line(line: &str) -> bool {
    let rest = line.strip_prefix("9,");
    rest.is_some_and(|rest| {
        rest.starts_with("h,") || rest.starts_with("hsp,") || kind(rest).is_some()
    })
}

/// The user id, and what follows the kind: `0,l,kwl,"name",…`.
fn kind(rest: &str) -> Option<(u32, &str, &str, &str)> {
    let mut parts = rest.splitn(4, ',');
    let uid = parts.next()?.parse().ok()?;
    let (since, kind) = (parts.next()?, parts.next()?);
    let known = since.len() == 1 && !kind.is_empty();
    known.then_some((uid, since, kind, parts.next().unwrap_or_default()))
}

impl Parser for Lines {
    fn line(&mut self, line: &str, facts: &mut Facts) -> Read {
        if !is_line(line) {
            return Read::Unclear;
        }
        let Some((uid, since, kind, rest)) = line.strip_prefix("9,").and_then(kind) else {
            return Read::Skipped;
        };
        match (since, kind) {
            ("i", "vers") => {
                facts.restart(Origin::Batterystats);
                facts.reasons.retain(|one| one.origin != Origin::Batterystats);
                Read::Used
            }
            ("i", "uid") => used(package(rest, facts)),
            ("l", "kwl") => used(kernel(rest, facts)),
            ("l", "wr") => used(reason(rest, facts)),
            ("l", "awl") => used(app(uid, rest, facts)),
            ("l", "wl") => used(wakelock(uid, rest, facts)),
            _ => Read::Skipped,
        }
    }
}

/// `10219,com.google.android.gms`.
fn package(rest: &str, facts: &mut Facts) -> Option<()> {
    let (uid, package) = rest.split_once(',')?;
    facts.packages.entry(uid.parse().ok()?).or_default().insert(package.to_owned());
    Some(())
}

/// The text between the first and the last quote, and the fields behind it.
fn quoted(rest: &str) -> Option<(&str, Vec<&str>)> {
    let (text, fields) = rest.strip_prefix('"')?.rsplit_once('"')?;
    Some((text, fields.strip_prefix(',')?.split(',').collect()))
}

/// `"name",<ms>,<count>,<current or -1>,<max or -1>`.
fn kernel(rest: &str, facts: &mut Facts) -> Option<()> {
    let (name, fields) = quoted(rest)?;
    let mut holder = Holder::new(Layer::KernelOrNative, Some(name), Origin::Batterystats);
    holder.held_ns = Some(ms(fields.first()?.parse().ok()?));
    holder.holds = Some(fields.get(1)?.parse().ok()?);
    holder.longest_ns = fields.get(3).and_then(|max| max.parse().ok()).map(ms);
    facts.hold(holder);
    Some(())
}

/// `"reason",<ms>,<count>`.
fn reason(rest: &str, facts: &mut Facts) -> Option<()> {
    let (text, fields) = quoted(rest)?;
    facts.reasons.push(Reason {
        text: text.to_owned(),
        abort: is_abort(text),
        awake_ns: Some(ms(fields.first()?.parse().ok()?)),
        count: Some(fields.get(1)?.parse().ok()?),
        origin: Origin::Batterystats,
    });
    Some(())
}

/// `<ms>,<background ms>`: all partial wakelocks of the app together, none counted twice.
fn app(uid: u32, rest: &str, facts: &mut Facts) -> Option<()> {
    let mut fields = rest.split(',');
    let mut holder = Holder::new(Layer::App, None, Origin::Batterystats);
    holder.uid = Some(uid);
    holder.held_ns = Some(ms(fields.next()?.parse().ok()?));
    holder.background_ns = fields.next().and_then(|field| field.parse().ok()).map(ms);
    facts.hold(holder);
    Some(())
}

/// `<tag>,` and blocks of `<total>,<letter>,<count>,<current>,<max>,<total duration>`: `f` full, `p` partial, `bp` in
/// the background, `w` window. Older releases have shorter blocks, and no `bp`. The tag may hold commas.
fn wakelock(uid: u32, rest: &str, facts: &mut Facts) -> Option<()> {
    let fields: Vec<&str> = rest.split(',').collect();
    let shapes = [(6, 4), (5, 4), (4, 4), (6, 3), (5, 3), (4, 3), (3, 3)];
    let (first, size) = shapes.into_iter().find_map(|(size, blocks)| {
        let first = fields.len().checked_sub(size * blocks).filter(|first| *first > 0)?;
        let letter = |at: usize, letter| fields.get(at + 1) == Some(&letter);
        (letter(first, "f") && letter(first + size, "p")).then_some((first, size))
    })?;
    let block = |letter| fields[first..].chunks(size).find(|block| block.get(1) == Some(&letter));
    let number = |block: &[&str], at: usize| block.get(at)?.parse::<u64>().ok();
    let partial = block("p")?;
    let mut holder =
        Holder::new(Layer::App, Some(&fields[..first].join(",")), Origin::Batterystats);
    holder.uid = Some(uid);
    // The first number is shared among all that hold one at the time; the last of six is not.
    holder.held_ns = Some(ms(number(partial, 5).or_else(|| number(partial, 0))?));
    holder.holds = Some(number(partial, 2)?);
    holder.longest_ns = number(partial, 4).map(ms);
    holder.background_ns = block("bp").and_then(|block| number(block, 5)).map(ms);
    facts.hold(holder);
    Some(())
}
