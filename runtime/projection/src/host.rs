//! Host directories as part of a lower: looked up and read where they lie, never stored.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hd_dag::Kind;
use hd_store::Id;
use rustix::fs::{Mode, OFlags};

use crate::attr::{Attr, kind_of_mode};
use crate::error::ProjectionError;
use crate::lower::{Content, HostStamp, Listed};

/// Name of the directories in which Python keeps compiled modules.
///
/// They hold nothing that their sources do not say (a compiled module is checked against size and
/// mtime of its source, which is observed), and any process of the host may add to them, so they
/// are served but never observed.
pub(crate) const COMPILED_PYTHON: &[u8] = b"__pycache__";

/// Most host files kept open for reading at a time.
const OPEN_FILES_MAX: usize = 128;

/// What `stat` says of a host path; nothing when it is absent.
pub(crate) type Status = Option<(Attr, HostStamp)>;

/// What the host was found to hold a moment ago: checks in a row, which mostly ask about the same
/// paths, ask the host once.
#[derive(Debug, Default)]
pub struct HostMemo(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    statuses: HashMap<PathBuf, Status>,
    listings: HashMap<PathBuf, Id>,
    agreed: HashSet<Id>,
}

impl HostMemo {
    /// Forgets everything: time has passed.
    pub fn forget(&self) {
        *self.known() = Known::default();
    }

    /// Notes that all a trace observed of the host is as it was.
    pub fn note_agreed(&self, trace: Id) {
        self.known().agreed.insert(trace);
    }

    /// Tells whether that was noted of a trace.
    pub fn agreed(&self, trace: &Id) -> bool {
        self.known().agreed.contains(trace)
    }

    /// Takes the status of a path, or what it was found to be.
    pub(crate) fn stat(&self, path: &Path) -> Result<Status, ProjectionError> {
        if let Some(known) = self.known().statuses.get(path) {
            return Ok(*known);
        }
        let status = stat(path)?;
        self.known().statuses.insert(path.to_path_buf(), status);
        Ok(status)
    }

    /// Gives the digest of a directory's listing, made by `look` if it is not known.
    pub(crate) fn listing(
        &self,
        path: &Path,
        look: impl FnOnce() -> Result<Id, ProjectionError>,
    ) -> Result<Id, ProjectionError> {
        if let Some(known) = self.known().listings.get(path) {
            return Ok(*known);
        }
        let digest = look()?;
        self.known().listings.insert(path.to_path_buf(), digest);
        Ok(digest)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the status of a host path without following a final link; `None` when it is absent.
pub(crate) fn stat(path: &Path) -> Result<Status, ProjectionError> {
    match fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(describe(&meta))),
        Err(error) => match error.raw_os_error() {
            // A name below something that is not a directory, or that the reader may not enter,
            // is as good as absent.
            Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::ENAMETOOLONG) => Ok(None),
            _ => Err(host_error(path, error)),
        },
    }
}

fn describe(meta: &fs::Metadata) -> (Attr, HostStamp) {
    let kind = kind_of_mode(meta.mode());
    let mtime_ns = nanos(meta.mtime(), meta.mtime_nsec());
    let attr = Attr {
        kind,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        size: if kind == Kind::Dir { 0 } else { meta.size() },
        mtime_ns,
        rdev: meta.rdev(),
        link_group: None,
    };
    let stamp = HostStamp {
        dev: meta.dev(),
        ino: meta.ino(),
        size: meta.size(),
        mtime_ns,
        ctime_ns: nanos(meta.ctime(), meta.ctime_nsec()),
    };
    (attr, stamp)
}

fn nanos(seconds: i64, nanoseconds: i64) -> i64 {
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

/// Lists a host directory, sorted by name.
pub(crate) fn list(path: &Path) -> Result<Vec<Listed>, ProjectionError> {
    let mut listed = Vec::new();
    for entry in fs::read_dir(path).map_err(|e| host_error(path, e))? {
        let entry = entry.map_err(|e| host_error(path, e))?;
        let name = entry.file_name().into_vec();
        let observed = name != COMPILED_PYTHON;
        let file_type = entry.file_type().map_err(|e| host_error(path, e))?;
        listed.push(Listed {
            name,
            kind: kind_of(file_type),
            observed,
            link_group: None,
        });
    }
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(listed)
}

fn kind_of(file_type: fs::FileType) -> Kind {
    if file_type.is_dir() {
        Kind::Dir
    } else if file_type.is_symlink() {
        Kind::Symlink
    } else if file_type.is_fifo() {
        Kind::Fifo
    } else if file_type.is_char_device() {
        Kind::Char
    } else if file_type.is_block_device() {
        Kind::Block
    } else if file_type.is_socket() {
        Kind::Socket
    } else {
        Kind::Regular
    }
}

/// Reads the target of the host link that `stamp` identifies.
pub(crate) fn read_link(path: &Path, stamp: HostStamp) -> Result<Content, ProjectionError> {
    let read = || {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let link = rustix::fs::open(path, flags, Mode::empty())?;
        let is = rustix::fs::fstat(&link)?;
        let target = rustix::fs::readlinkat(&link, "", Vec::new())?;
        Ok(Content {
            bytes: target.into_bytes(),
            is_of_another: (is.st_dev, is.st_ino) != (stamp.dev, stamp.ino),
        })
    };
    read().map_err(|errno: rustix::io::Errno| host_error(path, errno.into()))
}

/// Joins a raw name to a host path.
pub(crate) fn child(path: &Path, name: &[u8]) -> PathBuf {
    path.join(OsStr::from_bytes(name))
}

fn host_error(path: &Path, source: std::io::Error) -> ProjectionError {
    ProjectionError::Host {
        path: path.display().to_string(),
        source,
    }
}

/// Host files kept open between reads, because the kernel never says open or close to us. One serves any number of
/// lowers, so that it is few files for all of them together.
#[derive(Debug, Default)]
pub struct OpenFiles {
    /// The one read last is at the end.
    recent: Mutex<Recent>,
}

/// Files, each with what it is.
type Recent = Vec<(Inode, Arc<File>)>;
/// Device and inode number.
type Inode = (u64, u64);

impl OpenFiles {
    /// Reads up to `len` bytes at `offset` of the file that `stamp` identifies.
    pub(crate) fn read(
        &self,
        path: &Path,
        stamp: HostStamp,
        offset: u64,
        len: usize,
    ) -> Result<Content, ProjectionError> {
        let opened = self.open(path, (stamp.dev, stamp.ino));
        let (file, is_of_another) = opened.map_err(|e| host_error(path, e))?;
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(host_error(path, e)),
            }
        }
        bytes.truncate(filled);
        Ok(Content {
            bytes,
            is_of_another,
        })
    }

    /// Opens a file; says whether it is another one, which took its place.
    fn open(&self, path: &Path, wanted: Inode) -> std::io::Result<(Arc<File>, bool)> {
        if let Some(file) = self.known(wanted) {
            return Ok((file, false));
        }
        let file = Arc::new(File::open(path)?);
        let meta = file.metadata()?;
        // Whatever took its place since it was looked up is not to be taken for it later.
        let is_another = (meta.dev(), meta.ino()) != wanted;
        if !is_another {
            self.keep(wanted, file.clone());
        }
        Ok((file, is_another))
    }

    fn known(&self, wanted: Inode) -> Option<Arc<File>> {
        let mut recent = self.recent();
        let at = recent.iter().position(|(is, _)| *is == wanted)?;
        let hit = recent.remove(at);
        let file = hit.1.clone();
        recent.push(hit);
        Some(file)
    }

    fn keep(&self, is: Inode, file: Arc<File>) {
        let mut recent = self.recent();
        // Another thread may have opened it at the same time.
        recent.retain(|(known, _)| *known != is);
        if recent.len() >= OPEN_FILES_MAX {
            recent.remove(0);
        }
        recent.push((is, file));
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_took_the_place_of_another_is_not_read_for_it() {
        let place = tempfile::tempdir().unwrap();
        let (path, moved) = (place.path().join("a"), place.path().join("b"));
        fs::write(&path, "old").unwrap();
        let (_, stamp) = stat(&path).unwrap().unwrap();
        fs::rename(&path, &moved).unwrap();
        fs::write(&path, "new").unwrap();
        let open = OpenFiles::default();
        let read = |path| {
            let content = open.read(path, stamp, 0, 9).unwrap();
            (content.bytes, content.is_of_another)
        };
        assert_eq!(read(&path), (b"new".to_vec(), true));
        assert_eq!(read(&moved), (b"old".to_vec(), false));
    }
}
