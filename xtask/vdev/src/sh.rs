//! Running other programs, each within a limit: a line for each that runs, a log of its output, and an
//! error that names the command, how it ended and what to do about it.
//!
//! All progress goes to stderr: the last line of stdout belongs to the task (`vdev up` prints the
//! device's serial there). `docs/decisions/0031-commands-run-within-limits.md` has the reason against xshell.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::paths;

/// Long enough for the slowest build on a slow machine; a command that takes longer hangs.
pub const LONG: Duration = Duration::from_secs(30 * 60);

/// For [`read`]: unpacking a kernel on a slow disk is the slowest of these commands.
const QUICK: Duration = Duration::from_secs(10 * 60);

/// One line of progress.
pub fn progress(line: impl AsRef<str>) {
    eprintln!("xtask: {}", line.as_ref());
}

/// The command as one would type it, shortened: the paths of this machine are of no interest.
pub fn show(command: &Command) -> String {
    let mut line = short(Path::new(command.get_program()));
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    let root = format!("{}/", paths::root().display());
    let line = line.replace(&root, "");
    match line.char_indices().nth(160) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

fn short(program: &Path) -> String {
    let name = program.file_name().unwrap_or(program.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Runs a command whose output a person wants to see as it comes.
pub fn run(command: &mut Command) -> Result<()> {
    run_within(LONG, command)
}

/// [`run`] with another limit than [`LONG`].
pub fn run_within(limit: Duration, command: &mut Command) -> Result<()> {
    progress(show(command));
    // Not to our stdout: see the module's note.
    let mut child = command
        .stdout(Stdio::from(std::io::stderr()))
        .spawn()
        .with_context(|| format!("`{}` did not start", show(command)))?;
    match wait_within(limit, &mut child)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("`{}` ended with {}", show(command), ended(status)),
        None => bail!("`{}` did not end within {} s", show(command), limit.as_secs()),
    }
}

/// Waits for a command; one that takes longer is killed with all that it started, and gives `None`.
pub(crate) fn wait_within(limit: Duration, child: &mut Child) -> Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > limit {
            end(child).context("a hanging command cannot be ended")?;
            return Ok(None);
        }
        sleep(Duration::from_millis(20));
    }
}

/// Kills a command and all that it started: cargo would leave its compilers or tests behind.
///
/// Not by a process group of its own: out of the terminal's group, Ctrl-C would not reach it.
fn end(child: &mut Child) -> Result<()> {
    let mut tree = vec![i32::try_from(child.id()).context("a process id")?];
    let mut next = 0;
    while let Some(&pid) = tree.get(next) {
        // A stopped one starts no others while they are listed, and keeps its number.
        let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
        tree.extend(children(pid));
        next += 1;
    }
    for pid in tree {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    child.wait()?;
    Ok(())
}

/// The processes that this one started and that still run.
fn children(of: i32) -> Vec<i32> {
    // Where there is no /proc, only the command itself is ended.
    let Ok(all) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    all.flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| parent(*pid) == Some(of))
        .collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // `PID (NAME) STATE PARENT …`; a name may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Runs a command whose output matters only when it fails: it goes to `target/logs/NAME.log`, and
/// its end is shown on failure, after `remedy`.
pub fn run_logged(name: &str, command: &mut Command, limit: Duration, remedy: &str) -> Result<()> {
    let (log, file) = log(name)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file.try_clone()?)
        .spawn()
        .with_context(|| format!("`{}` did not start: {remedy}", show(command)))?;
    let end = match wait_within(limit, &mut child)? {
        Some(status) if status.success() => return Ok(()),
        Some(status) => format!("ended with {}", ended(status)),
        None => format!("did not end within {} s", limit.as_secs()),
    };
    let tail = tail_of(file, 15);
    bail!("`{}` {end}: {remedy}\n{tail}(all of it: {})", show(command), log.display());
}

/// A new log in `target/logs`. A command that still writes an older one of that name keeps its own file.
pub(crate) fn log(name: &str) -> Result<(PathBuf, File)> {
    let log = paths::logs().join(format!("{name}.log"));
    fs::create_dir_all(paths::logs()).context("target/logs cannot be made")?;
    let _ = fs::remove_file(&log);
    let file = OpenOptions::new().read(true).append(true).create(true).open(&log);
    let file = file.with_context(|| format!("{} cannot be written", log.display()))?;
    Ok((log, file))
}

/// The output of a quick command, without the last newline.
pub fn read(command: &mut Command) -> Result<String> {
    read_within(QUICK, command)
}

fn read_within(limit: Duration, command: &mut Command) -> Result<String> {
    let output = output_within(limit, command)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if !output.status.success() {
        let (line, end) = (show(command), ended(output.status));
        bail!("`{line}` ended with {end}: {}", text(&output.stderr));
    }
    Ok(text(&output.stdout))
}

/// Everything that a command prints, however it ends; an error if it does not end in time.
pub(crate) fn output_within(limit: Duration, command: &mut Command) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{}` did not start", show(command)))?;
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let Some(status) = wait_within(limit, &mut child)? else {
        bail!("`{}` did not end within {} s", show(command), limit.as_secs());
    };
    // Something in the background may hold on to the ends of an ended command.
    let open = || format!("`{}` ended, but what it started holds its output open", show(command));
    let all = |from: Receiver<Vec<u8>>| from.recv_timeout(limit).with_context(open);
    Ok(Output { status, stdout: all(stdout)?, stderr: all(stderr)? })
}

/// Reads to the end beside the wait: a command blocks while its output is not read.
fn drain(from: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            // Output from before an error is worth showing.
            let _ = from.read_to_end(&mut bytes);
        }
        // After the limit the receiver is gone.
        let _ = sender.send(bytes);
    });
    receiver
}

/// The last lines of a file, indented, for an error message.
pub fn tail(file: &Path, lines: usize) -> String {
    File::open(file).map(|file| tail_of(file, lines)).unwrap_or_default()
}

pub(crate) fn tail_of(mut file: File, lines: usize) -> String {
    let mut bytes = Vec::new();
    // An error leaves a shorter tail.
    let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    let from = all.len().saturating_sub(lines);
    all[from..].iter().map(|line| format!("    {}\n", line.trim_end_matches('\r'))).collect()
}

/// How a command ended, for an error message.
pub fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit status {code}"),
        // The signal's number is in here.
        None => status.to_string(),
    }
}

/// The full path of a program on `PATH`, or where Debian has those for root, as mkfs.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Locks a file until the result is dropped; prints `waiting` if another task has it.
pub fn lock(path: &Path, waiting: Option<&str>) -> Result<File> {
    let lock = || {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        let file = File::create(path)?;
        if file.try_lock().is_err() {
            if let Some(waiting) = waiting {
                progress(waiting);
            }
            file.lock()?;
        }
        Ok::<_, std::io::Error>(file)
    };
    lock().with_context(|| format!("{} cannot be locked", path.display()))
}

/// A cargo that builds in this workspace with our flags only: `RUSTFLAGS` from outside would hide
/// the per-target flags that the probe and the agent need.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(paths::root());
    plain_rust(&mut cargo);
    cargo
}

/// Takes the flags of an outer cargo or shell away from a command that will call rustc.
pub fn plain_rust(command: &mut Command) {
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_BOOTSTRAP", "CARGO_TARGET_DIR"] {
        command.env_remove(name);
    }
}

/// Tries an operation on the network up to three times: mirrors and registries have bad moments.
pub fn retry<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    for pause in [3, 10] {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(error) => {
                progress(format!("{error:#}\nxtask: trying again in {pause} s"));
                sleep(Duration::from_secs(pause));
            }
        }
    }
    attempt()
}

/// Writes `bytes` unless the file holds them already: a new time stamp would rebuild whatever embeds it.
pub fn write_if_changed(file: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    // Beside it first: a program that runs cannot be written to, but can be replaced.
    let new = file.with_added_extension("new");
    fs::write(&new, bytes)
        .and_then(|()| fs::rename(&new, file))
        .with_context(|| format!("{} cannot be written", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_has_no_local_paths() {
        let mut command = Command::new("/usr/bin/thing");
        command.arg(paths::root().join("target/x"));
        assert_eq!(show(&command), "thing target/x");
    }

    #[test]
    fn a_long_command_is_cut() {
        let mut command = Command::new("thing");
        command.arg("ä".repeat(500));
        assert_eq!(show(&command).chars().count(), 161);
    }

    #[test]
    fn a_failure_names_status_and_remedy() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo why; exit 3"]);
        let error = run_logged("test-failure", &mut command, LONG, "do this").unwrap_err();
        let error = error.to_string();
        assert!(error.contains("exit status 3: do this"), "{error}");
        assert!(error.contains("    why\n"), "{error}");
    }

    #[test]
    fn a_hang_is_killed() {
        let limit = Duration::from_millis(50);
        let error =
            run_logged("test-hang", Command::new("sleep").arg("9"), limit, "x").unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
        let error = run_within(limit, Command::new("sleep").arg("9")).unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
        let error = read_within(limit, Command::new("sleep").arg("9")).unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
    }

    #[test]
    fn a_hang_is_killed_with_its_children() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 99 & echo $!; wait"]);
        run_logged("test-tree", &mut command, Duration::from_millis(500), "x").unwrap_err();
        let pid = fs::read_to_string(paths::logs().join("test-tree.log")).unwrap();
        let ended = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            // Perhaps not yet reaped.
            stat.is_empty() || stat.contains(") Z ")
        };
        // A kill is a request: what is not scheduled takes a while to follow it.
        let limit = Instant::now() + Duration::from_secs(60);
        while !ended() {
            assert!(Instant::now() < limit, "{pid} runs on");
            sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_file_in_use_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("program");
        write_if_changed(&file, b"old").unwrap();
        let mut in_use = File::open(&file).unwrap();
        write_if_changed(&file, b"new").unwrap();
        let mut old = String::new();
        in_use.read_to_string(&mut old).unwrap();
        assert_eq!((old.as_str(), fs::read(&file).unwrap()), ("old", b"new".to_vec()));
        assert_eq!(paths::list(folder.path()).unwrap(), [file]);
    }

    #[test]
    fn large_output_is_read() {
        let mut command = Command::new("sh");
        command.args(["-c", "head -c 300000 /dev/zero >&2; echo printed"]);
        assert_eq!(read(&mut command).unwrap(), "printed");
        command = Command::new("sh");
        command.args(["-c", "echo why >&2; exit 3"]);
        let error = read(&mut command).unwrap_err().to_string();
        assert_eq!(error, "`sh -c echo why >&2; exit 3` ended with exit status 3: why");
    }
}
