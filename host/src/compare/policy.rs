//! The limits for a capture: a TOML file. `docs/policy.example.toml` has every key.
//!
//! A gate that quietly lets things pass is worse than none: an unknown key is an error, the policy must
//! set the least length and number of attempts, and a capture must be whole unless the policy says
//! otherwise.

use glob::Pattern;
use serde::Deserialize;
use sleepwalk_trace::units::positive_duration;
use thiserror::Error;

/// An error in a policy.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}, `{text}`: {why}")]
pub struct PolicyError {
    /// From 1.
    pub line: usize,
    /// The line's text.
    pub text: String,
    /// The error.
    pub why: String,
}

/// All limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whether a limit that the trace has no data for breaks the policy.
    #[serde(default)]
    pub unknown: Unknown,
    /// A rate breaks its limit only where the lower end of its interval of this confidence does.
    #[serde(default)]
    pub confidence: Confidence,
    /// Sources that [`Policy::each_source`] does not limit.
    #[serde(default)]
    pub benign: Vec<Glob>,
    /// The least capture that can be judged.
    pub capture: CaptureLimits,
    /// Limits on the whole session.
    #[serde(default)]
    pub session: SessionLimits,
    /// Limits on every source that is neither benign nor limited by its name.
    #[serde(default)]
    pub each_source: SourceLimits,
    /// Limits on sources by name: only the first whose pattern matches counts.
    #[serde(default)]
    pub source: Vec<NamedLimits>,
}

/// The treatment of a limit that the trace has no data for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// It counts as broken.
    #[default]
    Fail,
    /// It is listed, and passes.
    Pass,
}

/// From 0, which takes rates as they are, to below 1.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Confidence(pub f64);

impl Default for Confidence {
    fn default() -> Self {
        Self(0.95)
    }
}

impl TryFrom<f64> for Confidence {
    type Error = &'static str;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        let sound = (0.0..1.0).contains(&value);
        if sound { Ok(Self(value)) } else { Err("a confidence must be from 0 to below 1") }
    }
}

/// The least capture that can be judged.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureLimits {
    /// The least length.
    pub min_duration: Seconds,
    /// The least number of suspend attempts.
    pub min_attempts: u64,
    /// Events that may be lost; 0 by default.
    #[serde(default)]
    pub max_lost_events: u64,
    /// It must have ended cleanly, undamaged, with every source in every snapshot; true by default.
    #[serde(default = "yes")]
    pub whole: bool,
    /// The most time on a charger.
    pub max_charger_percent: Option<Percent>,
}

fn yes() -> bool {
    true
}

/// Limits on the whole session.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionLimits {
    /// Time not asleep.
    pub max_awake_percent: Option<Percent>,
    /// Time in which a source blocked the device.
    pub max_blocked_percent: Option<Percent>,
    /// Time in which the kernel was ready to suspend, and user space was not.
    pub max_user_space_percent: Option<Percent>,
    /// Time in which user space waited before it tried again.
    pub max_backoff_percent: Option<Percent>,
    /// Awake time in which nothing tried to suspend.
    pub max_not_trying_percent: Option<Percent>,
    /// Time that could not be charged to a source.
    pub max_unattributed_percent: Option<Percent>,
    /// Aborted attempts per hour.
    pub max_aborts_per_hour: Option<Rate>,
    /// Sleeps that ended, per hour.
    pub max_wakes_per_hour: Option<Rate>,
    /// Attempts that the kernel reported as a success and that never slept.
    pub max_no_sleep: Option<u64>,
    /// Attempts that failed with an error other than a pending wakeup.
    pub max_failed: Option<u64>,
}

/// Limits on one source, or all sources of one name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceLimits {
    /// Its share of the blocked time.
    pub max_blocked_percent: Option<Percent>,
    /// Time active.
    pub max_held_percent: Option<Percent>,
    /// Attempts that it aborted, per hour.
    pub max_aborts_per_hour: Option<Rate>,
    /// Sleeps that it ended, per hour.
    pub max_wakes_per_hour: Option<Rate>,
}

/// Limits on sources by name. Serde cannot both flatten and deny unknown keys, so the limits are here
/// again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedLimits {
    /// The sources' names.
    pub name: Glob,
    max_blocked_percent: Option<Percent>,
    max_held_percent: Option<Percent>,
    max_aborts_per_hour: Option<Rate>,
    max_wakes_per_hour: Option<Rate>,
}

impl NamedLimits {
    /// Its limits.
    pub fn limits(&self) -> SourceLimits {
        SourceLimits {
            max_blocked_percent: self.max_blocked_percent,
            max_held_percent: self.max_held_percent,
            max_aborts_per_hour: self.max_aborts_per_hour,
            max_wakes_per_hour: self.max_wakes_per_hour,
        }
    }
}

/// From 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Percent(pub f64);

impl TryFrom<f64> for Percent {
    type Error = &'static str;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        let sound = (0.0..=100.0).contains(&value);
        if sound { Ok(Self(value)) } else { Err("a share must be from 0 to 100") }
    }
}

/// Not negative.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Rate(pub f64);

impl TryFrom<f64> for Rate {
    type Error = &'static str;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        let sound = value.is_finite() && value >= 0.0;
        if sound { Ok(Self(value)) } else { Err("a rate must be a number from 0") }
    }
}

/// A duration, written as `90s`, `10m` or `8h`, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Seconds(pub f64);

impl TryFrom<String> for Seconds {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        positive_duration(&text).map(|duration| Self(duration.as_secs_f64()))
    }
}

/// A pattern for names: `*`, `?` and `[…]`, or the name itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Glob(Pattern);

impl TryFrom<String> for Glob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let pattern = Pattern::new(&text);
        pattern.map(Self).map_err(|e| format!("`{text}` is not a pattern: {}", e.msg))
    }
}

impl Glob {
    /// Whether `name` matches. Some names look like patterns, such as `[timerfd]`: a name that equals
    /// the pattern always matches.
    pub fn fits(&self, name: &str) -> bool {
        self.0.as_str() == name || self.0.matches(name)
    }

    /// As written.
    pub fn text(&self) -> &str {
        self.0.as_str()
    }
}

impl Policy {
    /// From the text of the file.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let before = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
            PolicyError {
                line: before + 1,
                text: text.lines().nth(before).unwrap_or_default().trim().to_owned(),
                why: error.message().trim().replace('\n', ", "),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTURE: &str = "[capture]\nmin_duration = \"10m\"\nmin_attempts = 1\n";

    fn refused(more: &str) -> PolicyError {
        Policy::parse(&format!("{CAPTURE}{more}")).expect_err(more)
    }

    #[test]
    fn defaults_are_strict() {
        let policy = Policy::parse(CAPTURE).expect("a policy");
        assert_eq!((policy.unknown, policy.capture.max_lost_events), (Unknown::Fail, 0));
        assert!(policy.capture.whole);
        assert_eq!(policy.confidence, Confidence(0.95));
        assert_eq!(policy.capture.min_duration, Seconds(600.0));
    }

    #[test]
    fn a_policy_must_set_the_least_capture() {
        let error = Policy::parse("").expect_err("nothing");
        assert!(error.why.contains("`capture`"), "{error}");
        let error = Policy::parse("[capture]\nmin_duration = \"1m\"\n").expect_err("no attempts");
        assert!(error.why.contains("`min_attempts`") && error.line == 1, "{error}");
    }

    #[test]
    fn errors_name_line_and_key() {
        for (more, text, why) in [
            ("[session]\nmax_awake = 3\n", "max_awake = 3", "unknown field `max_awake`"),
            ("\n[session]\nmax_awake_percent = 101", "max_awake_percent = 101", "0 to 100"),
            ("[session]\nmax_awake_percent = nan", "max_awake_percent = nan", "0 to 100"),
            ("[session]\nmax_awake_percent = \"3\"", "max_awake_percent = \"3\"", "invalid type"),
            ("[session]\nmax_wakes_per_hour = -1", "max_wakes_per_hour = -1", "from 0"),
            ("[session]\nmax_wakes_per_hour = inf", "max_wakes_per_hour = inf", "from 0"),
            ("[session]\nmax_wakes_per_hour = nan", "max_wakes_per_hour = nan", "from 0"),
            ("[session]\nmax_failed = -1", "max_failed = -1", "invalid value"),
            ("[each_sauce]\n", "[each_sauce]", "unknown field `each_sauce`"),
            ("[[source]]\nname = \"a[\"", "name = \"a[\"", "is not a pattern"),
            ("[[source]]\nname = \"a\"\nmax = 1", "max = 1", "unknown field `max`"),
            ("[[source]]\nmax_held_percent = 1", "[[source]]", "`name`"),
            ("max_lost_events = 1\nmax_lost_events = 2", "max_lost_events = 2", "duplicate key"),
            ("[session", "[session", ""),
        ] {
            let error = refused(more);
            assert_eq!(error.text, text, "{error}");
            assert!(error.why.contains(why), "{error}");
            let written = format!("{CAPTURE}{more}");
            assert_eq!(written.lines().nth(error.line - 1), Some(text), "{error}");
        }
        let error = Policy::parse(&format!("benign = [\n  \"a*\",\n  \"b[\",\n]\n{CAPTURE}"));
        let error = error.expect_err("a bad pattern");
        assert!(
            error.text == "benign = [" && error.why.contains("`b[` is not a pattern"),
            "{error}"
        );
        for confidence in ["1", "1.0", "-0.1", "nan", "95"] {
            let error = Policy::parse(&format!("confidence = {confidence}\n{CAPTURE}"));
            let error = error.expect_err(confidence);
            assert!(error.line == 1 && error.why.contains("from 0 to below 1"), "{error}");
        }
        let error = Policy::parse(&CAPTURE.replace("10m", "10"));
        assert!(error.expect_err("no unit").to_string().contains("min_duration = \"10\""));
    }

    #[test]
    fn a_pattern_matches_itself_as_a_name() {
        let glob = |text: &str| Glob::try_from(text.to_owned()).expect("a pattern");
        assert!(glob("[timerfd]").fits("[timerfd]") && glob("[timerfd]").fits("t"));
        assert!(glob("[[]timerfd]").fits("[timerfd]") && !glob("[[]timerfd]").fits("t"));
        assert!(glob("wlan*").fits("wlan_rx/0") && !glob("wlan*").fits("a_wlan"));
        assert!(glob("*").fits("") && glob("?").fits("é"));
    }
}
