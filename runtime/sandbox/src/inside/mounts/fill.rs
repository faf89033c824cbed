//! Copying what a view has somewhere into a volume.

use super::Stage;
use super::beat::Beat;
use crate::event::Stage as Phase;
use crate::inside::{Outcome, Tried};
use crate::mount_op::Place;
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod,
    fchown, fstat, futimens, mkdirat, openat, readlinkat, statat, symlinkat,
};
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Gives what is root's to somebody.
#[derive(Debug)]
pub(super) struct Heir<'a> {
    /// To whom: a user and a group.
    pub(super) owner: (u32, u32),
    /// Who tells that it goes on.
    pub(super) beat: &'a Beat<'a>,
}

impl Stage {
    pub(super) fn fill(
        &self,
        from: &Path,
        to: &Place,
        heir: &Heir<'_>,
        is_new: bool,
    ) -> Outcome<()> {
        let what = || format!("fill a volume from {}", from.display());
        let owner = heir.owner;
        let to = self.open_place(to)?;
        let to = openat(&to, ".", DIRECTORY, Mode::empty()).tried(Phase::Mount, what())?;
        let source = match self
            .locate(from, false)?
            .open(OFlags::RDONLY | OFlags::DIRECTORY)
        {
            Ok(source) => Some(source),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => None,
            Err(error) => return Err(error).tried(Phase::Mount, what()),
        };
        if is_new {
            let (user, group) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
            fchown(&to, Some(user), Some(group)).tried(Phase::Mount, what())?;
        }
        let Some(source) = source else {
            return Ok(());
        };
        if is_new {
            let mode = fstat(&source).map(|status| Mode::from_raw_mode(status.st_mode));
            mode.and_then(|mode| fchmod(&to, mode))
                .tried(Phase::Mount, what())?;
        }
        heir.tree(source.as_fd(), to.as_fd())
            .tried(Phase::Mount, what())
    }
}

impl Heir<'_> {
    fn tree(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                self.one(from, to, name)?;
                self.beat.goes_on()?;
            }
        }
        Ok(())
    }

    fn one(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        let status = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let made = match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                mkdirat(to, name, Mode::RWXU)?;
                let below = openat(from, name, DIRECTORY, Mode::empty())?;
                let made = openat(to, name, DIRECTORY, Mode::empty())?;
                self.tree(below.as_fd(), made.as_fd())?;
                made
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let mut below = File::from(openat(from, name, flags, Mode::empty())?);
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let mut made = File::from(openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
                self.beat.copy(&mut below, &mut made)?;
                OwnedFd::from(made)
            }
            FileType::Symlink => {
                symlinkat(&*readlinkat(from, name, Vec::new())?, to, name)?;
                let (user, group) = self.of(&status);
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                return Ok(chownat(to, name, Some(user), Some(group), flags)?);
            }
            // Pipes, sockets and devices belong to who makes them.
            _ => return Ok(()),
        };
        let (user, group) = self.of(&status);
        fchown(&made, Some(user), Some(group))?;
        fchmod(&made, Mode::from_raw_mode(status.st_mode))?;
        let time = Timespec {
            tv_sec: status.st_mtime,
            tv_nsec: status.st_mtime_nsec as _,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        Ok(futimens(&made, &times)?)
    }

    fn of(&self, status: &Stat) -> (Uid, Gid) {
        match (status.st_uid, status.st_gid) {
            (0, 0) => (Uid::from_raw(self.owner.0), Gid::from_raw(self.owner.1)),
            (user, group) => (Uid::from_raw(user), Gid::from_raw(group)),
        }
    }
}
