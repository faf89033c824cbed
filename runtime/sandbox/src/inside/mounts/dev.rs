//! /dev: a few devices of the host, terminals and shared memory of the sandbox's own.

use super::{SAFE, Stage, kernel};
use crate::event::Stage as Phase;
use crate::inside::{Outcome, Tried};
use rustix::fs::{Mode, OFlags, mkdirat, openat, symlinkat};
use rustix::mount::MountAttrFlags;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

const STILL: MountAttrFlags = SAFE.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);
/// Devices keep the attribute `nodev` off: they are the one place where devices work.
const DEVICE: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
const LINKS: &[(&str, &str)] = &[
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];
/// Group of terminals on Debian and most others.
const TTY_GROUP: &str = "5";

impl Stage {
    pub(super) fn dev(&self, at: &Path) -> Outcome<()> {
        let target = self.directory(at, true)?;
        let options = [("mode", Some("755")), ("size", Some("1m"))];
        let dev = kernel::file_system("tmpfs", &options, STILL)?;
        kernel::attach(&dev, &target)
            .tried(Phase::Mount, format_args!("mount {}", at.display()))?;
        for name in DEVICES {
            device(&dev, name).tried(Phase::Mount, format_args!("show the device /dev/{name}"))?;
        }
        for (name, link) in LINKS {
            symlinkat(*link, &dev, *name)
                .tried(Phase::Mount, format_args!("make the link /dev/{name}"))?;
        }
        mount_in(&dev, "pts", &terminals()?)?;
        mount_in(
            &dev,
            "shm",
            &kernel::file_system("tmpfs", &[("mode", Some("1777"))], STILL)?,
        )?;
        // Not every kernel has message queues, and hardly a program asks for them.
        match kernel::file_system("mqueue", &[], STILL) {
            Ok(queues) => mount_in(&dev, "mqueue", &queues),
            Err(failure) if failure.errno == libc::ENODEV => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}

fn device(dev: &OwnedFd, name: &str) -> io::Result<()> {
    let device = kernel::clone_host_tree(&Path::new("/dev").join(name), false)?;
    kernel::restrict(&device, DEVICE)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    openat(dev, name, flags, Mode::from_bits_truncate(0o644))?;
    Ok(kernel::attach_at(&device, dev, name)?)
}

fn mount_in(dev: &OwnedFd, name: &str, mount: &OwnedFd) -> Outcome<()> {
    let what = || format!("mount /dev/{name}");
    mkdirat(dev, name, Mode::from_bits_truncate(0o755)).tried(Phase::Mount, what())?;
    kernel::attach_at(mount, dev, name).tried(Phase::Mount, what())
}

fn terminals() -> Outcome<OwnedFd> {
    let options = [
        ("newinstance", None),
        ("ptmxmode", Some("666")),
        ("mode", Some("620")),
        ("gid", Some(TTY_GROUP)),
    ];
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    match kernel::file_system("devpts", &options, attributes) {
        // A user namespace with a single id has no such group.
        Err(failure) if failure.errno == libc::EINVAL => {
            kernel::file_system("devpts", &options[..3], attributes)
        }
        other => other,
    }
}
