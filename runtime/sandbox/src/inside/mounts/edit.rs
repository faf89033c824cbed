//! Operations that change files of a view in place of the one who owns it: edits written through.

use super::Stage;
use super::beat::Beat;
use super::operations::own_path;
use crate::event::Stage as Phase;
use crate::inside::{Outcome, Tried};
use crate::mount_op::Place;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

impl Stage {
    pub(super) fn copy(
        &self,
        source: &Place,
        at: &Path,
        mode: u32,
        (user, group): (u32, u32),
        beat: &Beat<'_>,
    ) -> Outcome<()> {
        let what = || format!("write {}", at.display());
        let found = self.open_place(source)?;
        let status = rustix::fs::fstat(&found).tried(Phase::Mount, what())?;
        let mut from = File::open(own_path(found.as_fd())).tried(Phase::Mount, what())?;
        let mode = Mode::from_bits_truncate(mode);
        let target = self.locate(at, true)?;
        target.ensure_file(mode).tried(Phase::Mount, what())?;
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let mut to = File::from(target.open(flags).tried(Phase::Mount, what())?);
        let stands = rustix::fs::fstat(&to).tried(Phase::Mount, what())?;
        if FileType::from_raw_mode(stands.st_mode) != FileType::RegularFile {
            // A pipe that somebody reads, or a device.
            return Err(Errno::EXIST).tried(Phase::Mount, what());
        }
        beat.copy(&mut from, &mut to).tried(Phase::Mount, what())?;
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        rustix::fs::fchown(&to, Some(user), Some(group)).tried(Phase::Mount, what())?;
        rustix::fs::fchmod(&to, mode).tried(Phase::Mount, what())?;
        let time = Timespec {
            tv_sec: status.st_mtime,
            tv_nsec: status.st_mtime_nsec as _,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::futimens(&to, &times).tried(Phase::Mount, what())
    }

    pub(super) fn remove(&self, at: &Path) -> Outcome<()> {
        let what = || format!("remove {}", at.display());
        let (Some(parent), Some(name)) = (at.parent(), at.file_name()) else {
            return Ok(());
        };
        let target = self.locate(parent, true)?;
        let parent = match target.open(OFlags::PATH | OFlags::DIRECTORY) {
            Ok(parent) => parent,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(error) => return Err(error).tried(Phase::Mount, what()),
        };
        let removed = match unlinkat(&parent, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => unlinkat(&parent, name, AtFlags::REMOVEDIR),
            other => other,
        };
        match removed {
            Err(Errno::NOENT | Errno::NOTEMPTY) => Ok(()),
            other => other.tried(Phase::Mount, what()),
        }
    }
}
