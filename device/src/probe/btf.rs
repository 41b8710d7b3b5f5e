//! The parts of the kernel's own type information, `/sys/kernel/btf/vmlinux`, that the probe needs:
//! the offsets of the members of `struct wakeup_source`, and the ids of the kfuncs.
//!
//! rustc emits no CO-RE relocations, so the agent reads this when it starts. It takes one pass over
//! the bytes and does not build the 150,000 types in memory. (aya's parser does that, and keeps
//! members private.) The format is in `include/uapi/linux/btf.h`.

mod preempt_count;

use std::collections::BTreeMap;

use thiserror::Error;

use self::preempt_count::PreemptCount;

/// The struct of the list's nodes.
const STRUCT: &str = "wakeup_source";

/// The members that the probe or the agent reads.
const MEMBERS: [&str; 15] = [
    "name",
    "id",
    "entry",
    "total_time",
    "max_time",
    "last_time",
    "start_prevent_time",
    "prevent_sleep_time",
    "event_count",
    "active_count",
    "relax_count",
    "expire_count",
    "wakeup_count",
    "active",
    "autosleep_enabled",
];

/// Type information that is not usable.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BtfError {
    /// Not BTF, or cut.
    #[error("the kernel's BTF is damaged: {0}")]
    Damaged(&'static str),
    /// The struct is missing.
    #[error("the kernel's BTF has no struct {STRUCT}: it was built without CONFIG_PM_SLEEP")]
    NoStruct,
    /// The struct is larger than a slot.
    #[error("struct {STRUCT} of this kernel has {0} bytes: build it without lock debugging")]
    TooLarge(u32),
    /// A member is missing.
    #[error("struct {STRUCT} of this kernel has no member {0}: report its version to Sleepwalk")]
    NoMember(&'static str),
}

/// The place of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// From the start of the struct, in bits.
    pub bit_offset: u32,
    /// Width in bits for a bit-field, else 0.
    pub bit_size: u32,
}

/// A type that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its BTF id.
    pub id: u32,
    /// [`KIND_FUNC`] or [`KIND_TYPEDEF`].
    pub kind: u32,
}

/// The types that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    /// Size of the struct in bytes; 0 if the kernel has none.
    pub size: u32,
    /// Its members, by name.
    pub members: BTreeMap<&'static str, Member>,
    /// The wanted functions and typedefs that the kernel has.
    pub ids: BTreeMap<&'static str, Named>,
    /// Where `struct task_struct` has the thread's `preempt_count`, in bytes; `None` if that is not known.
    pub preempt_count_at: Option<u32>,
}

impl Kernel {
    /// The member of this name.
    pub fn member(&self, name: &'static str) -> Result<Member, BtfError> {
        if self.size == 0 {
            return Err(BtfError::NoStruct);
        }
        self.members.get(name).copied().ok_or(BtfError::NoMember(name))
    }
}

const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
/// `BTF_KIND_TYPEDEF`.
pub const KIND_TYPEDEF: u32 = 8;
/// `BTF_KIND_FUNC`.
pub const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_ENUM64: u32 = 19;
const KIND_LAST: u32 = 19;

/// Finds `struct wakeup_source`, and the functions and typedefs with the `wanted` names.
pub fn scan(btf: &[u8], wanted: &[&'static str]) -> Result<Kernel, BtfError> {
    let header = Words(btf);
    if header.at(0)? & 0xffff != 0xeb9f {
        return Err(BtfError::Damaged("it does not start with BTF's magic"));
    }
    let base = header.at(4)? as usize;
    let types = section(btf, base, header.at(8)?, header.at(12)?)?;
    let strings = Strings(section(btf, base, header.at(16)?, header.at(20)?)?);

    let mut found = Kernel::default();
    let mut preempt_count = PreemptCount::default();
    let mut rest = Words(types);
    // Id 0 is void and is not listed.
    let mut id = 1;
    while !rest.0.is_empty() {
        let (name, info, size) = (rest.at(0)?, rest.at(4)?, rest.at(8)?);
        let (kind, count) = (info >> 24 & 0x1f, info & 0xffff);
        let body = rest.skip(12)?;
        if kind == KIND_FUNC || kind == KIND_TYPEDEF {
            if let Some(wanted) = wanted.iter().find(|w| strings.is(name, w)) {
                found.ids.insert(wanted, Named { id, kind });
            }
        } else if kind == KIND_STRUCT && strings.is(name, STRUCT) {
            found.size = size;
            found.members = members(body, count, info >> 31 == 1, &strings)?;
        }
        preempt_count.see((id, kind, name), (body, count), &strings)?;
        rest = body.skip(extra(kind, count)?)?;
        id += 1;
    }
    found.preempt_count_at = preempt_count.at();
    Ok(found)
}

/// Bytes after the common part of a type.
fn extra(kind: u32, count: u32) -> Result<usize, BtfError> {
    let count = count as usize;
    Ok(match kind {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
        KIND_ARRAY => 12,
        KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => 12 * count,
        KIND_ENUM | KIND_FUNC_PROTO => 8 * count,
        1..=KIND_LAST => 0,
        _ => {
            return Err(BtfError::Damaged(
                "it has a kind of type that this sleepwalkd does not know",
            ));
        }
    })
}

fn members(
    body: Words<'_>,
    count: u32,
    bit_fields: bool,
    strings: &Strings<'_>,
) -> Result<BTreeMap<&'static str, Member>, BtfError> {
    let mut found = BTreeMap::new();
    for n in 0..count as usize {
        let (name, offset) = (body.at(12 * n)?, body.at(12 * n + 8)?);
        let Some(wanted) = MEMBERS.iter().find(|m| strings.is(name, m)) else {
            continue;
        };
        let member = if bit_fields {
            Member { bit_offset: offset & 0x00ff_ffff, bit_size: offset >> 24 }
        } else {
            Member { bit_offset: offset, bit_size: 0 }
        };
        found.insert(*wanted, member);
    }
    Ok(found)
}

fn section(btf: &[u8], base: usize, offset: u32, length: u32) -> Result<&[u8], BtfError> {
    let cut = BtfError::Damaged("a section lies outside of it");
    let start = base.checked_add(offset as usize).ok_or(cut.clone())?;
    let end = start.checked_add(length as usize).ok_or(cut.clone())?;
    btf.get(start..end).ok_or(cut)
}

/// Little-endian words; a kernel that runs this agent is little-endian.
#[derive(Clone, Copy)]
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn at(&self, at: usize) -> Result<u32, BtfError> {
        let word = self.0.get(at..at + 4).and_then(|w| w.try_into().ok());
        word.map(u32::from_le_bytes).ok_or(BtfError::Damaged("a type is cut"))
    }

    fn skip(self, bytes: usize) -> Result<Words<'a>, BtfError> {
        self.0.get(bytes..).map(Words).ok_or(BtfError::Damaged("a type is cut"))
    }
}

struct Strings<'a>(&'a [u8]);

impl Strings<'_> {
    /// Whether the string at `offset` is `name`.
    fn is(&self, offset: u32, name: &str) -> bool {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        rest.strip_prefix(name.as_bytes()).is_some_and(|behind| behind.first() == Some(&0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BTF with one struct (bit-fields and all), an enum to step over, and one function.
    fn sample() -> Vec<u8> {
        let strings = b"\0wakeup_source\0name\0active\0kf\0";
        let at = |s: &str| strings.windows(s.len()).position(|w| w == s.as_bytes()).unwrap() as u32;
        let words = [
            // An enum of one value.
            vec![0, KIND_ENUM << 24 | 1, 4, 0, 7],
            // The struct, with the flag that offsets hold a width too.
            vec![at("wakeup_source"), 1 << 31 | KIND_STRUCT << 24 | 2, 192],
            vec![at("name"), 1, 0],
            vec![at("active"), 1, 1 << 24 | 1409],
            vec![at("kf"), KIND_FUNC << 24, 1],
        ];
        let types: Vec<u8> = words.concat().iter().flat_map(|w: &u32| w.to_le_bytes()).collect();
        let header =
            [0x0001_eb9f, 24, 0, types.len() as u32, types.len() as u32, strings.len() as u32];
        let mut btf: Vec<u8> = header.iter().flat_map(|w| w.to_le_bytes()).collect();
        btf.extend(types);
        btf.extend(strings);
        btf
    }

    #[test]
    fn members_bit_fields_and_functions_are_found() {
        let kernel = scan(&sample(), &["kf", "missing"]).unwrap();
        assert_eq!(kernel.size, 192);
        assert_eq!(kernel.member("name"), Ok(Member { bit_offset: 0, bit_size: 0 }));
        assert_eq!(kernel.member("active"), Ok(Member { bit_offset: 1409, bit_size: 1 }));
        assert_eq!(kernel.member("id"), Err(BtfError::NoMember("id")));
        assert_eq!(kernel.ids, BTreeMap::from([("kf", Named { id: 3, kind: KIND_FUNC })]));
        assert_eq!(Kernel::default().member("name"), Err(BtfError::NoStruct));
    }

    #[test]
    fn damaged_bytes_do_not_panic() {
        let btf = sample();
        for cut in 0..btf.len() {
            assert!(scan(&btf[..cut], &["kf"]).is_err(), "cut at {cut}");
        }
        for at in 0..btf.len() {
            let mut flipped = btf.clone();
            flipped[at] ^= 0xff;
            let _ = scan(&flipped, &["kf"]);
        }
    }
}
