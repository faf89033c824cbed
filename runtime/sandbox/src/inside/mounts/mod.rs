//! Making a view: the mount operations, run by a process in a private mount namespace.

mod beat;
mod dev;
mod edit;
mod fill;
mod kernel;
mod operations;
mod proc;
mod target;

use super::{Outcome, Tried};
use crate::event::Stage as Phase;
use crate::own_namespace;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountAttrFlags, MoveMountFlags, UnmountFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Attributes of every mount but device files.
const SAFE: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// The tmpfs below which a view is made.
#[derive(Debug)]
pub(super) struct Stage {
    directory: OwnedFd,
    /// The staged path that becomes `/`.
    root: PathBuf,
    /// Whether this is a user namespace, this one's or hd's own.
    user: bool,
}

impl Stage {
    /// Mounts a new stage on an empty directory.
    pub(super) fn mount(at: &Path, root: &Path) -> Outcome<Self> {
        let what = || format!("mount a tmpfs on the stage {}", at.display());
        let directory = kernel::tmpfs(None, 0o700).map_err(|failure| failure.during(&what()))?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&directory, "", CWD, at, flags).tried(Phase::Mount, what())?;
        let stage = Self {
            directory,
            root: root.to_owned(),
            user: own_namespace::is_inside(),
        };
        for name in ["lower", "merged", "root"] {
            rustix::fs::mkdirat(&stage.directory, name, Mode::from_bits_truncate(0o755))
                .tried(Phase::Mount, what())?;
        }
        Ok(stage)
    }

    /// Opens a stage that was mounted before.
    pub(super) fn open(at: &Path, root: &Path) -> Outcome<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(at, flags, Mode::empty()).tried(
            Phase::Mount,
            format_args!("open the stage {}", at.display()),
        )?;
        Ok(Self {
            directory,
            root: root.to_owned(),
            user: own_namespace::is_inside(),
        })
    }

    /// Makes the staged root the root of this process and of its mount namespace; detaches all that was there.
    pub(super) fn pivot(self) -> Outcome<()> {
        let what = format!("change to the new root {}", self.root.display());
        let enter = || -> Outcome<()> {
            let root = self.directory(&self.root, false)?;
            rustix::process::fchdir(&root).tried(Phase::Root, &what)
        };
        enter()?;
        match rustix::process::pivot_root(".", ".") {
            Err(rustix::io::Errno::INVAL) => {
                // The root is no mount of its own yet.
                let root = self.directory(&self.root, false)?;
                let mount = kernel::clone_tree(root.as_fd(), Path::new(""), true)
                    .tried(Phase::Root, &what)?;
                kernel::attach(&mount, &root).tried(Phase::Root, &what)?;
                enter()?;
                rustix::process::pivot_root(".", ".").tried(Phase::Root, &what)?;
            }
            other => other.tried(Phase::Root, &what)?,
        }
        rustix::mount::unmount(".", UnmountFlags::DETACH)
            .tried(Phase::Root, "detach the old root")?;
        rustix::process::chdir("/").tried(Phase::Root, &what)
    }
}
