//! Takes secrets out of download caches: those outlive the run that wrote them there.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hd_dag::TreePath;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, openat, openat2, readlinkat, statat,
    unlinkat,
};
use rustix::io::Errno;

use super::plan::Plan;
use super::secrets::Secrets;
use crate::messages::BatchError;
use crate::shared::Shared;

/// The clock of status changes may lag behind that of the system.
const LAG: Duration = Duration::from_secs(1);

/// Where a secret was found, and which.
type Found = (String, PathBuf);

/// Download caches that a command may write, and the secrets that must not stay there.
#[derive(Debug)]
pub(super) struct Purge {
    secrets: Secrets,
    caches: Vec<(TreePath, PathBuf)>,
    began: SystemTime,
}

impl Purge {
    /// Prepares it for a command that begins now.
    pub(super) fn of(shared: &Shared, plan: &Plan, secrets: Secrets, began: SystemTime) -> Self {
        let place = |(at, name): &(TreePath, String)| {
            (at.clone(), shared.settings.paths.download_cache(name))
        };
        let caches = plan.downloads.iter().map(place);
        Self {
            caches: caches.collect(),
            secrets,
            began,
        }
    }

    /// Removes what holds a secret, now that the command has ended; says which was where.
    pub(super) fn done(&self) -> Result<Option<String>, BatchError> {
        let mut first = None;
        if self.secrets.is_empty() {
            return Ok(first);
        }
        for (at, dir) in &self.caches {
            let found = purge(dir, &self.secrets, self.began)
                .map_err(|e| BatchError::new("io", e).at(dir.display().to_string()))?;
            if let Some((name, path)) = found {
                let path = path.display();
                first.get_or_insert_with(|| {
                    format!("it wrote the secret `{name}` into /{at}{path}, where downloads are kept; it was removed there")
                });
            }
        }
        Ok(first)
    }
}

/// Removes every file below a directory that holds a secret and has changed since a run began; answers the
/// first of them, its path beginning with `/`.
///
/// Other runs may write there meanwhile: no link leads out, and what vanishes is none of ours.
fn purge(dir: &Path, secrets: &Secrets, began: SystemTime) -> io::Result<Option<Found>> {
    let since = (began - LAG).duration_since(UNIX_EPOCH).unwrap_or_default();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::open(dir, flags, Mode::empty())?;
    let (mut first, mut pending) = (None, vec![PathBuf::from(".")]);
    while let Some(path) = pending.pop() {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let opened = openat2(&top, &path, flags, Mode::empty(), resolve);
        let Some(opened) = present(opened)? else {
            continue;
        };
        for entry in Dir::read_from(&opened)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let Some(status) = present(statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW))? else {
                continue;
            };
            if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
                pending.push(path.join(name));
            } else if changed(&status) >= since
                && let Some(secret) = held(&opened, name, &status, secrets)?
            {
                present(unlinkat(&opened, name, AtFlags::empty()))?;
                let below = path.strip_prefix(".").unwrap_or(&path).join(name);
                first.get_or_insert((secret, Path::new("/").join(below)));
            }
        }
    }
    Ok(first)
}

/// The secret that a file holds, or the target of a link.
fn held(
    dir: &OwnedFd,
    name: &OsStr,
    status: &Stat,
    secrets: &Secrets,
) -> io::Result<Option<String>> {
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = present(openat(dir, name, flags, Mode::empty()))?;
            file.map_or(Ok(None), |file| secrets.found_by(File::from(file)))
        }
        FileType::Symlink => {
            let target = present(readlinkat(dir, name, Vec::new()))?;
            target.map_or(Ok(None), |target| secrets.found_by(target.as_bytes()))
        }
        _ => Ok(None),
    }
}

fn changed(status: &Stat) -> Duration {
    let seconds = u64::try_from(status.st_ctime).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(status.st_ctime_nsec)
}

/// Passes over what is gone, or has become a link.
fn present<T>(result: rustix::io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
