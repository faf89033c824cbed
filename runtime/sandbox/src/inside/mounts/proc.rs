//! /proc and /sys, with the paths masked that Docker masks.

use super::{SAFE, Stage, kernel};
use crate::event::Stage as Phase;
use crate::inside::{Outcome, Tried};
use rustix::fs::{AtFlags, FileType, statat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

const STILL: MountAttrFlags = SAFE.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);
const FIXED: MountAttrFlags = STILL.union(MountAttrFlags::MOUNT_ATTR_RDONLY);

/// Hidden in /proc: what tells of or reaches into the machine.
const PROC_HIDDEN: &[&str] = &[
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];
/// Read-only in /proc: what changes the machine.
const PROC_READ_ONLY: &[&str] = &["bus", "fs", "irq", "sys", "sysrq-trigger"];
const SYS_HIDDEN: &[&str] = &["firmware", "devices/virtual/powercap"];

impl Stage {
    pub(super) fn proc(&self, at: &Path) -> Outcome<()> {
        let target = self.directory(at, true)?;
        let proc = kernel::file_system("proc", &[], STILL)?;
        kernel::attach(&proc, &target)
            .tried(Phase::Mount, format_args!("mount {}", at.display()))?;
        for name in PROC_HIDDEN {
            hide(&proc, name).tried(Phase::Mount, format_args!("hide /proc/{name}"))?;
        }
        for name in PROC_READ_ONLY {
            protect(&proc, name).tried(Phase::Mount, format_args!("protect /proc/{name}"))?;
        }
        Ok(())
    }

    pub(super) fn sys(&self, at: &Path) -> Outcome<()> {
        let target = self.directory(at, true)?;
        let what = || format!("show /sys at {}", at.display());
        let sys = kernel::clone_host_tree(Path::new("/sys"), true).tried(Phase::Mount, what())?;
        kernel::restrict(&sys, FIXED).tried(Phase::Mount, what())?;
        kernel::attach(&sys, &target).tried(Phase::Mount, what())?;
        for name in SYS_HIDDEN {
            hide(&sys, name).tried(Phase::Mount, format_args!("hide /sys/{name}"))?;
        }
        Ok(())
    }
}

/// Covers a file with the null device or a directory with an empty one; what is not there needs no cover.
fn hide(directory: &OwnedFd, name: &str) -> io::Result<()> {
    let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    let cover = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let options = [("size", Some("0")), ("mode", Some("555"))];
        kernel::file_system("tmpfs", &options, FIXED)
            .map_err(|failure| io::Error::from_raw_os_error(failure.errno))?
    } else {
        let null = kernel::clone_host_tree(Path::new("/dev/null"), false)?;
        kernel::restrict(
            &null,
            MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC,
        )?;
        null
    };
    Ok(kernel::attach_at(&cover, directory, name)?)
}

/// Mounts a path over itself, read-only.
fn protect(directory: &OwnedFd, name: &str) -> io::Result<()> {
    let copy = match kernel::clone_tree(directory.as_fd(), Path::new(name), true) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    kernel::restrict(&copy, FIXED)?;
    Ok(kernel::attach_at(&copy, directory, name)?)
}
