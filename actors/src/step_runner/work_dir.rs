//! The directory of one run: write layers, and what they need beside them.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::fchown;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hd_dag::TreePath;
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use super::run::StepRun;
use super::view::{KeptMount, LOWER, upper};
use crate::messages::BatchError;
use crate::model::removals::Removals;
use crate::shared::{Shared, give};

/// Write layers of one run; they begin to go with it, and at the next start if this one is killed.
#[derive(Debug)]
pub(super) struct WorkDir {
    /// Where it is.
    pub(super) path: PathBuf,
    removals: Arc<Removals>,
}

impl WorkDir {
    pub(super) fn create(
        shared: &Shared,
        step: &StepRun<'_>,
        kept: &[KeptMount],
    ) -> Result<Self, BatchError> {
        let paths = &shared.settings.paths;
        let run = format!(
            "{}-{}",
            step.wanted.name,
            shared.settings.started.elapsed().as_nanos()
        );
        let work = Self {
            path: paths.work(&run),
            removals: shared.removals.clone(),
        };
        let account = &step.plan.account;
        let owner = step.plan.ids.outside((account.uid, account.gid));
        let downloads = &step.plan.downloads;
        let owned = downloads.iter().map(|(_, name)| paths.download_cache(name));
        // The top of an overlay shows owner and mode of its upper, so kept directories need
        // uppers of their user.
        let owned = owned.chain(kept.iter().map(|mount| upper(&work.path, &mount.name)));
        for dir in [paths.stage(), upper(&work.path, LOWER)] {
            made(&dir, None)?;
        }
        for dir in owned {
            made(&dir, Some(owner))?;
        }
        for (cache, name) in downloads {
            let below = kept.iter().filter_map(|mount| mount.at.strip_prefix(cache));
            for below in below {
                let cache = paths.download_cache(name);
                place(&cache, &below, owner).map_err(|e| {
                    BatchError::new("io", e).at(cache.join(below.to_string()).display().to_string())
                })?;
            }
        }
        Ok(work)
    }
}

/// Makes a directory, for a user if one is given.
fn made(dir: &Path, owner: Option<(u32, u32)>) -> Result<(), BatchError> {
    let done =
        std::fs::create_dir_all(dir).and_then(|()| owner.map_or(Ok(()), |owner| give(dir, owner)));
    done.map_err(|e| BatchError::new("io", e).at(dir.display().to_string()))
}

/// Makes the place of a kept directory in a cache of downloads, for the user who finds it empty in other steps.
/// Steps write there: no link is followed.
fn place(cache: &Path, below: &TreePath, (user, group): (u32, u32)) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut dir = OwnedFd::from(File::open(cache)?);
    for name in below.names() {
        let made = mkdirat(&dir, name.as_bytes(), Mode::from_raw_mode(0o755));
        dir = match made {
            Ok(()) | Err(Errno::EXIST) => openat(&dir, name.as_bytes(), flags, Mode::empty())?,
            Err(error) => return Err(error.into()),
        };
        if made.is_ok() {
            fchown(&dir, Some(user), Some(group))?;
        }
    }
    Ok(())
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        self.removals.begin(std::mem::take(&mut self.path));
    }
}
