//! A task that cannot be frozen: it wants a folder of a file system whose server never answers.
//!
//! Who looks a name up there holds the folder while it waits for the server, and who wants to change the
//! folder waits for that in a state that nothing ends (`lookup_slow` and `filename_create`, fs/namei.c,
//! 6.1 to 7.3). The first alone does not do: since 7.x FUSE lets it be frozen as it waits. Nor does a
//! parent in vfork, which counts as frozen (`wait_for_vfork_done`, kernel/fork.c).

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

const SERVER: &str = "/dev/fuse";
/// Far beyond what a slow machine needs to get there.
const DEADLINE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(1);

/// The mount and the tasks; all end when this is dropped.
pub struct HungMount {
    folder: PathBuf,
    /// Closing it ends the waits.
    server: Option<File>,
    tasks: Vec<JoinHandle<()>>,
}

impl HungMount {
    /// Mounts it there, and waits until the tasks hang.
    pub fn new(folder: &Path) -> Result<HungMount> {
        fs::create_dir(folder).with_context(|| format!("{folder:?}"))?;
        let server = OpenOptions::new().read(true).write(true).open(SERVER);
        let server = server.with_context(|| format!("{SERVER}: the module fuse is needed"))?;
        let data = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        mount(Some("hung"), folder, Some("fuse"), MsFlags::empty(), Some(data.as_str()))
            .with_context(|| format!("mount of {folder:?} with `{data}`"))?;
        let tasks = Vec::new();
        let mut hung = HungMount { folder: folder.to_owned(), server: Some(server), tasks };
        let (looked_up, made) = (folder.join("looked_up"), folder.join("made"));
        hung.start(move || drop(fs::metadata(looked_up)))?;
        hung.start(move || drop(fs::create_dir(made)))?;
        Ok(hung)
    }

    /// Starts a task and waits until it hangs.
    fn start(&mut self, task: impl FnOnce() + Send + 'static) -> Result<()> {
        let (send, receive) = channel();
        self.tasks.push(thread::spawn(move || {
            let _ = send.send(fs::read_link("/proc/thread-self"));
            task();
        }));
        let thread = receive.recv().context("the thread ended")?.context("/proc/thread-self")?;
        let stat = fs::canonicalize("/proc").context("/proc")?.join(thread).join("stat");
        let begin = Instant::now();
        while !fs::read_to_string(&stat).with_context(|| format!("{stat:?}"))?.contains(") D ") {
            ensure!(begin.elapsed() < DEADLINE, "a task did not hang within {DEADLINE:?}");
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for HungMount {
    fn drop(&mut self) {
        drop(self.server.take());
        let panicked = self.tasks.drain(..).any(|task| task.join().is_err());
        let done = umount2(&self.folder, MntFlags::MNT_DETACH);
        if panicked || done.is_err() {
            crate::event::complain(format_args!("{:?} stays mounted: {done:?}", self.folder));
        }
    }
}
