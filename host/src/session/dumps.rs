//! The output of Android's services in a trace.

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use sleepwalk_trace::record::{DUMP_FAILED, DUMP_GOES_ON, DUMP_WHOLE, ServiceDump};
use sleepwalk_trace::time::BootNanos;

/// So many bytes of an output are read.
const LONGEST: u64 = 16 << 20;

/// The output of `dumpsys` for one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// When the command began.
    pub at: BootNanos,
    /// From then to its end, in ns.
    pub took_ns: u64,
    /// The arguments of `dumpsys`.
    pub service: String,
    /// One of the `DUMP_*` values; [`DUMP_GOES_ON`] where the last part is missing.
    pub status: u8,
    /// The parts, one after the other.
    bytes: Vec<u8>,
}

impl Dump {
    /// Without a part so far.
    pub fn new(at: BootNanos) -> Self {
        Self { at, ..Self::default() }
    }

    /// Adds the next part.
    pub fn push(&mut self, part: ServiceDump) {
        self.took_ns = part.took_ns;
        self.service = part.service;
        self.status = part.status;
        self.bytes.extend(part.bytes);
    }

    /// Whether the service answered, and all of the answer is here.
    pub fn is_whole(&self) -> bool {
        self.status == DUMP_WHOLE
    }

    /// Whether there is nothing of use in it.
    pub fn is_failed(&self) -> bool {
        matches!(self.status, DUMP_FAILED | DUMP_GOES_ON)
    }

    /// The text, up to the first damage.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        // The text before an error is kept.
        let _ = ZlibDecoder::new(&self.bytes[..]).take(LONGEST).read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use sleepwalk_trace::record::DUMP_CUT;

    use super::*;

    #[test]
    fn parts_make_a_text() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"Wake Locks: size=0\n").unwrap();
        let bytes = encoder.finish().unwrap();
        let part = |status, bytes: &[u8]| ServiceDump {
            service: "power".to_owned(),
            status,
            took_ns: 3,
            bytes: bytes.to_vec(),
            dump: 0,
        };
        let mut dump = Dump::new(BootNanos(9));
        dump.push(part(DUMP_GOES_ON, &bytes[..5]));
        assert!(dump.is_failed());
        dump.push(part(DUMP_CUT, &bytes[5..]));
        assert!(!dump.is_failed() && !dump.is_whole());
        assert_eq!(dump.text(), "Wake Locks: size=0\n");
        dump.bytes.truncate(dump.bytes.len() - 8);
        assert!("Wake Locks: size=0\n".starts_with(&dump.text()));
    }
}
