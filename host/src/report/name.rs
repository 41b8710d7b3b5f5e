//! Names of sources.

use std::borrow::Cow;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

/// The name of a source: bytes from the kernel. In JSON it is `name`, with every byte that is not
/// UTF-8 replaced, and where there is one also `name_hex`, which has all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The bytes, shared by all mentions of one source.
    pub bytes: Arc<[u8]>,
}

impl Name {
    /// From the kernel's bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into() }
    }

    /// As text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.text();
        let replaced = matches!(text, Cow::Owned(_));
        let mut name = serializer.serialize_struct("Name", 1 + usize::from(replaced))?;
        name.serialize_field("name", &text)?;
        if replaced {
            name.serialize_field("name_hex", &hex(&self.bytes))?;
        }
        name.end()
    }
}

/// `bytes` in hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
