//! Holds in user space, by the services that the agent asked.

use std::collections::BTreeMap;

use serde::Serialize;
use sleepwalk_trace::record::{DUMP_CUT, DUMP_GOES_ON, DUMP_TIMED_OUT, DUMP_WHOLE};
use sleepwalk_trace::time::BootNanos;

use super::traced::{Shares, Traced};
use super::{Span, stamp};
use crate::analyze::Analysis;
use crate::import::{self, Holder, Import, Layer, difference};
use crate::session::dumps::Dump;

/// Wakelocks and alarms of user space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UserSpace {
    /// The questions, by time.
    pub questions: Vec<Question>,
    /// From the first answer on native wakelocks to the last; null with fewer than two.
    pub wakelocks_over_ns: Option<u64>,
    /// Wakelocks, the most time first.
    pub wakelocks: Vec<Wakelock>,
    /// The holds with a question in them, by time.
    pub holds: Vec<UserHold>,
    /// The part of the ledger's `user_space_ns` that is charged to native wakelocks.
    pub charged_ns: u64,
    /// How long the screen kept it awake between these answers, by the totals of the native wakelocks that the framework
    /// holds for it; null where that is unknown.
    pub screen_ns: Option<u64>,
    /// Wakeup alarms that came between the first answer and the last, the most first.
    pub alarms: Vec<AlarmRise>,
    /// Lines of all answers that were not understood.
    pub lines_not_understood: u64,
}

/// A time in which only user space kept the device awake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserHold {
    /// When the kernel was ready.
    #[serde(serialize_with = "stamp")]
    pub start_ns: BootNanos,
    /// When user space wrote the count.
    #[serde(serialize_with = "stamp")]
    pub end_ns: BootNanos,
    /// The places in `wakelocks`, from 0, of those that were held in all questions; empty if none was.
    pub held: Vec<usize>,
}

/// A question to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Question {
    /// When.
    #[serde(serialize_with = "stamp")]
    pub at_ns: BootNanos,
    /// How long it took.
    pub took_ns: u64,
    /// The arguments of `dumpsys`.
    pub service: String,
    /// Whether it was answered.
    pub status: Status,
}

/// The end of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The answer is whole.
    Whole,
    /// The answer is longer than the agent keeps.
    Cut,
    /// There was none in time.
    TimedOut,
    /// The service does not exist or refused.
    Failed,
    /// The trace has only a part of it.
    Incomplete,
}

/// A wakelock of a process or an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wakelock {
    /// `native` or `app`.
    pub layer: Layer,
    /// The name or tag.
    pub name: String,
    /// The process.
    pub pid: Option<u32>,
    /// The app's user id.
    pub uid: Option<u32>,
    /// The packages with this user id.
    pub packages: Vec<String>,
    /// How long it was held between the first answer and the last; null where that is unknown, as it is for apps.
    pub held_ns: Option<u64>,
    /// In how many questions it was found held while only user space kept the device awake.
    pub found_held: u64,
    /// The time of these holds, divided among those that were held in all questions of a hold. For an app it is a part
    /// of the native wakelock that the framework holds for apps.
    pub charged_ns: u64,
    /// How this is known.
    pub evidence: Evidence,
}

/// How a hold is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Each of its holds was recorded by Perfetto.
    Traced,
    /// A question found it held while only user space kept the device awake.
    AskedWhileHeld,
    /// The total of its holds rose.
    Difference,
}

displays_key!(Evidence);

/// An alarm that came during the capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlarmRise {
    /// The user id.
    pub uid: Option<u32>,
    /// The package.
    pub package: String,
    /// The alarm.
    pub tag: String,
    /// How many came as wakeup alarms.
    pub wakeups: u64,
}

/// The native wakelock of all partial wakelocks of apps.
pub const FOR_APPS: &str = "PowerManagerService.WakeLocks";

/// An answer, as far as it was understood.
struct Answer {
    at: BootNanos,
    /// Nothing is missing from it: only then does the lack of a row mean anything.
    whole: bool,
    took_ns: u64,
    import: Import,
}

/// The native wakelocks for the screen. Without the first, which older releases lack, the second.
pub const FOR_SCREEN: [&str; 2] = ["PowerManager.SuspendLockout", "PowerManagerService.Display"];

/// All that is known of holds of user space.
struct Answers<'a> {
    native: &'a [Answer],
    power: &'a [Answer],
    traced: Option<&'a Traced>,
}

/// Layer, name, process and user id of a wakelock.
type Key = (Layer, String, Option<u32>, Option<u32>);

impl UserSpace {
    /// `None` if no service was asked.
    pub fn of(analysis: &Analysis) -> Option<Self> {
        let dumps = &analysis.model.dumps;
        if dumps.is_empty() && analysis.traced.is_none() {
            return None;
        }
        let mut dumps: Vec<&Dump> = dumps.values().collect();
        dumps.sort_by_key(|dump| dump.at);
        let answers = |service: &str| -> Vec<Answer> {
            let of = dumps.iter().filter(|d| d.service.starts_with(service) && !d.is_failed());
            let read = |dump: &&&Dump| Answer {
                at: dump.at,
                whole: dump.is_whole(),
                took_ns: dump.took_ns,
                import: import::read_service(&dump.service, &dump.text()),
            };
            of.collect::<Vec<_>>().iter().map(read).collect()
        };
        let (native, power, alarms) =
            (answers("suspend_control"), answers("power"), answers("alarm"));
        let mut new = Self {
            questions: dumps.iter().map(|dump| Question::of(dump)).collect(),
            ..Self::default()
        };
        let all = native.iter().chain(&power).chain(&alarms);
        new.lines_not_understood =
            all.flat_map(|a| &a.import.parts).map(|part| part.not_understood).sum();
        let whole = |answers: Vec<Answer>| -> Vec<Answer> {
            answers.into_iter().filter(|answer| answer.whole).collect()
        };
        let (native, power, alarms) = (whole(native), whole(power), whole(alarms));
        let mut rows = BTreeMap::new();
        new.rises(&native, &mut rows);
        let most_ns = analysis.ledger.user_space_ns.unwrap_or(0);
        let answers = Answers { native: &native, power: &power, traced: analysis.traced.as_ref() };
        let holds = new.charge((&analysis.user_space, most_ns), &answers, &mut rows);
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by(|(_, a), (_, b)| {
            let order = |w: &Wakelock| (w.charged_ns, w.held_ns);
            order(b).cmp(&order(a)).then_with(|| a.name.cmp(&b.name))
        });
        let (keys, wakelocks): (Vec<Key>, Vec<_>) = rows.into_iter().unzip();
        let place = |key: &Key| keys.iter().position(|known| known == key);
        new.holds = holds
            .into_iter()
            .map(|(Span { start_ns, end_ns }, held)| UserHold {
                start_ns,
                end_ns,
                held: held.iter().filter_map(place).collect(),
            })
            .collect();
        let of = |name: &str| wakelocks.iter().find(|w| w.layer == Layer::Native && w.name == name);
        let screen = FOR_SCREEN.iter().find_map(|name| of(name)).map(|row| row.held_ns);
        // A row without a difference: its total did not rise.
        let exists = native.last().is_some_and(|answer| {
            let mut names = answer.import.holders.iter().filter_map(|row| row.name.as_deref());
            names.any(|name| FOR_SCREEN.contains(&name))
        });
        let screen = screen.unwrap_or(exists.then_some(0));
        new.screen_ns = new.wakelocks_over_ns.and(screen);
        new.wakelocks = wakelocks;
        if let [first, .., last] = &alarms[..] {
            new.alarms = rises_of_alarms(&first.import, &last.import);
        }
        Some(new)
    }

    /// Totals of native wakelocks that rose between the first answer and the last.
    fn rises(&mut self, native: &[Answer], rows: &mut BTreeMap<Key, Wakelock>) {
        let [first, .., last] = native else { return };
        self.wakelocks_over_ns = Some(last.at.since(first.at));
        let rose = difference(&first.import, &last.import).holders;
        for row in rose.iter().filter(|row| row.layer == Layer::Native && row.held_ns != Some(0)) {
            let wakelock = entry(rows, row);
            wakelock.held_ns = row.held_ns;
        }
    }

    /// Charges each hold with a question in it to those that were held in all questions of it; never more than the
    /// ledger has. Returns the holds with questions, and what was charged.
    fn charge(
        &mut self,
        (holds, mut left_ns): (&[Span], u64),
        Answers { native, power, traced }: &Answers<'_>,
        rows: &mut BTreeMap<Key, Wakelock>,
    ) -> Vec<(Span, Vec<Key>)> {
        let mut charged = Vec::new();
        let shares = traced.map(|traced| traced.shares(holds)).unwrap_or_default();
        for (place, hold) in holds.iter().enumerate() {
            let traced = traced.filter(|traced| traced.covers(hold)).zip(shares.get(place));
            // It shows a moment between its begin and its end.
            let within = |answer: &&Answer| {
                hold.start_ns < answer.at
                    && answer.at.0.saturating_add(answer.took_ns) <= hold.end_ns.0
            };
            let asked: Vec<&Answer> = native.iter().filter(within).collect();
            let held: Vec<Vec<&Holder>> = asked.iter().map(|one| held(&one.import)).collect();
            for row in held.iter().flatten() {
                entry(rows, row).found_held += 1;
            }
            let in_all = |row: &&Holder| {
                held.iter().all(|one| one.iter().any(|other| other.key() == row.key()))
            };
            let culprits: Vec<&Holder> =
                held.first().into_iter().flatten().copied().filter(in_all).collect();
            if asked.is_empty() {
                if let Some((traced, shares)) = traced {
                    let ns = shares.any_ns.min(left_ns);
                    left_ns -= ns;
                    self.charged_ns += ns;
                    let keys = charge_traced(traced, shares, ns, rows);
                    charged.extend((!keys.is_empty()).then_some((*hold, keys)));
                }
                continue;
            }
            let mut keys: Vec<Key> = culprits.iter().map(|row| key_of(row)).collect();
            let length_ns = hold.end_ns.since(hold.start_ns).min(left_ns);
            if let Some(share) = length_ns.checked_div(culprits.len() as u64) {
                left_ns -= length_ns;
                for row in culprits {
                    entry(rows, row).charged_ns += share;
                    self.charged_ns += share;
                    if row.name.as_deref() == Some(FOR_APPS) {
                        let asked: Vec<&Answer> = power.iter().filter(within).collect();
                        keys.extend(match traced {
                            Some((traced, shares)) => apps_by_trace(traced, shares, share, rows),
                            None => charge_apps(&asked, share, rows),
                        });
                    }
                }
            }
            charged.push((*hold, keys));
        }
        let asked = |w: &&mut Wakelock| w.found_held > 0 && w.evidence != Evidence::Traced;
        for wakelock in rows.values_mut().filter(asked) {
            wakelock.evidence = Evidence::AskedWhileHeld;
        }
        charged
    }
}

/// Charges `ns` to the native wakelock that the framework holds for apps, and to the apps.
fn charge_traced(
    traced: &Traced,
    shares: &Shares,
    ns: u64,
    rows: &mut BTreeMap<Key, Wakelock>,
) -> Vec<Key> {
    if shares.any_ns == 0 {
        return Vec::new();
    }
    // Its process is known where a question named it.
    let known = rows.keys().find(|key| key.0 == Layer::Native && key.1 == FOR_APPS).cloned();
    let native = known.unwrap_or_else(|| (Layer::Native, FOR_APPS.to_owned(), None, None));
    let row = rows.entry(native.clone()).or_insert_with(|| Wakelock::new(&native, &[]));
    row.charged_ns += ns;
    row.evidence = Evidence::Traced;
    let apps = apps_by_trace(traced, shares, ns, rows);
    [vec![native], apps].concat()
}

/// Divides `ns` among apps as they held their wakelocks.
fn apps_by_trace(
    traced: &Traced,
    shares: &Shares,
    ns: u64,
    rows: &mut BTreeMap<Key, Wakelock>,
) -> Vec<Key> {
    let mut keys = Vec::new();
    for (place, share) in &shares.each {
        let Some(hold) = traced.holds.get(*place) else { continue };
        let key = (Layer::App, hold.tag.clone(), hold.pid, hold.uid);
        let row = rows.entry(key.clone()).or_insert_with(|| Wakelock::new(&key, &[]));
        let part = u128::from(*share) * u128::from(ns) / u128::from(shares.any_ns.max(1));
        row.charged_ns += part as u64;
        row.evidence = Evidence::Traced;
        keys.push(key);
    }
    keys
}

/// Native wakelocks that are held.
fn held(import: &Import) -> Vec<&Holder> {
    let held = |h: &&Holder| h.layer == Layer::Native && h.active == Some(true);
    import.holders.iter().filter(held).collect()
}

/// Divides `share` among the partial wakelocks of apps that were held in all answers, and returns these.
fn charge_apps(asked: &[&Answer], share: u64, rows: &mut BTreeMap<Key, Wakelock>) -> Vec<Key> {
    let held = |answer: &Answer| -> BTreeMap<Key, Vec<String>> {
        let held = answer.import.held.iter();
        let counts = held.filter(|one| one.level == "PARTIAL_WAKE_LOCK" && !one.disabled);
        counts
            .map(|one| ((Layer::App, one.tag.clone(), one.pid, one.uid), one.packages.clone()))
            .collect()
    };
    let all: Vec<_> = asked.iter().map(|answer| held(answer)).collect();
    for (key, packages) in all.iter().flatten() {
        let row = rows.entry(key.clone()).or_insert_with(|| Wakelock::new(key, packages));
        row.found_held += 1;
    }
    let Some(first) = all.first() else { return Vec::new() };
    let in_all = first.keys().filter(|key| all.iter().all(|one| one.contains_key(*key)));
    let in_all: Vec<Key> = in_all.cloned().collect();
    let each = share.checked_div(in_all.len() as u64).unwrap_or(0);
    for key in &in_all {
        if let Some(row) = rows.get_mut(key) {
            row.charged_ns += each;
        }
    }
    in_all
}

fn key_of(row: &Holder) -> Key {
    (row.layer, row.name.clone().unwrap_or_default(), row.pid, row.uid)
}

fn entry<'a>(rows: &'a mut BTreeMap<Key, Wakelock>, row: &Holder) -> &'a mut Wakelock {
    let key = key_of(row);
    rows.entry(key.clone()).or_insert_with(|| Wakelock::new(&key, &row.packages))
}

impl Wakelock {
    fn new((layer, name, pid, uid): &Key, packages: &[String]) -> Self {
        Self {
            layer: *layer,
            name: name.clone(),
            pid: *pid,
            uid: *uid,
            packages: packages.to_vec(),
            held_ns: None,
            found_held: 0,
            charged_ns: 0,
            evidence: Evidence::Difference,
        }
    }
}

impl Question {
    fn of(dump: &Dump) -> Self {
        let status = match dump.status {
            DUMP_WHOLE => Status::Whole,
            DUMP_CUT => Status::Cut,
            DUMP_TIMED_OUT => Status::TimedOut,
            DUMP_GOES_ON => Status::Incomplete,
            _ => Status::Failed,
        };
        Self { at_ns: dump.at, took_ns: dump.took_ns, service: dump.service.clone(), status }
    }
}

fn rises_of_alarms(first: &Import, last: &Import) -> Vec<AlarmRise> {
    let rose = difference(first, last).alarms.into_iter();
    let rise = |alarm: import::Alarm| {
        Some(AlarmRise {
            uid: alarm.uid,
            package: alarm.package,
            tag: alarm.tag?,
            wakeups: alarm.wakeups.filter(|wakeups| *wakeups > 0)?,
        })
    };
    rose.filter_map(rise).collect()
}
