//! Findings as data: the kind, the evidence and the numbers. `render::findings` words them.

mod evidence;
mod kind;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::Name;
pub use evidence::{Held, Losses, Storms, Unattributed, Unslept, Waker, When};
pub use kind::FindingKind;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It concerns at least a tenth of the session, or a third of the attempts.
    High,
    /// At least a hundredth.
    Medium,
    /// Less.
    Low,
}

displays_key!(Severity);

/// A conclusion. In JSON: `kind`, `severity`, `sources`, `gain_ns`, and `text` for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind, with its evidence.
    pub kind: FindingKind,
    /// How much it matters.
    pub severity: Severity,
    /// The time that fixing it would save.
    pub gain_ns: Option<u64>,
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sources = self.kind.sources();
        let sources: Vec<_> = sources.into_iter().map(Name::text).collect();
        let mut finding = serializer.serialize_struct("Finding", 4)?;
        finding.serialize_field("kind", self.kind.key())?;
        finding.serialize_field("severity", &self.severity)?;
        finding.serialize_field("sources", &sources)?;
        finding.serialize_field("gain_ns", &self.gain_ns)?;
        finding.end()
    }
}
