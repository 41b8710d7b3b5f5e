//! The kernel's functions by address, from `/proc/kallsyms`.
//!
//! A phone has some 100,000 of them, more than the agent may keep in memory: they are in a file without a name, in
//! the folder of the trace.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nix::libc;

/// The modules, of which each has one line.
const MODULES: &str = "/proc/modules";

/// One function in the file: its address, then the place and the length of its name.
const ENTRY: u64 = 8 + 4 + 4;

/// No function is so long: an address this far behind its symbol belongs to something without one.
const LONGEST: u64 = 1 << 16;

/// A function, and the part of it before an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The function's name.
    pub name: String,
    /// The module that has it; empty for the kernel itself.
    pub module: String,
    /// Bytes from the function's start.
    pub offset: u64,
}

/// The functions.
#[derive(Debug)]
pub struct Symbols {
    /// Opened while addresses were shown, it shows them for as long as it is open (`kallsyms_open`,
    /// `kernel/kallsyms.c`).
    kallsyms: File,
    table: File,
    /// Where the entries begin, sorted by address.
    entries_at: u64,
    entries: u64,
    /// The modules when the table was made.
    modules: Vec<u8>,
}

impl Symbols {
    /// Reads `kallsyms` into a file in `folder`.
    pub fn read(kallsyms: File, folder: &Path) -> Result<Self> {
        let table = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_TMPFILE)
            .mode(0o600)
            .open(folder)
            .with_context(|| format!("{}: no file for the kernel's symbols", folder.display()))?;
        let mut symbols = Self { kallsyms, table, entries_at: 0, entries: 0, modules: Vec::new() };
        symbols.fill()?;
        Ok(symbols)
    }

    fn fill(&mut self) -> Result<()> {
        self.modules = modules();
        self.kallsyms.seek(SeekFrom::Start(0)).context("/proc/kallsyms")?;
        self.table.set_len(0)?;
        self.table.seek(SeekFrom::Start(0))?;
        let mut names = BufWriter::with_capacity(1 << 16, &self.table);
        let (mut entries, mut at) = (Vec::new(), 0u32);
        let mut lines = BufReader::with_capacity(1 << 16, &self.kallsyms);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).context("/proc/kallsyms")? > 0 {
            if let Some((address, name)) = function(line.trim_ascii_end()) {
                names.write_all(name)?;
                entries.push((address, at, name.len() as u32));
                at += name.len() as u32;
            }
            line.clear();
        }
        ensure!(!entries.is_empty(), "/proc/kallsyms shows no address of a function");
        // The first in the file of several at one address stays the first.
        entries.sort_by_key(|(address, ..)| *address);
        for (address, at, length) in &entries {
            names.write_all(&address.to_ne_bytes())?;
            names.write_all(&at.to_ne_bytes())?;
            names.write_all(&length.to_ne_bytes())?;
        }
        names.flush()?;
        drop(names);
        (self.entries_at, self.entries) = (at.into(), entries.len() as u64);
        Ok(())
    }

    /// Reads the symbols again if modules were loaded or removed since.
    pub fn refresh(&mut self) -> Result<()> {
        if modules() == self.modules { Ok(()) } else { self.fill() }
    }

    /// The function that has `address`.
    pub fn at(&self, address: u64) -> Result<Option<Symbol>> {
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)?.0 <= address { low = middle + 1 } else { high = middle }
        }
        let Some(mut n) = low.checked_sub(1) else { return Ok(None) };
        let (start, mut at, mut length) = self.entry(n)?;
        while let Some(before) = n.checked_sub(1)
            && let entry = self.entry(before)?
            && entry.0 == start
        {
            (n, at, length) = (before, entry.1, entry.2);
        }
        let offset = address - start;
        if offset >= LONGEST {
            return Ok(None);
        }
        let mut name = vec![0; length as usize];
        self.table.read_exact_at(&mut name, at.into())?;
        let text = String::from_utf8_lossy(&name);
        let (name, module) = text.split_once('\t').unwrap_or((&text, ""));
        let module = module.trim_start_matches('[').trim_end_matches(']');
        Ok(Some(Symbol { name: name.to_owned(), module: module.to_owned(), offset }))
    }

    fn entry(&self, n: u64) -> Result<(u64, u32, u32)> {
        let mut bytes = [0; ENTRY as usize];
        self.table.read_exact_at(&mut bytes, self.entries_at + n * ENTRY)?;
        let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
        let [i, j, k, l, m, o, p, q] = rest;
        Ok((
            u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            u32::from_ne_bytes([i, j, k, l]),
            u32::from_ne_bytes([m, o, p, q]),
        ))
    }
}

/// The address and the name, with the module behind a tab, of a function's line:
/// `ffffffc008010000 t name\t[module]`.
fn function(line: &[u8]) -> Option<(u64, &[u8])> {
    let (address, rest) = line.split_at_checked(16)?;
    let [b' ', b't' | b'T' | b'w' | b'W', b' ', name @ ..] = rest else { return None };
    let address = u64::from_str_radix(std::str::from_utf8(address).ok()?, 16).ok()?;
    // Marks of code and data are no functions.
    (address != 0 && !name.is_empty() && !name.starts_with(b"$")).then_some((address, name))
}

/// Names and sizes of the modules; their other columns change without a load.
fn modules() -> Vec<u8> {
    let mut text = String::new();
    let _ = File::open(MODULES).and_then(|mut file| file.read_to_string(&mut text));
    let columns = |line: &str| {
        let mut columns = line.split(' ');
        format!("{} {}\n", columns.next().unwrap_or(""), columns.next().unwrap_or(""))
    };
    text.lines().map(columns).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(text: &str) -> Result<Symbols> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kallsyms");
        std::fs::write(&path, text).unwrap();
        Symbols::read(File::open(path).unwrap(), folder.path())
    }

    #[test]
    fn an_address_has_the_function_before_it() {
        let text = "ffff800080010000 T _text\nffff800080010000 t first\n\
            ffff800080010100 t second\nffff800080010180 d data\nffff8000a0000000 t $x\n\
            ffff80007a000000 t wlan_wake\t[wlan]\nffff800080010200 W third\n";
        let symbols = symbols(text).unwrap();
        let at = |address| {
            let found = symbols.at(address).unwrap()?;
            Some(format!("{}+{:#x} {}", found.name, found.offset, found.module))
        };
        assert_eq!(at(0xffff_8000_8001_0000).as_deref(), Some("_text+0x0 "));
        assert_eq!(at(0xffff_8000_8001_00ff).as_deref(), Some("_text+0xff "));
        assert_eq!(at(0xffff_8000_8001_01a0).as_deref(), Some("second+0xa0 "));
        assert_eq!(at(0xffff_8000_8001_0204).as_deref(), Some("third+0x4 "));
        assert_eq!(at(0xffff_8000_7a00_0010).as_deref(), Some("wlan_wake+0x10 wlan"));
        assert_eq!(at(0xffff_8000_0000_0000), None);
        // No function is so long.
        assert_eq!(at(0xffff_8000_a000_0000), None);
    }

    #[test]
    fn hidden_addresses_are_no_symbols() {
        let hidden = symbols("0000000000000000 T _text\n0000000000000000 t first\n");
        assert!(hidden.unwrap_err().to_string().contains("no address"));
        assert!(symbols("").is_err());
        assert!(symbols("short\nffff80008001000 T x\nffff800080010000 T \n").is_err());
    }
}
