//! Where a thread has its `preempt_count`: `task_struct.thread_info.preempt_count`, as on arm64 since 5.0
//! (`CONFIG_THREAD_INFO_IN_TASK`, and the union in `arch/arm64/include/asm/thread_info.h`).

use std::collections::BTreeSet;

use super::{BtfError, KIND_STRUCT, KIND_UNION, Strings, Words};

const MEMBER: &str = "preempt_count";

/// The parts of the place, found in any order.
#[derive(Debug, Default)]
pub struct PreemptCount {
    /// `thread_info` in `struct task_struct`, in bytes.
    thread_info: Option<u32>,
    /// The member in `struct thread_info`.
    direct: Option<u32>,
    /// The members of it without a name: their types, and where they are.
    unnamed: Vec<(u32, u32)>,
    /// The unions that begin with the member.
    unions: BTreeSet<u32>,
}

impl PreemptCount {
    /// Looks at one type of the kernel's.
    pub fn see(
        &mut self,
        (id, kind, name): (u32, u32, u32),
        (body, count): (Words<'_>, u32),
        strings: &Strings<'_>,
    ) -> Result<(), BtfError> {
        let task = kind == KIND_STRUCT && strings.is(name, "task_struct");
        let info = kind == KIND_STRUCT && strings.is(name, "thread_info");
        if !task && !info && kind != KIND_UNION {
            return Ok(());
        }
        for n in 0..count as usize {
            let (member, of_type) = (body.at(12 * n)?, body.at(12 * n + 4)?);
            // With bit-fields in the struct, the upper byte is the width.
            let at = (body.at(12 * n + 8)? & 0x00ff_ffff) / 8;
            if task && strings.is(member, "thread_info") {
                self.thread_info = Some(at);
            } else if info && strings.is(member, MEMBER) {
                self.direct = Some(at);
            } else if info && strings.is(member, "") {
                self.unnamed.push((of_type, at));
            } else if kind == KIND_UNION && at == 0 && strings.is(member, MEMBER) {
                self.unions.insert(id);
            }
        }
        Ok(())
    }

    /// The place in `struct task_struct` in bytes, if all of its parts are known.
    pub fn at(&self) -> Option<u32> {
        let mut in_unions =
            self.unnamed.iter().filter(|(of_type, _)| self.unions.contains(of_type));
        let within = self.direct.or_else(|| in_unions.next().map(|(_, at)| *at))?;
        Some(self.thread_info? + within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRINGS: &[u8] = b"\0task_struct\0thread_info\0preempt_count\0flags\0";

    fn name(text: &str) -> u32 {
        let whole = [text.as_bytes(), b"\0"].concat();
        STRINGS.windows(whole.len()).position(|w| w == whole).unwrap() as u32
    }

    fn place(types: &[(u32, u32, &str, &[[u32; 3]])]) -> Option<u32> {
        let mut found = PreemptCount::default();
        for (id, kind, text, members) in types {
            let body: Vec<u8> = members.concat().iter().flat_map(|w| w.to_le_bytes()).collect();
            let of = if text.is_empty() { 0 } else { name(text) };
            let body = (Words(&body), members.len() as u32);
            found.see((*id, *kind, of), body, &Strings(STRINGS)).unwrap();
        }
        found.at()
    }

    #[test]
    fn the_count_is_in_a_union_or_not() {
        let task = (9, KIND_STRUCT, "task_struct", &[[name("thread_info"), 7, 64]][..]);
        let member = [name("preempt_count"), 1, 0];
        let union = (5, KIND_UNION, "", &[member][..]);
        let flags = [name("flags"), 1, 0];
        let in_union = (7, KIND_STRUCT, "thread_info", &[flags, [0, 5, 128]][..]);
        assert_eq!(place(&[union, in_union, task]), Some(8 + 16));
        let other = (7, KIND_STRUCT, "thread_info", &[flags, [0, 6, 128]][..]);
        assert_eq!(place(&[union, other, task]), None);
        let direct = (7, KIND_STRUCT, "thread_info", &[[name("preempt_count"), 1, 64]][..]);
        assert_eq!(place(&[task, direct]), Some(8 + 8));
        assert_eq!(place(&[direct]), None);
    }
}
