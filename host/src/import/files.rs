//! The text files in a zip file, in a directory, or in a file.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use zip::ZipArchive;

use crate::fix::Fixable;

/// A text may be so long; a bug report has some 100 MB.
const LONGEST: u64 = 1 << 30;
/// A directory may have so many files, and so many levels.
const MOST: usize = 10_000;
const DEEPEST: usize = 8;

/// Hands the bytes of each text or Perfetto trace below `path` to `visit`, with its name.
pub fn each(path: &Path, visit: &mut dyn FnMut(&str, Vec<u8>)) -> Result<()> {
    let found = fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?;
    if found.is_dir() {
        return directory(path, visit);
    }
    let mut file =
        File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut magic = Vec::new();
    let name = path.display().to_string();
    if found.is_file() {
        (&mut file).take(4).read_to_end(&mut magic).with_context(|| name.clone())?;
        file.seek(SeekFrom::Start(0)).with_context(|| name.clone())?;
    }
    if magic.starts_with(b"PK\x03\x04") || magic.starts_with(b"PK\x05\x06") {
        return archive(file, visit).with_context(|| name.clone());
    }
    visit(&base(&name), bytes(file, &name)?);
    Ok(())
}

/// A zip file: of a bug report its main entry, else each text.
fn archive(file: File, visit: &mut dyn FnMut(&str, Vec<u8>)) -> Result<()> {
    let mut archive = ZipArchive::new(file).context("the zip file is damaged")?;
    let main = archive
        .by_name("main_entry.txt")
        .ok()
        .and_then(|entry| bytes(entry, "main_entry.txt").ok());
    let main = main.map(|bytes| decode(&bytes).trim().to_owned());
    let names: Vec<String> =
        archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    for name in chosen(names, main.as_deref()) {
        let entry = archive.by_name(&name).with_context(|| format!("{name} in the zip file"))?;
        visit(&base(&name), bytes(entry, &name)?);
    }
    Ok(())
}

/// A directory: likewise.
fn directory(path: &Path, visit: &mut dyn FnMut(&str, Vec<u8>)) -> Result<()> {
    let mut names = Vec::new();
    list(path, Path::new(""), 0, &mut names)?;
    let main =
        fs::read(path.join("main_entry.txt")).ok().map(|bytes| decode(&bytes).trim().to_owned());
    for name in chosen(names, main.as_deref()) {
        let file = path.join(&name);
        let text =
            File::open(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        visit(&base(&name), bytes(text, &name)?);
    }
    Ok(())
}

fn list(root: &Path, below: &Path, depth: usize, names: &mut Vec<String>) -> Result<()> {
    let folder = root.join(below);
    for entry in
        fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))?
    {
        let entry = entry.with_context(|| folder.display().to_string())?;
        let (name, kind) = (below.join(entry.file_name()), entry.file_type()?);
        if kind.is_dir() && depth < DEEPEST {
            list(root, &name, depth + 1, names)?;
        } else if kind.is_file() {
            names.extend(name.to_str().map(str::to_owned));
        }
        if names.len() > MOST {
            bail!(Fixable::new(
                format!("{} has more than {MOST} files", root.display()),
                "give the directory of one bug report",
            ));
        }
    }
    names.sort();
    Ok(())
}

/// The main entry if there is one, with Perfetto traces. It has all that the other text files of a bug report have for us.
fn chosen(names: Vec<String>, main: Option<&str>) -> Vec<String> {
    let traces = names.iter().filter(|name| is_trace(name)).cloned();
    if let Some(main) = names.iter().find(|name| Some(name.as_str()) == main) {
        return [main.clone()].into_iter().chain(traces).collect();
    }
    let is_report = |name: &&String| {
        let base = base(name);
        base.starts_with("bugreport-") && base.ends_with(".txt")
    };
    if let Some(report) = names.iter().find(is_report) {
        return [report.clone()].into_iter().chain(traces).collect();
    }
    names.into_iter().filter(|name| is_text(name) || is_trace(name)).collect()
}

/// Whether the end of a name is that of a text, or it has none, as a file of sysfs.
fn is_text(name: &str) -> bool {
    let base = base(name);
    let end = base.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    !name.ends_with('/')
        && end.is_none_or(|end| matches!(&*end, "txt" | "log" | "csv" | "out" | "dump"))
}

fn is_trace(name: &str) -> bool {
    [".pftrace", ".perfetto-trace"].iter().any(|end| name.ends_with(end))
}

fn base(name: &str) -> String {
    name.rsplit('/').next().unwrap_or_default().to_owned()
}

fn bytes(from: impl Read, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("{name} cannot be read"))?;
    if bytes.len() as u64 > LONGEST {
        bail!(Fixable::new(
            format!("{name} is longer than {} MiB", LONGEST >> 20),
            "give the sections of power, alarm, batterystats and suspend_control_internal alone",
        ));
    }
    Ok(bytes)
}

/// The text of `bytes`: UTF-8, or UTF-16 as a redirect in PowerShell writes it.
pub fn decode(bytes: &[u8]) -> String {
    let units = |of: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| of([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => units(u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => units(u16::from_be_bytes, rest),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        // Without a mark: ASCII's upper bytes are 0.
        [a, 0, b, 0, ..] if *a != 0 && *b != 0 => units(u16::from_le_bytes, bytes),
        [0, a, 0, b, ..] if *a != 0 && *b != 0 => units(u16::from_be_bytes, bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}
