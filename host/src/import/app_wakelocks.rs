//! App wakelocks out of a Perfetto trace: the data source `android.app_wakelocks` of Android 16 and later has each
//! acquire and release, in ns of CLOCK_BOOTTIME (`WakelockTracer.java`, and `app_wakelock_module.cc` of Perfetto).

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;

use flate2::read::ZlibDecoder;
use prost::Message;

use sleepwalk_trace::time::BootNanos;

use super::facts::{AppHold, Facts, Holder, Layer, Origin, Part};

/// `BUILTIN_CLOCK_REALTIME` and `BUILTIN_CLOCK_BOOTTIME`.
const REALTIME: u32 = 1;
const BOOTTIME: u32 = 6;
/// `SEQ_INCREMENTAL_STATE_CLEARED`.
const CLEARED: u32 = 1;
/// The level is in these bits of the flags (`PowerManager.WAKE_LOCK_LEVEL_MASK`).
const LEVEL: i32 = 0xffff;
/// `PowerManager.PARTIAL_WAKE_LOCK`; the other levels are for the screen.
const PARTIAL: i32 = 1;
/// A packet of packets may be so long once it is inflated.
const LONGEST: u64 = 64 << 20;

/// The fields of `TracePacket` that matter here.
#[derive(Clone, PartialEq, Message)]
struct Packet {
    #[prost(message, optional, tag = "6")]
    clocks: Option<Clocks>,
    #[prost(uint64, optional, tag = "8")]
    timestamp: Option<u64>,
    #[prost(uint32, tag = "10")]
    sequence: u32,
    #[prost(message, optional, tag = "12")]
    interned: Option<Interned>,
    #[prost(uint32, tag = "13")]
    flags: u32,
    #[prost(bytes = "vec", optional, tag = "50")]
    compressed: Option<Vec<u8>>,
    #[prost(uint32, optional, tag = "58")]
    clock: Option<u32>,
    #[prost(message, optional, tag = "116")]
    bundle: Option<Bundle>,
}

/// `ClockSnapshot`.
#[derive(Clone, PartialEq, Message)]
struct Clocks {
    #[prost(message, repeated, tag = "1")]
    clocks: Vec<Clock>,
}

#[derive(Clone, PartialEq, Message)]
struct Clock {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(uint64, tag = "2")]
    at: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Interned {
    #[prost(message, repeated, tag = "42")]
    wakelocks: Vec<Info>,
}

/// `AppWakelockInfo`.
#[derive(Clone, PartialEq, Message)]
struct Info {
    #[prost(uint32, tag = "1")]
    iid: u32,
    #[prost(string, tag = "2")]
    tag: String,
    #[prost(int32, tag = "3")]
    flags: i32,
    #[prost(int32, optional, tag = "4")]
    owner_pid: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    owner_uid: Option<i32>,
    #[prost(int32, optional, tag = "6")]
    work_uid: Option<i32>,
}

/// `AppWakelockBundle`: a stamp is the distance from the packet's, times two, and 1 for an acquire.
#[derive(Clone, PartialEq, Message)]
struct Bundle {
    #[prost(uint32, repeated, tag = "1")]
    intern_id: Vec<u32>,
    #[prost(uint64, repeated, tag = "2")]
    encoded_ts: Vec<u64>,
}

/// The tag, the process, and the user id that is charged.
type Key = (String, Option<u32>, Option<u32>);

#[derive(Debug, Default)]
struct Total {
    held_ns: u64,
    longest_ns: u64,
    holds: u64,
    /// How many hold it, and since when any does.
    holders: u64,
    since: u64,
    seen: bool,
    /// Each hold, from its start to its end.
    spans: Vec<(u64, u64)>,
}

/// Whether `bytes` begin as a Perfetto trace: packets, one after the other.
pub fn is_perfetto(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let packets = std::iter::from_fn(|| packet(&mut rest));
    // The first packets of a trace are short; a text has no such chain.
    packets.take(3).count() == 3
}

/// The next packet's bytes; `None` at the end or at damage.
fn packet<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let after = rest.strip_prefix(&[0x0a])?;
    let mut body = after;
    let length = usize::try_from(prost::encoding::decode_varint(&mut body).ok()?).ok()?;
    let (packet, next) = body.split_at_checked(length)?;
    *rest = next;
    Some(packet)
}

/// Reads a trace.
pub fn read(name: &str, bytes: &[u8], facts: &mut Facts) {
    let mut reader = Reader::default();
    reader.packets(bytes, true);
    reader.finish(name, facts);
}

#[derive(Default)]
struct Reader {
    /// By sequence, and then by number.
    known: HashMap<u32, HashMap<u32, Info>>,
    /// Acquires and releases: stamp, acquire, wakelock.
    events: Vec<(u64, bool, Key)>,
    /// The first and the last stamp of any packet.
    extent: Option<(u64, u64)>,
    /// The first stamp of a packet with app wakelocks.
    first_bundle: Option<u64>,
    used: u64,
    not_understood: u64,
    not_read: u64,
    /// CLOCK_REALTIME minus CLOCK_BOOTTIME, by the last packet that has both.
    real_at_boot_ns: Option<i128>,
}

impl Reader {
    fn packets(&mut self, bytes: &[u8], inflate: bool) {
        let mut rest = bytes;
        while let Some(bytes) = packet(&mut rest) {
            match Packet::decode(bytes) {
                Ok(packet) => self.packet(packet, inflate),
                Err(_) => self.not_understood += 1,
            }
        }
        self.not_understood += u64::from(!rest.is_empty());
    }

    fn packet(&mut self, packet: Packet, inflate: bool) {
        if let Some(compressed) = packet.compressed.filter(|_| inflate) {
            let mut packets = Vec::new();
            match ZlibDecoder::new(&compressed[..]).take(LONGEST).read_to_end(&mut packets) {
                Ok(_) => self.packets(&packets, false),
                Err(_) => self.not_understood += 1,
            }
            return;
        }
        if packet.flags & CLEARED != 0 {
            self.known.remove(&packet.sequence);
        }
        let known = self.known.entry(packet.sequence).or_default();
        let new = packet.interned.into_iter().flat_map(|interned| interned.wakelocks);
        known.extend(new.map(|info| (info.iid, info)));
        if let Some(Clocks { clocks }) = &packet.clocks {
            let of =
                |id| clocks.iter().find(|clock| clock.id == id).map(|clock| i128::from(clock.at));
            let both = of(REALTIME).zip(of(BOOTTIME));
            self.real_at_boot_ns = both.map(|(real, boot)| real - boot).or(self.real_at_boot_ns);
        }
        let boottime = packet.clock.is_none_or(|clock| clock == BOOTTIME);
        let stamp = packet.timestamp.filter(|_| boottime);
        if let Some(at) = stamp {
            let (first, last) = self.extent.unwrap_or((at, at));
            self.extent = Some((first.min(at), last.max(at)));
        }
        let Some(bundle) = packet.bundle else {
            self.not_read += 1;
            return;
        };
        let Some(stamp) = stamp.filter(|_| bundle.intern_id.len() == bundle.encoded_ts.len())
        else {
            self.not_understood += 1;
            return;
        };
        self.used += 1;
        self.first_bundle = Some(self.first_bundle.map_or(stamp, |first| first.min(stamp)));
        for (iid, encoded) in bundle.intern_id.iter().zip(&bundle.encoded_ts) {
            let Some(info) = known.get(iid) else {
                self.not_understood += 1;
                continue;
            };
            if info.flags & LEVEL != PARTIAL {
                continue;
            }
            let number = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
            let uid = number(info.work_uid).or(number(info.owner_uid));
            let key = (info.tag.clone(), number(info.owner_pid), uid);
            let at = stamp.saturating_add(encoded >> 1);
            self.extent = self.extent.map(|(first, last)| (first, last.max(at)));
            self.events.push((at, encoded & 1 == 1, key));
        }
    }

    fn finish(mut self, name: &str, facts: &mut Facts) {
        // A release comes after an acquire of the same instant.
        self.events.sort_by_key(|(at, acquire, _)| (*at, !acquire));
        // The data source may have started later than the trace: holds are known from its first packet on.
        let last = self.extent.map_or(0, |(_, last)| last);
        let first = self.first_bundle.unwrap_or(last);
        let mut totals = BTreeMap::<Key, Total>::new();
        for (at, acquire, key) in self.events {
            totals.entry(key).or_default().event(at, acquire, first);
        }
        facts.traced_from = first;
        facts.traced_to = last;
        facts.real_at_boot_ns = self.real_at_boot_ns;
        facts.restart(Origin::AppWakelocks);
        for ((tag, pid, uid), mut total) in totals {
            let active = total.holders > 0;
            if active {
                total.holders = 1;
                total.event(last, false, first);
            }
            facts.app_holds.extend(total.spans.iter().map(|(start, end)| AppHold {
                start_ns: BootNanos(*start),
                end_ns: BootNanos(*end),
                tag: tag.clone(),
                pid,
                uid,
            }));
            let mut holder = Holder::new(Layer::App, Some(&tag), Origin::AppWakelocks);
            (holder.pid, holder.uid) = (pid, uid);
            holder.held_ns = Some(total.held_ns);
            holder.longest_ns = Some(total.longest_ns);
            holder.holds = Some(total.holds);
            holder.active = Some(active);
            facts.hold(holder);
        }
        facts.parts.push(Part {
            file: name.to_owned(),
            name: "packets of a Perfetto trace".to_owned(),
            used: self.used,
            not_understood: self.not_understood,
            not_read: self.not_read,
            example: None,
        });
    }
}

impl Total {
    fn event(&mut self, at: u64, acquire: bool, first: u64) {
        if acquire {
            self.holds += 1;
            self.holders += 1;
            if self.holders == 1 {
                self.since = at;
            }
        } else {
            if !self.seen && self.holders == 0 {
                // Its acquire was before that.
                (self.holds, self.holders, self.since) = (1, 1, first);
            }
            if self.holders == 1 {
                let held_ns = at.saturating_sub(self.since);
                self.held_ns = self.held_ns.saturating_add(held_ns);
                self.longest_ns = self.longest_ns.max(held_ns);
                self.spans.push((self.since, at));
            }
            self.holders = self.holders.saturating_sub(1);
        }
        self.seen = true;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn trace(packets: &[Packet]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for packet in packets {
            bytes.push(0x0a);
            bytes.extend(packet.encode_length_delimited_to_vec());
        }
        bytes
    }

    fn info(iid: u32, tag: &str, flags: i32, work_uid: Option<i32>) -> Info {
        let (owner_pid, owner_uid) = (Some(12), Some(1000));
        Info { iid, tag: tag.to_owned(), flags, owner_pid, owner_uid, work_uid }
    }

    /// Events of the wakelocks with these numbers, at so many ns after the packet.
    fn events(timestamp: u64, events: &[(u32, u64, bool)]) -> Packet {
        let bundle = Bundle {
            intern_id: events.iter().map(|event| event.0).collect(),
            encoded_ts: events.iter().map(|event| event.1 << 1 | u64::from(event.2)).collect(),
        };
        Packet {
            timestamp: Some(timestamp),
            sequence: 3,
            bundle: Some(bundle),
            ..Packet::default()
        }
    }

    /// Tag, user id, time held, holds, and whether it is held at the end.
    type Row = (String, Option<u32>, u64, u64, bool);

    fn rows(bytes: &[u8]) -> (Vec<Row>, Part) {
        let mut facts = Facts::default();
        assert!(is_perfetto(bytes));
        read("a.pftrace", bytes, &mut facts);
        let import = facts.import(std::path::Path::new("a.pftrace"));
        let row = |h: &Holder| {
            let held_ns = h.held_ns.unwrap();
            (h.name.clone().unwrap(), h.uid, held_ns, h.holds.unwrap(), h.active == Some(true))
        };
        (import.holders.iter().map(row).collect(), import.parts[0].clone())
    }

    fn sample() -> Vec<Packet> {
        let interned = Interned {
            wakelocks: vec![info(1, "sync", 1, Some(10_219)), info(2, "screen", 0xa, None)],
        };
        let first = Packet {
            flags: CLEARED,
            interned: Some(interned),
            ..events(1_000, &[(1, 0, true), (2, 5, true), (1, 100, true), (1, 250, false)])
        };
        let second = Packet {
            interned: Some(Interned {
                wakelocks: vec![info(3, "before", 1, None), info(4, "open", 1, None)],
            }),
            ..events(2_000, &[(1, 0, false), (3, 10, false), (4, 0, true), (9, 1, true)])
        };
        let clock = Packet { timestamp: Some(3_000), ..Packet::default() };
        vec![first, second, clock]
    }

    #[test]
    fn holds_are_exact_to_the_nanosecond() {
        let (rows, part) = rows(&trace(&sample()));
        let row = |tag: &str, uid, held_ns, holds, active| {
            (tag.to_owned(), Some(uid), held_ns, holds, active)
        };
        assert_eq!(
            rows,
            [
                // Held twice at once: from the first acquire to the last release.
                // Held since before the trace, and until after it.
                row("before", 1000, 1_010, 1, false),
                row("open", 1000, 1_000, 1, true),
                row("sync", 10_219, 1_000, 2, false),
            ]
        );
        // The event with the number 9 was never described.
        assert_eq!((part.used, part.not_understood, part.not_read), (2, 1, 1));
    }

    #[test]
    fn compressed_packets_are_inflated() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&trace(&sample())).unwrap();
        let packed = Packet { compressed: Some(encoder.finish().unwrap()), ..Packet::default() };
        let empty = Packet { sequence: 1, ..Packet::default() };
        assert_eq!(rows(&trace(&[empty.clone(), empty, packed])).0, rows(&trace(&sample())).0);
    }

    #[test]
    fn a_text_is_no_trace() {
        for text in [&b""[..], b"\n\n\n", b"\n\nWake Locks: size=0\n", b"\x0a\x05abc"] {
            assert!(!is_perfetto(text), "{text:?}");
        }
    }
}
