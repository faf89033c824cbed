//! The operations a view is made of: plain data.

use crate::raw;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// Says where the source of a mount is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// An absolute path of the host (or of the joined mount namespace). Symlinks are followed: trusted paths only.
    Host(#[serde(with = "raw::one")] PathBuf),
    /// A path below a host directory which it cannot leave: no `..` or absolute symlink leads out of it.
    Beneath {
        /// The trusted directory.
        #[serde(with = "raw::one")]
        directory: PathBuf,
        /// The path below it.
        #[serde(with = "raw::one")]
        path: PathBuf,
    },
    /// A staged path.
    Stage(#[serde(with = "raw::one")] PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(path) | Self::Stage(path) => path.display().fmt(f),
            Self::Beneath { directory, path } => directory.join(path).display().fmt(f),
        }
    }
}

/// One step of making a view. Every `at` is a staged path (relative to [`crate::Spec::stage`]).
///
/// A path at or below [`crate::Spec::root`] is resolved as inside that root (`openat2` with `RESOLVE_IN_ROOT`):
/// a symlink of the image cannot lead out of it. Other staged paths must not contain symlinks. Missing directories of
/// targets are made. All mounts are `nodev,nosuid` but the device files of [`MountOp::Dev`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountOp {
    /// Mounts an empty tmpfs.
    Tmpfs {
        /// Target.
        #[serde(with = "raw::one")]
        at: PathBuf,
        /// Limit in bytes; the kernel's default (half of the memory) when absent.
        size: Option<u64>,
        /// Mode of its top directory.
        mode: u32,
    },
    /// Makes a directory with its parents (0755).
    Mkdir {
        /// The directory.
        #[serde(with = "raw::one")]
        at: PathBuf,
        /// Its mode, also when it was there.
        mode: u32,
        /// Its owner, also when it was there.
        owner: Option<(u32, u32)>,
    },
    /// Makes a symlink; an equal one that is there is kept.
    Symlink {
        /// The link.
        #[serde(with = "raw::one")]
        at: PathBuf,
        /// What it says.
        #[serde(with = "raw::one")]
        target: PathBuf,
    },
    /// Writes a file (truncating) with its parents.
    WriteFile {
        /// The file.
        #[serde(with = "raw::one")]
        at: PathBuf,
        /// Its content.
        bytes: Vec<u8>,
        /// Its mode when it is new.
        mode: u32,
    },
    /// Gives a file the content, mode, owner and modification time of another: in place where there is one.
    Copy {
        /// The file to copy.
        source: Place,
        /// The file, no symlink on the way to it.
        #[serde(with = "raw::one")]
        at: PathBuf,
        /// Its mode.
        mode: u32,
        /// Its owner.
        owner: (u32, u32),
    },
    /// Removes a file, a link or an empty directory; no symlink is followed. What is not there, or not empty, stays so.
    Remove {
        /// What to remove.
        #[serde(with = "raw::one")]
        at: PathBuf,
    },
    /// Copies the content of a directory into another one: files, directories and links with mode and time, and owner
    /// but for what is root's. A source that is no directory, or not there, has no content. The target must be empty.
    Fill {
        /// The directory to copy.
        #[serde(with = "raw::one")]
        from: PathBuf,
        /// Where its content goes.
        to: Place,
        /// Gets what is root's in it.
        owner: (u32, u32),
        /// The target gets this owner too, and the mode of the source.
        is_new: bool,
    },
    /// Mounts a FUSE file system whose server is hd: [`crate::Event::Fuse`] carries the connection.
    ///
    /// Serve it at once: the next operation that looks into the mount waits for the server.
    Fuse {
        /// Target.
        #[serde(with = "raw::one")]
        at: PathBuf,
        /// Name given in the event and in the mount table of the sandbox.
        name: String,
        /// Refuses writes in the kernel.
        read_only: bool,
    },
    /// Mounts a file as a read-only EROFS, without a loop device. Linux 6.12, and not in a user namespace.
    Image {
        /// Target.
        #[serde(with = "raw::one")]
        at: PathBuf,
        /// The file.
        image: Place,
    },
    /// Mounts a kernel overlay; `metacopy`, `index`, `xino` are off, `redirect_dir` is `nofollow` (DESIGN §6).
    Overlay {
        /// Target.
        #[serde(with = "raw::one")]
        at: PathBuf,
        /// Lower layers, topmost first.
        lower: Vec<Place>,
        /// Layers that hold nothing but content for files of the lower ones, the first that has it (overlayfs,
        /// "Data-only lower layers"). Linux 6.16, and not in a user namespace.
        data: Vec<Place>,
        /// Takes the writes; made when missing.
        upper: Place,
        /// The overlay's work directory on the same file system; made when missing.
        work: Place,
        /// Leaves out every sync of the upper. The kernel then refuses to use the same work directory again.
        volatile: bool,
        /// Sends an open directory descriptor of the upper under this name ([`crate::Event::Upper`]).
        report: Option<String>,
    },
    /// Makes a directory with its parents when missing and sends an open descriptor of it under this name
    /// ([`crate::Event::Upper`]), so that hd can fill what is to be the upper of an overlay.
    Layer {
        /// The directory.
        #[serde(with = "raw::one")]
        at: PathBuf,
        /// Name given in the event.
        name: String,
    },
    /// Shows a file or directory a second time.
    Bind {
        /// What to show.
        source: Place,
        /// Target.
        #[serde(with = "raw::one")]
        at: PathBuf,
        /// With the mounts below it.
        recursive: bool,
        /// Read-only, all mounts below included.
        read_only: bool,
        /// What to make when the target is missing.
        create: Create,
    },
    /// Detaches the mount at a path and all mounts below it (`MNT_DETACH`).
    Unmount {
        /// The mount point.
        #[serde(with = "raw::one")]
        at: PathBuf,
    },
    /// Makes an existing mount and all mounts below it read-only.
    ReadOnly {
        /// The mount point.
        #[serde(with = "raw::one")]
        at: PathBuf,
    },
    /// Sends a descriptor of what is mounted at a path under this name ([`crate::Event::Mount`]), opened as a path
    /// only, and waits until [`crate::Pending::next_event`] is called again. The mount is that of this sandbox alone:
    /// what is done through it was done inside. Only for a sandbox, not for [`crate::Launcher::run_in`].
    Report {
        /// The mount point.
        #[serde(with = "raw::one")]
        at: PathBuf,
        /// Name given in the event.
        name: String,
    },
    /// Mounts /proc of the new pid namespace, with the paths masked that Docker masks.
    Proc {
        /// Target, a real directory.
        #[serde(with = "raw::one")]
        at: PathBuf,
    },
    /// Makes /dev: null zero full random urandom tty, pts, ptmx, shm, mqueue, fd links.
    Dev {
        /// Target, a real directory.
        #[serde(with = "raw::one")]
        at: PathBuf,
    },
    /// Shows /sys of the host read-only, firmware masked.
    Sys {
        /// Target, a real directory.
        #[serde(with = "raw::one")]
        at: PathBuf,
    },
}

/// What to make when the target of a bind is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Create {
    /// A directory, with its parents.
    Dir,
    /// An empty file, with its parents.
    File,
    /// Nothing: a missing target is an error.
    Nothing,
}
