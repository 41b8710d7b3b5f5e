//! Divides a text into the parts that a parser knows.
//!
//! A bug report names its sections (`------ TITLE (command) ------`) and services (`DUMP OF SERVICE name:`):
//! `dumpstate.cpp` of Android. In any other text the first line that only one kind has shows the kind.

use super::app_wakelocks;
use super::facts::{Facts, Part};
use super::files::decode;
use super::parse::{Kind, Parser, Read};

/// Reads one text after the other.
#[derive(Default)]
pub struct Reader {
    facts: Facts,
}

impl Reader {
    /// Reads a text, or a Perfetto trace.
    pub fn read_bytes(&mut self, name: &str, bytes: &[u8]) {
        if app_wakelocks::is_perfetto(bytes) {
            app_wakelocks::read(name, bytes, &mut self.facts);
        } else {
            self.read(name, &decode(bytes));
        }
    }

    /// Reads the output of one service, whatever its lines look like.
    pub fn read_service(&mut self, service: &str, text: &str) {
        let name = service.split(' ').next().unwrap_or(service);
        let mut current = Current::new(service, service, Kind::of_title(name));
        for line in text.lines() {
            let line = line.trim_end_matches('\r');
            let read = current.line(line, &mut self.facts);
            current.count(read, line);
        }
        self.end(current);
    }

    /// Reads all of `text`.
    pub fn read(&mut self, name: &str, text: &str) {
        let file = name;
        let mut current = Current::new(file, name, Kind::of_file(name));
        let mut in_report = false;
        for line in text.lines() {
            let line = line.trim_end_matches('\r');
            if let Some(title) = title(line) {
                in_report = true;
                self.end(current);
                let name = title.split(" (").next().unwrap_or(title);
                current = Current::new(file, name, Kind::of_title(title));
                current.part.used += 1;
                continue;
            }
            if is_end(line) {
                self.end(current);
                current = Current::new(file, file, None);
                current.part.used += 1;
                continue;
            }
            if current.kind.is_none() && head(line, &mut self.facts) {
                in_report = true;
                current.part.used += 1;
                continue;
            }
            let read = current.line(line, &mut self.facts);
            // A text that is no report may have several kinds, one after the other.
            let next = if in_report || read == Read::Used { None } else { Kind::starting(line) };
            match next.filter(|kind| Some(*kind) != current.kind) {
                Some(kind) => {
                    self.end(current);
                    current = Current::new(file, file, Some(kind));
                    let read = current.line(line, &mut self.facts);
                    current.count(read, line);
                }
                None => current.count(read, line),
            }
        }
        self.end(current);
    }

    /// The facts of all of them.
    pub fn finish(self) -> Facts {
        self.facts
    }

    fn end(&mut self, mut current: Current) {
        if let Some(parser) = &mut current.parser {
            let cut = parser.end();
            current.part.used -= cut.min(current.part.used);
            current.part.not_understood += cut;
        }
        let new = current.part;
        if new.used + new.not_understood + new.not_read == 0 {
            return;
        }
        match self
            .facts
            .parts
            .iter_mut()
            .find(|part| (&part.file, &part.name) == (&new.file, &new.name))
        {
            Some(part) => {
                part.used += new.used;
                part.not_understood += new.not_understood;
                part.not_read += new.not_read;
                part.example = part.example.take().or(new.example);
            }
            None => self.facts.parts.push(new),
        }
    }
}

/// The part that is read now.
struct Current {
    kind: Option<Kind>,
    parser: Option<Box<dyn Parser>>,
    part: Part,
}

/// So much of an example is kept.
const EXAMPLE: usize = 200;

impl Current {
    fn new(file: &str, name: &str, kind: Option<Kind>) -> Self {
        let part = Part {
            file: file.to_owned(),
            name: kind.map_or("everything else", |_| name).to_owned(),
            used: 0,
            not_understood: 0,
            not_read: 0,
            example: None,
        };
        Self { kind, parser: kind.map(Kind::parser), part }
    }

    fn line(&mut self, line: &str, facts: &mut Facts) -> Read {
        match &mut self.parser {
            Some(parser) if line.trim().is_empty() => {
                parser.blank(line);
                Read::Used
            }
            Some(parser) => parser.line(line, facts),
            None => Read::Skipped,
        }
    }

    fn count(&mut self, read: Read, line: &str) {
        match read {
            Read::Used => self.part.used += 1,
            Read::Skipped => self.part.not_read += 1,
            Read::Unclear => {
                self.part.not_understood += 1;
                let example = || line.chars().take(EXAMPLE).collect();
                self.part.example.get_or_insert_with(example);
            }
        }
    }
}

/// The title of a section, or the name of a service.
fn title(line: &str) -> Option<&str> {
    if let Some(service) = line.strip_prefix("DUMP OF SERVICE ") {
        let service = service.trim_end().strip_suffix(':')?;
        // `CRITICAL`, `HIGH` or nothing before the name.
        return service.split_ascii_whitespace().next_back();
    }
    let title = line.strip_prefix("------ ")?.trim_end().strip_suffix(" ------")?;
    (!title.contains("was the duration of")).then_some(title)
}

/// The end of a section or service.
fn is_end(line: &str) -> bool {
    line.starts_with("------") && line.contains(" was the duration of ")
}

/// A line of the head of a bug report.
fn head(line: &str, facts: &mut Facts) -> bool {
    let device = &mut facts.device;
    if let Some(taken) = line.strip_prefix("== dumpstate: ") {
        device.taken.get_or_insert_with(|| taken.trim().to_owned());
    } else if let Some(fingerprint) = line.strip_prefix("Build fingerprint: ") {
        let bare = fingerprint.trim().trim_matches('\'');
        device.fingerprint.get_or_insert_with(|| bare.to_owned());
    } else if let Some(kernel) = line.strip_prefix("Kernel: ") {
        let version = kernel.strip_prefix("Linux version ").unwrap_or(kernel);
        let version = version.split(' ').next().unwrap_or_default();
        device.kernel.get_or_insert_with(|| version.to_owned());
    } else if let Some(uptime) = line.strip_prefix("Uptime: up ") {
        let Some(seconds) = uptime_seconds(uptime) else { return false };
        device.uptime_ns.get_or_insert(seconds.saturating_mul(1_000_000_000));
    } else {
        return false;
    }
    true
}

/// `0 weeks, 1 day, 3 hours, 24 minutes,  load average: …`, as toybox prints with `-p`.
fn uptime_seconds(text: &str) -> Option<u64> {
    let mut seconds: Option<u64> = None;
    for part in text.split(',') {
        let mut words = part.split_ascii_whitespace();
        let (Some(number), Some(unit)) = (words.next(), words.next()) else { continue };
        let unit = match unit.trim_end_matches('s') {
            "week" => 7 * 86_400,
            "day" => 86_400,
            "hour" => 3_600,
            "minute" => 60,
            _ => continue,
        };
        let part = number.parse::<u64>().ok()?.saturating_mul(unit);
        seconds = Some(seconds.unwrap_or(0).saturating_add(part));
    }
    seconds
}
