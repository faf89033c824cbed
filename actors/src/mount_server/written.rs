//! What services wrote: their write layers beside what lies below.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use hd_dag::{Entry, Kind, Name, Target, TreeError, TreePath, get, list, subtree};
use hd_projection::capture::OPAQUE;
use hd_store::Id;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, readlinkat, statat};
use serde::{Deserialize, Serialize};

use super::view::{ServiceView, host_path};
use crate::base::Base;
use crate::messages::BatchError;
use crate::shared::Shared;

/// One path that a service made other than it found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Which service.
    pub service: String,
    /// `+` is new, `~` changed, `-` removed.
    pub mark: char,
    /// Absolute path inside; a directory ends in `/`.
    pub path: String,
}

/// A directory of a write layer.
struct Top<'a> {
    dir: &'a OwnedFd,
    /// Where volumes are.
    targets: &'a [PathBuf],
    /// It stands in the place of what is below, all of which is gone.
    hides: bool,
}

impl ServiceView {
    /// Lists what one service wrote, sorted by path; nothing when it never ran in this view. Blocks.
    pub(super) fn written(
        &self,
        shared: &Shared,
        service: &str,
    ) -> Result<Vec<Written>, BatchError> {
        let Some(upper) = self.upper(service) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let root = TreePath::root();
        let targets = volume_targets(shared, service);
        let top = Top {
            dir: &upper,
            targets: &targets,
            hides: false,
        };
        self.walk(shared, &top, &root, &mut |mark, path| {
            found.push(Written {
                service: service.to_owned(),
                mark,
                path: format!("/{path}"),
            });
        })?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn walk(
        &self,
        shared: &Shared,
        top: &Top<'_>,
        at: &TreePath,
        tell: &mut impl FnMut(char, String),
    ) -> Result<(), BatchError> {
        let Top { dir, targets, .. } = *top;
        let io = |e: rustix::io::Errno| BatchError::new("io", e).at(format!("/{at}"));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let listed = openat(dir, ".", flags, Mode::empty()).map_err(io)?;
        let hides = top.hides || is_opaque(&listed);
        let mut gone = match hides {
            true => self.names_below(shared, at)?,
            false => BTreeMap::new(),
        };
        for entry in Dir::read_from(&listed).map_err(io)? {
            let entry = entry.map_err(io)?;
            let Ok(name) = Name::new(entry.file_name().to_bytes()) else {
                continue;
            };
            let path = at.join(&name);
            gone.remove(&name);
            let is_ours = self.is_mount_point(&path, targets);
            // The service goes on meanwhile: what is gone again was not written.
            let Ok(status) = statat(&listed, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let below = self
                .below(shared, &path)
                .map_err(|e| BatchError::new("store", e))?;
            let kind = FileType::from_raw_mode(status.st_mode);
            match kind {
                FileType::CharacterDevice if status.st_rdev == 0 => {
                    if below.is_some() {
                        tell('-', path.to_string());
                    }
                }
                FileType::Directory => {
                    match below.map(|entry| entry.kind()) {
                        Some(Kind::Dir) => {}
                        None if is_ours => {}
                        other => tell(mark(other.is_some()), format!("{path}/")),
                    }
                    let flags =
                        OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    if let Ok(child) = openat(&listed, entry.file_name(), flags, Mode::empty()) {
                        let below = Top {
                            dir: &child,
                            targets,
                            hides,
                        };
                        self.walk(shared, &below, &path, tell)?;
                    }
                }
                _ => {
                    let same = below
                        .as_ref()
                        .is_some_and(|below| is_same(&listed, entry.file_name(), &status, below));
                    if !same && !is_ours {
                        tell(mark(below.is_some()), path.to_string());
                    }
                }
            }
        }
        for (name, kind) in gone {
            let slash = if kind == Kind::Dir { "/" } else { "" };
            tell('-', format!("{}{slash}", at.join(&name)));
        }
        Ok(())
    }

    /// The names that a service would see in a directory had it written nothing.
    fn names_below(
        &self,
        shared: &Shared,
        dir: &TreePath,
    ) -> Result<BTreeMap<Name, Kind>, BatchError> {
        let failed = |e: TreeError| BatchError::new("store", e);
        let trees = &*shared.trees;
        let made = subtree(trees, &self.lower, dir).map_err(failed)?;
        let project = match (self.aimed(), dir.strip_prefix(&self.plan.workdir_path)) {
            (Some(project), Some(dir)) => subtree(trees, &project, &dir).map_err(failed)?,
            _ => None,
        };
        let mut names = BTreeMap::new();
        for found in made.iter().chain(&project) {
            for item in list(trees, &found.tree).map_err(failed)? {
                let (name, entry) = item.map_err(failed)?;
                names.insert(name, entry.kind());
            }
        }
        Ok(names)
    }

    /// Tells whether something was made so that a directory of the host, or a volume, can be mounted there.
    pub(super) fn is_mount_point(&self, path: &TreePath, targets: &[PathBuf]) -> bool {
        let tools = match &self.base {
            Base::Host(host) => host.tools.as_slice(),
            Base::Image(_) => &[],
        };
        let path = Path::new("/").join(host_path(path));
        let mut mounted = tools.iter().chain(targets);
        mounted.any(|target| target.starts_with(&path))
    }

    /// What a service would see at a path had it written nothing.
    pub(super) fn below(
        &self,
        shared: &Shared,
        path: &TreePath,
    ) -> Result<Option<Entry>, TreeError> {
        let made = get(&*shared.trees, &self.lower.tree, path)?;
        let project = match (self.aimed(), path.strip_prefix(&self.plan.workdir_path)) {
            (Some(project), Some(path)) if !path.is_root() => {
                get(&*shared.trees, &project.tree, &path)?
            }
            _ => None,
        };
        Ok(match made {
            // Directories of both are merged; of anything else what a step made wins.
            Some(entry) if entry.kind() == Kind::Dir => project.or(Some(entry)),
            Some(entry) => Some(entry),
            None => project,
        })
    }
}

fn is_opaque(dir: &OwnedFd) -> bool {
    OPAQUE.iter().any(|name| {
        let mut value = [0; 1];
        rustix::fs::fgetxattr(dir, *name, &mut value[..]).is_ok_and(|len| value[..len] == *b"y")
    })
}

/// Where a service has its volumes, as absolute paths inside.
pub(super) fn volume_targets(shared: &Shared, service: &str) -> Vec<PathBuf> {
    let declared = shared.declared();
    let service = declared.project.service(service);
    let volumes = service.map(|service| service.volumes.iter());
    let targets = volumes.into_iter().flatten().map(|volume| &volume.target);
    targets.map(PathBuf::from).collect()
}

fn mark(was_there: bool) -> char {
    if was_there { '~' } else { '+' }
}

/// Tells whether a file or link is as it was found: copied up, or an edit of the host's.
fn is_same(dir: &OwnedFd, name: &std::ffi::CStr, status: &rustix::fs::Stat, below: &Entry) -> bool {
    match &below.target {
        Target::Regular { blob, size, .. } => {
            let is_plain = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
            let as_before = status.st_size.unsigned_abs() == *size
                && status.st_mode & 0o7777 == below.meta.mode & 0o7777;
            is_plain && as_before && content(dir, name) == Some(*blob)
        }
        Target::Symlink { target } => {
            readlinkat(dir, name, Vec::new()).is_ok_and(|found| found.as_bytes() == target)
        }
        _ => false,
    }
}

/// Gives the id of a file's content, which is read in pieces; nothing where it cannot be read.
fn content(dir: &OwnedFd, name: &std::ffi::CStr) -> Option<Id> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(dir.as_fd(), name, flags, Mode::empty()).ok()?;
    Id::of_reader(std::fs::File::from(file)).ok()
}
