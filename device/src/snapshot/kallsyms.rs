//! Snapshots by the probe's walk from the address of `wakeup_sources`, for kernels without the
//! kfuncs.
//!
//! No lock keeps the list unchanged during the walk: see `walk_unlocked` in the probe. A walk that
//! met a change is repeated, a few times; registrations are rare.

use std::io::{BufRead, BufReader};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::utsname::uname;
use sleepwalk_trace::abi::WALK_DONE;
use thiserror::Error;

use super::frozen_kmi::{self, FrozenKmi};
use super::kptr::KALLSYMS;
use super::sysfs::Sysfs;
use super::walker::{Program, Walker};
use super::{Sample, SnapshotSource, SnapshotSummary, kptr, self_check};
use crate::probe::btf::Kernel;

/// The list's head (`static LIST_HEAD(wakeup_sources)`, `drivers/base/power/wakeup.c`, 6.1 to 7.3).
const SYMBOL: &[u8] = b"wakeup_sources";

/// Link-time optimisation may append this to a static symbol's name.
const LTO: &[u8] = b".llvm.";

/// After this many walks, a broken one is used as it is.
const TRIES: usize = 5;

/// The walk, loaded.
#[derive(Debug)]
pub struct Kallsyms {
    walker: Walker,
    note: Option<String>,
}

impl Kallsyms {
    /// Finds the list and loads the walk with room for `capacity` sources. Without BTF, it takes the places of
    /// the members from `frozen_kmi`.
    pub fn load(kernel: Result<&Kernel, &anyhow::Error>, capacity: u32) -> Result<Self> {
        let tables = match kernel {
            Ok(_) => Vec::new(),
            Err(error) => tables(error)?,
        };
        let (file, lowered) = kptr::kallsyms()?;
        let head = head(BufReader::with_capacity(1 << 16, file))?;
        let Ok(kernel) = kernel else { return Self::checked(&tables, head, capacity, lowered) };
        let walker = Walker::load(kernel, Program::Unlocked, head, capacity);
        let walker = walker.or_else(|error| {
            log::debug!("the walk goes in steps: {error:#}");
            Walker::load(kernel, Program::Steps, head, capacity)
        })?;
        Ok(Self { walker, note: lowered })
    }

    /// With the first of `tables` that reads what sysfs prints.
    fn checked(
        tables: &[FrozenKmi],
        head: u64,
        capacity: u32,
        lowered: Option<String>,
    ) -> Result<Self> {
        let mut failures = Vec::new();
        for table in tables {
            let walker = Walker::load(&table.kernel, Program::Steps, head, capacity)?;
            let mut walk = Self { walker, note: None };
            match walk.check(capacity) {
                Ok(count) => {
                    let checked = format!(
                        "the kernel has no BTF; struct wakeup_source is laid out as in {}, which sysfs \
                         confirms for {count} sources and contradicts for none",
                        table.name
                    );
                    let notes = [Some(checked), lowered].into_iter().flatten();
                    walk.note = Some(notes.collect::<Vec<_>>().join("; "));
                    return Ok(walk);
                }
                Err(error) => failures.push(format!("not as in {}: {error:#}", table.name)),
            }
        }
        bail!(
            "the kernel has no BTF, and the layout of struct wakeup_source is not known ({})",
            failures.join("; ")
        )
    }

    fn check(&mut self, capacity: u32) -> Result<usize> {
        let mut sysfs = Sysfs::open(capacity)?;
        let mut checked = self_check::check(self, &mut sysfs);
        // Sources come and go.
        for _ in 1..TRIES {
            if checked.is_ok() {
                break;
            }
            checked = self_check::check(self, &mut sysfs);
        }
        checked
    }
}

/// The tables for this kernel, which has no BTF: `error`.
fn tables(error: &anyhow::Error) -> Result<Vec<FrozenKmi>> {
    let system = uname().context("uname")?;
    let release = system.release().to_string_lossy();
    ensure!(release.starts_with(frozen_kmi::RELEASE), "{error:#}");
    Ok(frozen_kmi::tables().into())
}

impl SnapshotSource for Kallsyms {
    fn name(&self) -> &'static str {
        "kallsyms"
    }

    fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    fn take_snapshot(&mut self, visit: &mut dyn FnMut(&Sample<'_>)) -> Result<SnapshotSummary> {
        let (mut walk, _) = self.walker.run()?;
        for _ in 1..TRIES {
            if walk.status == WALK_DONE {
                break;
            }
            log::debug!("the list changed under the walk after {} sources", walk.seen);
            (walk, _) = self.walker.run()?;
        }
        Ok(self.walker.for_each(&walk, false, visit))
    }
}

/// Why the address of the list's head is not known.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoAddress {
    /// The kernel lists no data.
    #[error(
        "{KALLSYMS} has no wakeup_sources: it needs a kernel with CONFIG_KALLSYMS_ALL=y and \
         CONFIG_PM_SLEEP=y"
    )]
    Absent,
    /// It is 0.
    #[error("{KALLSYMS} hides the address of wakeup_sources: run it as root with CAP_SYSLOG")]
    Hidden,
    /// So many symbols have the name.
    #[error("{KALLSYMS} has {0} symbols wakeup_sources: it is not clear which one is the list")]
    Several(usize),
}

/// The address of the list's head. A line is `ADDRESS TYPE NAME`, followed by `[MODULE]` for the
/// symbol of a module (`s_show`, `kernel/kallsyms.c`, 7.3).
fn head(mut symbols: impl BufRead) -> Result<u64> {
    let mut found = Vec::new();
    let mut line = Vec::new();
    while symbols
        .read_until(b'\n', &mut line)
        .with_context(|| format!("{KALLSYMS} cannot be read"))?
        > 0
    {
        found.extend(address(&line));
        line.clear();
    }
    match found[..] {
        [] => bail!(NoAddress::Absent),
        [0] => bail!(NoAddress::Hidden),
        [head] => Ok(head),
        _ => bail!(NoAddress::Several(found.len())),
    }
}

fn address(line: &[u8]) -> Option<u64> {
    let mut words = line.trim_ascii_end().split(|b| matches!(b, b' ' | b'\t'));
    let (address, _, name) = (words.next()?, words.next()?, words.next()?);
    let rest = name.strip_prefix(SYMBOL)?;
    if words.next().is_some() || !(rest.is_empty() || rest.starts_with(LTO)) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(address).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_found_among_similar_symbols() {
        let text = "ffff800081a0 t wakeup_sources_stats_show\n\
            ffff800082b8 d wakeup_sources\n\
            ffff800083c0 d wakeup_sources\t[other]\n\
            ffff800084d0 d wakeup_sources_stats_fops\n";
        assert_eq!(head(text.as_bytes()).unwrap(), 0xffff_8000_82b8);
        assert_eq!(head(&b"10 d wakeup_sources.llvm.77\n"[..]).unwrap(), 16);
    }

    #[test]
    fn errors_name_the_cause() {
        let wrong = [
            ("", "CONFIG_KALLSYMS_ALL"),
            ("zz d wakeup_sources\n?\n", "CONFIG_KALLSYMS_ALL"),
            ("0000000000000000 d wakeup_sources\n", "CAP_SYSLOG"),
            ("10 d wakeup_sources\n20 d wakeup_sources\n", "2 symbols"),
        ];
        for (text, expected) in wrong {
            let error = head(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
