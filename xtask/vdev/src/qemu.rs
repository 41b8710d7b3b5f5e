//! The emulator's process: its command line, its state file, and whether it still runs.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::boot::Boot;
use crate::instance::INITRAMFS;
use crate::packages::{Kernel, KernelFiles};
use crate::sh;

/// Ports that the adb server scans on its own: a device there would show up twice.
const SCANNED_BY_ADB: std::ops::RangeInclusive<u16> = 5555..=5585;

/// A started emulator, as the state file remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qemu {
    pub pid: i32,
    pub port: u16,
    pub kernel: Kernel,
}

impl Qemu {
    /// Starts an emulator in `folder`, which gets its console and its state.
    pub fn start(
        qemu: &Path,
        folder: &Path,
        boot: Boot,
        files: &KernelFiles,
        initramfs: &Path,
        disk: Option<&Path>,
    ) -> Result<Qemu> {
        let port = free_port()?;
        let mut command = Command::new(qemu);
        command
            .current_dir(folder)
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-daemonize"])
            .args(["-machine", "virt", "-cpu", boot.kernel.processor(), "-smp", "2", "-m", "1024"])
            .arg("-kernel")
            .arg(&files.image)
            .arg("-initrd")
            .arg(initramfs)
            // A panic ends the emulator (with -no-reboot) instead of hanging; the console stays on
            // through a suspend, so that what goes wrong in there is seen. Each switch of KPTI's page tables
            // flushes the emulator's whole TLB, some 40 µs a system call. No processor does that, and those
            // of Armv8.5 and later have E0PD instead of KPTI.
            .arg("-append")
            .arg(format!(
                "console=ttyAMA0 panic=-1 no_console_suspend kpti=off{}",
                boot.refuses.arguments()
            ))
            .arg("-no-reboot")
            .args(["-serial", "file:console.log", "-pidfile", "qemu.pid"])
            .arg("-netdev")
            .arg(format!("user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:5555"))
            .args(["-device", "virtio-net-pci,netdev=net0,romfile="]);
        if let Some(disk) = disk {
            let mut drive = OsString::from("if=none,id=disk0,format=raw,file=");
            // A comma ends an option's value, and two stand for one.
            drive.push(disk.to_string_lossy().replace(',', ",,"));
            command.arg("-drive").arg(drive).args(["-device", "virtio-blk-pci,drive=disk0"]);
        }
        for name in ["console.log", "qemu.pid"] {
            let _ = fs::remove_file(folder.join(name));
        }
        let log = format!("qemu-{}", folder.file_name().unwrap_or_default().to_string_lossy());
        let remedy = "qemu's own message is below";
        sh::run_logged(&log, &mut command, Duration::from_secs(30), remedy)?;

        let pid = fs::read_to_string(folder.join("qemu.pid")).context("qemu left no pid")?;
        let pid = pid.trim().parse().with_context(|| format!("qemu's pid {pid:?} is no number"))?;
        let started = Qemu { pid, port, kernel: boot.kernel };
        fs::write(state_file(folder), started.to_text())
            .with_context(|| format!("{} cannot be written", state_file(folder).display()))?;
        Ok(started)
    }

    /// The emulator that runs in `folder`. A pid alone proves nothing: it may be another's by now.
    pub fn running(folder: &Path) -> Option<Qemu> {
        Qemu::remembered(folder).filter(|qemu| qemu.alive(folder))
    }

    /// The emulator that was started in `folder` last and not taken down, alive or not.
    pub fn remembered(folder: &Path) -> Option<Qemu> {
        Qemu::from_text(&fs::read_to_string(state_file(folder)).ok()?)
    }

    /// Whether the process is still there, and still the one that was started in `folder`.
    pub fn alive(&self, folder: &Path) -> bool {
        let process = PathBuf::from(format!("/proc/{}", self.pid));
        // A daemon changes to `/`, so only its arguments distinguish it from another instance's.
        let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
        let mark = format!("hostfwd=tcp:127.0.0.1:{}-", self.port);
        let initramfs = folder.join(INITRAMFS);
        let arguments = String::from_utf8_lossy(&arguments);
        arguments.contains(&mark) && arguments.contains(&*initramfs.to_string_lossy())
    }

    /// Kills the process, which cuts the device's power: nothing in the device notices before.
    pub fn end(&self, folder: &Path) -> Result<()> {
        if self.alive(folder) {
            kill(Pid::from_raw(self.pid), Signal::SIGKILL)
                .with_context(|| format!("qemu (pid {}) cannot be killed", self.pid))?;
        }
        let killed = Instant::now();
        while self.alive(folder) {
            if killed.elapsed() > Duration::from_secs(15) {
                bail!("qemu (pid {}) does not end", self.pid);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn to_text(self) -> String {
        format!("pid {}\nport {}\nkernel {}\n", self.pid, self.port, self.kernel.name())
    }

    fn from_text(text: &str) -> Option<Qemu> {
        let value =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        let pid = value("pid")?.parse().ok().filter(|pid| *pid > 1)?;
        let port = value("port")?.parse().ok()?;
        Some(Qemu { pid, port, kernel: Kernel::of_name(value("kernel")?)? })
    }
}

fn state_file(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// A port without a listener right now.
fn free_port() -> Result<u16> {
    // Kept until the end: the system would hand out the same one again.
    let mut taken = Vec::new();
    for _ in 0..64 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port for adb")?;
        let port = listener.local_addr()?.port();
        if !SCANNED_BY_ADB.contains(&port) {
            return Ok(port);
        }
        taken.push(listener);
    }
    bail!("no free port for adb outside {SCANNED_BY_ADB:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_file_reads_back() {
        for kernel in Kernel::ALL {
            let qemu = Qemu { pid: 4711, port: 40001, kernel };
            assert_eq!(Qemu::from_text(&qemu.to_text()), Some(qemu));
        }
    }

    #[test]
    fn a_damaged_state_file_is_no_emulator() {
        for text in [
            "",
            "pid 7",
            "pid x\nport 1\nkernel 6.1\n",
            // Signals to these would go to others.
            "pid -1\nport 1\nkernel 6.1\n",
            "pid 1\nport 1\nkernel 6.1\n",
            "pid 7\nport 99999\nkernel 6.1\n",
            "pid 7\nport 1\nkernel 2.4\n",
        ] {
            assert_eq!(Qemu::from_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_reused_pid_is_no_emulator() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let qemu = Qemu { pid, port: 40001, kernel: Kernel::Kfunc };
        assert!(!qemu.alive(Path::new("/nowhere")));
    }

    #[test]
    fn a_port_is_outside_adbs_scan() {
        assert!(!SCANNED_BY_ADB.contains(&free_port().unwrap()));
    }
}
