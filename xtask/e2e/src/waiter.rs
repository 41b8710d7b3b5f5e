//! A thread that waits for `/sys/power/wakeup_count` since before a capture.

use anyhow::Result;

use crate::Device;
use sleepwalk_vdev::Program;

/// The thread, and the source that makes it wait.
#[derive(Debug)]
pub struct Waiter<'a> {
    source: Program<'a>,
    waiter: Program<'a>,
}

impl<'a> Waiter<'a> {
    /// Returns once it waits, for a source of that name.
    pub fn start(device: &'a Device, name: &str) -> Result<Self> {
        let source = format!("./sleepwalk-workload source --name {name} --hold 1h");
        let source = device.start(&source, "activate")?;
        // `cat` of Busybox calls sendfile, and Android's loop read(2), as `dd` does.
        let waiter = "sh -c 'echo waits; exec dd if=/sys/power/wakeup_count'";
        let waiter = device.start(waiter, "waits")?;
        let asleep = format!(
            "until [ \"$(cat /proc/{}/wchan)\" = pm_get_wakeup_count ]; do sleep 0.1; done",
            waiter.pid
        );
        device.sh(&asleep)?;
        Ok(Self { source, waiter })
    }

    /// The thread's id.
    pub fn pid(&self) -> u32 {
        self.waiter.pid
    }

    /// The script that ends the wait.
    pub fn release(&self) -> String {
        let (source, waiter) = (self.source.pid, self.waiter.pid);
        format!("kill {source}; while [ -e /proc/{waiter} ]; do sleep 0.1; done")
    }

    /// After it was released.
    pub fn end(self) -> Result<()> {
        // The source was stopped early, which is a failure to it.
        self.source.try_wait().map(drop)
    }
}
