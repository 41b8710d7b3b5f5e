//! Nobody else gets in: the agent runs as root, so nobody but root and adb's shell may write where it
//! and its files are.
//!
//! adb's shell has the umask 0, so the modes are set and not left to it. adb's shell is trusted: it
//! owns [`TMP`](super::paths::TMP), and becomes root by the same way as this program.

use super::adb::Device;
use super::agent::NAME;
use super::error::DeviceError;
use super::shell::quote;

/// Android's user `shell` (`AID_SHELL`, `android_filesystem_config.h`).
const SHELL: &str = "2000";

/// The bits of `st_mode` of the type of a file (inode(7)).
const TYPE: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const STICKY: u32 = 0o001_000;
/// Any right of another user than the owner.
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o002;

/// Checks the folder `dir` and what is in it, and returns whether it exists.
pub fn check(device: &Device, dir: &str) -> Result<bool, DeviceError> {
    let (parent, _) = dir.rsplit_once('/').unwrap_or(("/", dir));
    let (parent, quoted) = (quote(parent), quote(dir));
    // `stat` follows no link. A file that vanishes meanwhile is no error.
    let script = format!("stat -c '%u %f %n' {parent} {quoted} {quoted}/* 2>/dev/null; true");
    let listed = device.shell(&script)?;
    judge(&listed.stdout, &owners(device)).map_err(|why| DeviceError::Untrusted {
        serial: device.serial().to_owned(),
        dir: dir.to_owned(),
        why,
    })
}

/// The start of a script, which goes on in `dir` only if the agent there has this SHA-256, and
/// neither it nor the folder is open to others.
pub fn enter(device: &Device, dir: &str, sha256: &str) -> String {
    let folder = quote(dir);
    let right = |owner| format!("'{owner} 41c0 0 81c0 {sha256} -'");
    let right = owners(device).map(right).join("|");
    format!(
        "[ ! -L {folder} ] && cd {folder} || exit; \
         case \"$(echo $(stat -c '%u %f' . {NAME}) $(sha256sum <{NAME}))\" in {right}) ;; \
         *) echo \"{NAME} in $PWD is not the agent that this program installs: its owner, mode or \
         SHA-256 differs\" >&2; exit 1 ;; esac; "
    )
}

/// The users who may own the files.
fn owners(device: &Device) -> [&str; 3] {
    ["0", SHELL, device.shell_user()]
}

/// `list` has a line for the folder's parent, one for the folder if it exists, and then its files:
/// owner, mode in hexadecimal, name. The error says what is wrong.
fn judge(list: &str, owners: &[&str]) -> Result<bool, String> {
    for (number, line) in list.lines().enumerate() {
        let mut fields = line.splitn(3, ' ');
        let (Some(owner), Some(mode), Some(name)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(format!("`stat` printed {line:?}"));
        };
        let mode = u32::from_str_radix(mode, 16).map_err(|_| format!("`stat` printed {line:?}"))?;
        // A new agent takes the place of what has its name.
        if number > 1 && name.rsplit('/').next().is_some_and(|name| name.starts_with(NAME)) {
            continue;
        }
        if !owners.contains(&owner) {
            return Err(format!("{name:?} belongs to user {owner}"));
        }
        let right_type = if number < 2 { FOLDER } else { FILE };
        if mode & TYPE != right_type {
            let kind = if number < 2 { "folder" } else { "file" };
            return Err(format!("{name:?} is a link or no {kind}"));
        }
        let open = match number {
            // Without the sticky bit others could rename the folder.
            0 => mode & OTHERS_WRITE != 0 && mode & STICKY == 0,
            _ => mode & OTHERS != 0,
        };
        if open {
            return Err(format!("{name:?} is open to other users (mode {:o})", mode & !TYPE));
        }
    }
    match list.lines().count() {
        0 => Err("its parent folder is missing, or `stat` does not work".to_owned()),
        count => Ok(count > 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(list: &str) -> Result<bool, String> {
        judge(list, &["0", "2000"])
    }

    const GOOD: &str = "2000 41f9 /tmp\n0 41c0 /tmp/s\n";

    #[test]
    fn a_private_folder_is_trusted() {
        assert_eq!(judged("2000 41f9 /tmp\n"), Ok(false));
        assert_eq!(judged(GOOD), Ok(true));
        assert_eq!(
            judged(&format!("{GOOD}2000 8180 /tmp/s/a b.swk\n0 8180 /tmp/s/a.pid\n")),
            Ok(true)
        );
        // It is replaced, whatever it is.
        assert_eq!(judged(&format!("{GOOD}7 a1ff /tmp/s/sleepwalkd\n")), Ok(true));
        // /tmp with the sticky bit.
        assert_eq!(judged("0 43ff /tmp\n0 41c0 /tmp/s\n"), Ok(true));
    }

    #[test]
    fn what_others_can_change_is_named() {
        let wrong = [
            ("0 41ff /tmp\n", "\"/tmp\" is open to other users (mode 777)"),
            ("10123 41f9 /tmp\n", "\"/tmp\" belongs to user 10123"),
            ("0 41f9 /tmp\n0 41ff /tmp/s\n", "\"/tmp/s\" is open to other users (mode 777)"),
            ("0 41f9 /tmp\n0 41e8 /tmp/s\n", "(mode 750)"),
            ("0 41f9 /tmp\n10123 41c0 /tmp/s\n", "\"/tmp/s\" belongs to user 10123"),
            ("0 41f9 /tmp\n0 a1ff /tmp/s\n", "\"/tmp/s\" is a link or no folder"),
            ("", "its parent folder is missing"),
            ("stat: unknown option\n", "`stat` printed"),
        ];
        let inside = [
            ("0 81b6 /tmp/s/a.swk", "\"/tmp/s/a.swk\" is open to other users (mode 666)"),
            ("10123 8180 /tmp/s/a.pid", "\"/tmp/s/a.pid\" belongs to user 10123"),
            ("0 a1ff /tmp/s/a.swk", "\"/tmp/s/a.swk\" is a link or no file"),
            ("0 41c0 /tmp/s/a.swk", "is a link or no file"),
            ("0 8180 /tmp/s/a\nb", "`stat` printed \"b\""),
        ];
        let inside = inside.map(|(line, words)| (format!("{GOOD}{line}\n"), words));
        let wrong = wrong.map(|(list, words)| (list.to_owned(), words));
        for (list, words) in wrong.into_iter().chain(inside) {
            let why = judged(&list).expect_err(&list);
            assert!(why.contains(words), "{list}: {why}");
        }
    }
}
