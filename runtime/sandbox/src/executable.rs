//! What helpers are executed from: this executable, out of reach of all that could change it.
//!
//! What runs inside must not write to the executable of the host through `/proc/PID/exe` (CVE-2019-5736), and a
//! helper must be of the very build that starts it.

use crate::error::{Context, Result};
use crate::sys::set_mount_attributes;
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

const OWN: &str = "/proc/self/exe";

/// Opens it for execution: on a read-only mount of its own where hd may make one, else a copy in sealed memory.
///
/// The mount is attached nowhere, costs no memory, and shares the pages of the running program. The file cannot be
/// written in place while a program runs from it, and one that replaces it is another file.
pub(crate) fn own() -> Result<OwnedFd> {
    match on_read_only_mount() {
        Ok(mount) => Ok(mount),
        // Needs CAP_SYS_ADMIN.
        Err(_) => copied().what(|| "copy the executable into memory".into()),
    }
}

fn on_read_only_mount() -> std::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(CWD, OWN, flags)?;
    set_mount_attributes(mount.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, false)?;
    Ok(mount)
}

fn copied() -> std::io::Result<OwnedFd> {
    sealed("hd", |out| {
        let mut own = File::open(OWN)?;
        std::io::copy(&mut own, out).map(|_| ())
    })
}

/// Everything that could change a copy is forbidden.
const SEALED: SealFlags = SealFlags::SEAL
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW)
    .union(SealFlags::WRITE);

/// Fills a memfd, seals it and opens it anew for reading only: a file open for writing cannot be executed.
pub(crate) fn sealed(
    name: &str,
    fill: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> std::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know the flag EXEC and make every memfd executable.
    let memory = rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create(name, flags))?;
    let mut file = File::from(memory);
    fill(&mut file)?;
    rustix::fs::fcntl_add_seals(&file, SEALED)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_copy_cannot_be_written() {
        let copy = copied().expect("copied");
        let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
        let own = std::fs::metadata(OWN).expect("own");
        assert_eq!(std::fs::metadata(&path).expect("copy").len(), own.len());
        let opened = rustix::fs::open(&path, OFlags::RDWR, Mode::empty()).expect("a memfd opens");
        assert_eq!(
            rustix::io::write(&opened, b"x").expect_err("sealed"),
            Errno::PERM
        );
    }

    #[test]
    fn it_is_this_file_and_cannot_be_written() {
        let image = own().expect("own");
        let path = format!("/proc/self/fd/{}", image.as_raw_fd());
        let own = std::fs::metadata(OWN).expect("this executable");
        assert_eq!(std::fs::metadata(&path).expect("image").len(), own.len());
        let written = rustix::fs::open(&path, OFlags::RDWR, Mode::empty())
            .and_then(|opened| rustix::io::write(&opened, b"x"));
        // Busy, because this very program runs from it; read-only once it has ended; a copy is sealed.
        let error = written.expect_err("written");
        assert!(
            matches!(error, Errno::TXTBSY | Errno::ROFS | Errno::PERM),
            "{error}"
        );
    }

    #[test]
    fn the_mount_is_read_only_where_it_may_be_made() {
        if let Ok(mount) = on_read_only_mount() {
            let flags = rustix::fs::fstatvfs(&mount).expect("flags").f_flag;
            assert!(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY));
        }
    }
}
