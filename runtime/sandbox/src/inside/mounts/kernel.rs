//! Mounts by descriptor: a mount is made detached, gets its attributes and appears finished.

use super::SAFE;
use crate::event::{Failure, Stage as Phase};
use crate::inside::{Outcome, Tried};
use crate::sys;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// An option of a file system: with a value, or a flag.
pub(super) type Setting<'a> = (&'a str, Option<&'a str>);

/// Makes a file system, mounted nowhere yet.
pub(super) fn file_system(
    kind: &str,
    options: &[Setting<'_>],
    attributes: MountAttrFlags,
) -> Outcome<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
        .tried(Phase::Mount, format_args!("use the file system {kind}"))?;
    let configure = || {
        for (key, value) in options {
            match value {
                Some(value) => fsconfig_set_string(&context, *key, *value)?,
                None => fsconfig_set_flag(&context, *key)?,
            }
        }
        fsconfig_create(&context)
    };
    let made =
        configure().and_then(|()| fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes));
    made.map_err(|error| explain(kind, &context, error))
}

/// Adds what the kernel wrote about the failure (`fsopen` contexts can be read).
fn explain(kind: &str, context: &OwnedFd, error: Errno) -> Failure {
    let mut words = Vec::new();
    let mut buffer = [0; 512];
    while let Ok(length) = rustix::io::read(context, &mut buffer) {
        words.push(String::from_utf8_lossy(&buffer[..length]).trim().to_owned());
    }
    let mut failure = Failure::new(
        Phase::Mount,
        format_args!("make a file system {kind}"),
        error,
    );
    if !words.is_empty() {
        failure.message = format!("{} ({})", failure.message, words.join("; "));
    }
    failure
}

/// Makes a tmpfs, mounted nowhere yet.
pub(super) fn tmpfs(size: Option<u64>, mode: u32) -> Outcome<OwnedFd> {
    let (mode, size) = (format!("{mode:o}"), size.map(|size| size.to_string()));
    let mut options = vec![("mode", Some(mode.as_str()))];
    if let Some(size) = &size {
        options.push(("size", Some(size)));
    }
    file_system("tmpfs", &options, SAFE)
}

/// Copies a mount (with those below it) for a second place. An empty path means the descriptor itself.
pub(super) fn clone_tree(
    directory: BorrowedFd<'_>,
    path: &Path,
    recursive: bool,
) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(directory, path, flags)
}

/// Copies a mount of the host.
pub(super) fn clone_host_tree(path: &Path, recursive: bool) -> Result<OwnedFd, Errno> {
    clone_tree(CWD, path, recursive)
}

/// Mounts on an open file or directory.
pub(super) fn attach(mount: &OwnedFd, target: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags)
}

/// Mounts on a name in a directory that this crate has made itself.
pub(super) fn attach_at(mount: &OwnedFd, directory: &OwnedFd, name: &str) -> Result<(), Errno> {
    move_mount(
        mount,
        "",
        directory,
        name,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
}

/// Adds attributes to a mount and all below it.
pub(super) fn restrict(mount: &OwnedFd, attributes: MountAttrFlags) -> std::io::Result<()> {
    sys::set_mount_attributes(mount.as_fd(), attributes, true)
}
