//! The compiler's own account: its release and LLVM pick the sources and the linker's build.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::paths::list;
use crate::sh;

/// The rustc that cargo would call.
pub struct Rustc {
    /// All of `rustc -vV`; what was built for another compiler carries another text.
    pub identity: String,
    /// `1.95.0`.
    pub release: String,
    /// `22` of LLVM 22.1.2.
    pub llvm_major: String,
    pub sysroot: PathBuf,
}

impl Rustc {
    pub fn ask() -> Result<Rustc> {
        let identity = sh::read(Command::new("rustc").arg("-vV"))
            .context("Rust is missing: install it with rustup")?;
        let sysroot = sh::read(Command::new("rustc").args(["--print", "sysroot"]))?;
        let field = |name: &str| {
            field(&identity, name)
                .with_context(|| format!("`rustc -vV` names no {name}:\n{identity}"))
        };
        let release = field("release")?.to_owned();
        let llvm_major = field("LLVM version")?.split('.').next().unwrap_or_default().to_owned();
        Ok(Rustc { identity, release, llvm_major, sysroot: PathBuf::from(sysroot) })
    }

    /// The LLVM library that rustc itself runs on.
    pub fn llvm_library(&self) -> Result<PathBuf> {
        let folder = self.sysroot.join("lib");
        let largest = list(&folder)?
            .into_iter()
            .filter(|file| {
                file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libLLVM"))
            })
            // Beside the library there may be a linker script of the same name of a few bytes.
            .max_by_key(|file| file.metadata().map_or(0, |meta| meta.len()));
        largest.with_context(|| {
            format!(
                "{} has no libLLVM: use a Rust from rustup, or put bpf-linker on PATH",
                folder.display()
            )
        })
    }
}

fn field<'a>(identity: &'a str, name: &str) -> Option<&'a str> {
    identity.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_of_the_identity() {
        let identity = "rustc 1.95.0 (x)\nrelease: 1.95.0\nLLVM version: 22.1.2";
        assert_eq!(field(identity, "release"), Some("1.95.0"));
        assert_eq!(field(identity, "LLVM version"), Some("22.1.2"));
        assert_eq!(field(identity, "host"), None);
    }
}
