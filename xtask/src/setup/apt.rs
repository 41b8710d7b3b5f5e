//! Debian packages of any suite for arm64, without touching the system: an apt state of our own
//! under `target/`, signatures checked against Debian's own keyring.
//!
//! The mirror's address comes from the system's apt at run time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::rustc::list;
use crate::{paths, sh};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What is said where the virtual device's packages can't come from: packages of another
/// distribution would not do, and mixing two spoils a machine.
pub const NO_DEBIAN: &str = "\
the virtual device can't be set up here: its kernel and its user land are Debian's packages, so it \
needs a machine with Debian, and root to install qemu and adb there. Without it these work: \
`cargo test`, `cargo build --package sleepwalk`, and `cargo xtask build` where bpf-linker and zig \
could be set up";

/// A view of some suites.
pub struct Apt {
    options: Vec<String>,
    home: PathBuf,
    /// The suite whose versions win.
    suite: String,
}

impl Apt {
    /// Opens the suites, the first of which wins over the others; fetches their lists if there are none.
    pub fn open(suites: &[&str]) -> Result<Apt> {
        let suite = suites.first().context("no suite named")?;
        let home = paths::vdev().join("apt").join(suites.join("+"));
        let apt = Apt { options: options(&home), home, suite: (*suite).to_owned() };
        if apt.stamp().is_file() {
            return Ok(apt);
        }
        let mirror = mirror()?.context("this is no Debian")?;
        let home = &apt.home;
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(home.join(folder))
                .with_context(|| format!("{} cannot be made", home.display()))?;
        }
        fs::write(home.join("status"), "")?;
        fs::write(home.join("sources.list"), sources(&mirror, suites))?;
        apt.update()?;
        Ok(apt)
    }

    /// It exists once the lists are complete.
    fn stamp(&self) -> PathBuf {
        self.home.join("lists-fetched")
    }

    fn update(&self) -> Result<()> {
        let _ = fs::remove_file(self.stamp());
        sh::say(format!("package lists of {}", self.suite));
        let log = format!("apt-update-{}", self.suite);
        sh::retry(|| {
            let mut update = self.get();
            update.args(["--error-on=any", "update"]);
            sh::run_logged(&log, &mut update, sh::LONG, "is the network up?")
        })?;
        fs::write(self.stamp(), "").context("the package lists' stamp cannot be written")
    }

    /// All versions of a package.
    pub fn versions(&self, package: &str) -> Result<Vec<String>> {
        let mut cache = Command::new("apt-cache");
        cache.args(&self.options).args(["madison", package]);
        Ok(madison_versions(&sh::read(&mut cache)?))
    }

    /// The names of the packages that installing these would bring in, themselves included.
    pub fn closure(&self, packages: &[&str]) -> Result<Vec<String>> {
        let mut get = self.get();
        get.args(["install", "--print-uris", "--yes", "-qq", "--no-install-recommends"])
            .args(["--target-release", &self.suite])
            .args(packages);
        let names = uri_names(&sh::read(&mut get)?);
        if names.is_empty() {
            bail!("apt names no package for {} in {}", packages.join(", "), self.suite);
        }
        Ok(names)
    }

    /// Chooses packages (`name` or `name=version`) and downloads them into a folder of their own.
    /// Debian drops a package when a newer one is there, so a failure may mean that our lists are
    /// old: then all of it once more with new ones.
    pub fn download(
        &self,
        choose: impl Fn(&Apt) -> Result<Vec<String>>,
        folder: &Path,
    ) -> Result<Vec<PathBuf>> {
        match self.download_now(&choose(self)?, folder) {
            Ok(files) => Ok(files),
            Err(error) => {
                sh::say(format!("{error:#}\nxtask: trying again with new package lists"));
                self.update()?;
                sh::retry(|| self.download_now(&choose(self)?, folder))
            }
        }
    }

    fn download_now(&self, packages: &[String], folder: &Path) -> Result<Vec<PathBuf>> {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let first = packages.first().context("nothing to download")?;
        let log = format!("apt-download-{}", first.split('=').next().unwrap_or(first));
        let mut get = self.get();
        get.args(["download", "--target-release", &self.suite]).args(packages).current_dir(folder);
        sh::run_logged(&log, &mut get, sh::LONG, "is the network up?")?;
        list(folder)
    }

    fn get(&self) -> Command {
        let mut get = Command::new("apt-get");
        get.args(&self.options);
        get
    }
}

fn options(home: &Path) -> Vec<String> {
    let home = home.display();
    [
        format!("Dir::Etc::SourceList={home}/sources.list"),
        "Dir::Etc::SourceParts=/dev/null".into(),
        "Dir::Etc::Preferences=/dev/null".into(),
        "Dir::Etc::PreferencesParts=/dev/null".into(),
        format!("Dir::State={home}"),
        format!("Dir::State::Lists={home}/lists"),
        format!("Dir::State::status={home}/status"),
        format!("Dir::Cache={home}/cache"),
        format!("Dir::Cache::archives={home}/cache/archives"),
        "APT::Architecture=arm64".into(),
        "APT::Architectures=arm64".into(),
        // Root's apt hands downloads to a user who may not write under target/.
        "APT::Sandbox::User=root".into(),
        // Neither translations nor the software centre's pictures.
        "Acquire::Languages=none".into(),
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
        "Acquire::IndexTargets::deb::CNF::DefaultEnabled=false".into(),
        "Acquire::Retries=3".into(),
    ]
    .into_iter()
    .flat_map(|option| ["-o".to_owned(), option])
    .collect()
}

fn sources(mirror: &str, suites: &[&str]) -> String {
    let keys =
        if Path::new(KEYRING).is_file() { format!(" signed-by={KEYRING}") } else { String::new() };
    suites.iter().map(|suite| format!("deb [arch=arm64{keys}] {mirror} {suite} main\n")).collect()
}

/// Whether Debian's packages can be had here.
pub fn is_debian() -> Result<bool> {
    Ok(mirror()?.is_some())
}

/// The mirror that the system's own apt uses for Debian; none on another distribution.
fn mirror() -> Result<Option<String>> {
    if sh::on_path("apt-get").is_none() {
        return Ok(None);
    }
    let ask = |lists: Option<&Path>| {
        let mut get = Command::new("apt-get");
        if let Some(lists) = lists {
            get.arg("-o").arg(format!("Dir::State::Lists={}", lists.display()));
        }
        get.args(["indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"]);
        Ok::<_, anyhow::Error>(debian_mirror(&sh::read(&mut get)?))
    };
    if let Some(mirror) = ask(None)? {
        return Ok(Some(mirror));
    }
    // A fresh machine has no lists yet; fetching them for ourselves needs no root.
    let lists = paths::vdev().join("apt/system-lists");
    fs::create_dir_all(lists.join("partial"))?;
    sh::retry(|| {
        let mut update = Command::new("apt-get");
        update.arg("-o").arg(format!("Dir::State::Lists={}", lists.display()));
        update.args(["-o", "APT::Sandbox::User=root", "update"]);
        sh::run_logged("apt-update-system", &mut update, sh::LONG, "is the network up?")
    })?;
    ask(Some(&lists))
}

fn debian_mirror(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| line.strip_prefix("Debian|Debian|")).map(str::to_owned)
}

fn madison_versions(table: &str) -> Vec<String> {
    let version = |line: &str| Some(line.split('|').nth(1)?.trim().to_owned());
    table.lines().filter_map(version).collect()
}

/// `'ADDRESS' NAME_VERSION_ARCH.deb SIZE HASH` → NAME.
fn uri_names(uris: &str) -> Vec<String> {
    let name = |line: &str| {
        let file = line.strip_prefix('\'')?.split(' ').nth(1)?;
        Some(file.strip_suffix(".deb")?.split('_').next()?.to_owned())
    };
    uris.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_debian_and_not_its_security_archive() {
        let targets =
            "Other|Other|http://o/\nDebian|Debian-Security|http://s/\nDebian|Debian|http://d/\n";
        assert_eq!(debian_mirror(targets).as_deref(), Some("http://d/"));
        assert_eq!(debian_mirror(""), None);
    }

    #[test]
    fn versions_of_madison() {
        let table = "  adbd |  34.0.5-13 | http://d sid/main arm64 Packages\n\
                     busybox | 1:1.38.0-3+b1 | http://d sid/main arm64 Packages\n";
        assert_eq!(madison_versions(table), ["34.0.5-13", "1:1.38.0-3+b1"]);
    }

    #[test]
    fn names_out_of_addresses() {
        let uris = "'http://d/pool/a/adbd_34.0.5-12_arm64.deb' adbd_34.0.5-12_arm64.deb 156100 SHA256:0\n\
                    Reading package lists...\n\
                    'http://d/p/libc6_2.41-12+deb13u4_arm64.deb' libc6_2.41-12+deb13u4_arm64.deb 2 SHA256:0\n";
        assert_eq!(uri_names(uris), ["adbd", "libc6"]);
    }

    #[test]
    fn a_line_for_each_suite() {
        let text = sources("http://d/", &["a-backports", "a"]);
        assert!(text.lines().all(|line| line.starts_with("deb [arch=arm64")), "{text}");
        assert!(text.contains("] http://d/ a-backports main\n"), "{text}");
    }
}
