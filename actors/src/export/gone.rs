//! What an earlier export wrote and no step makes any more: taken away, unless somebody has changed it since.
//!
//! What no ignore file hides became part of the project when it was written. Steps find it there by now, so that
//! they may make it again and leave no trace of that: such a thing stays.

use std::collections::BTreeSet;
use std::io;

use hd_dag::{Target, TreePath, get};
use hd_store::Id;
use rustix::fs::{AtFlags, FileType, statat, unlinkat};
use rustix::io::Errno;

use super::outputs::{Hand, Made, standing};

/// What a directory is noted by: its path with this at the end, so that it comes before all it holds.
const DIRECTORY: char = '/';

/// The name under which the journal has something.
pub(super) fn key(made: &Made) -> String {
    match made.entry.target {
        Target::Dir { .. } => format!("{}{DIRECTORY}", made.path),
        _ => made.path.to_string(),
    }
}

/// What a name of the journal stands for.
pub(super) fn path(key: &str) -> Option<TreePath> {
    TreePath::new(key.trim_end_matches(DIRECTORY).as_bytes()).ok()
}

/// What the journal has of a directory that hd made.
pub(super) fn directory() -> Id {
    Id::of(b"")
}

/// What became of something that is not made any more.
enum Fate {
    /// It is not there, or is something else by now.
    Gone,
    /// Somebody has changed it: it is theirs.
    Changed,
    /// A directory that holds something of somebody else's; it may be empty the next time.
    InUse,
}

impl Hand<'_> {
    /// Takes away what is not made any more of what `is_wanted`; gives the keys of what is not hd's now.
    pub(super) fn clear(
        &mut self,
        made: &[Made],
        is_wanted: impl Fn(&TreePath) -> bool,
    ) -> io::Result<Vec<String>> {
        let made: BTreeSet<String> = made.iter().map(key).collect();
        let mut gone = Vec::new();
        // The other way round, what a directory holds comes before it.
        for (key, digest) in self.before.clone().into_iter().rev() {
            let Some(path) = path(&key).filter(|path| is_wanted(path)) else {
                continue;
            };
            if made.contains(&key) || self.is_in_project(&path)? {
                continue;
            }
            match self.take_away(&path, key.ends_with(DIRECTORY), &digest)? {
                Fate::InUse => continue,
                Fate::Changed => self.done.kept.push(path.to_string()),
                Fate::Gone => {}
            }
            gone.push(key);
        }
        Ok(gone)
    }

    fn is_in_project(&self, path: &TreePath) -> io::Result<bool> {
        let own = get(&*self.shared.trees, &self.tree.tree, path);
        Ok(own.map_err(io::Error::other)?.is_some())
    }

    fn take_away(&mut self, path: &TreePath, is_dir: bool, wrote: &Id) -> io::Result<Fate> {
        let name = path.file_name().unwrap_or_default();
        let dir = match self.parent(path) {
            Ok(dir) => dir,
            Err(Errno::LOOP | Errno::NOTDIR | Errno::NOENT) => return Ok(Fate::Gone),
            Err(error) => return Err(error.into()),
        };
        let there = match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => FileType::from_raw_mode(there.st_mode),
            Err(Errno::NOENT) => return Ok(Fate::Gone),
            Err(error) => return Err(error.into()),
        };
        match (is_dir, there) {
            (true, FileType::Directory) => match unlinkat(&dir, name, AtFlags::REMOVEDIR) {
                Ok(()) => Ok(Fate::Gone),
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => Ok(Fate::InUse),
                Err(error) => Err(error.into()),
            },
            (true, _) | (_, FileType::Directory) => Ok(Fate::Gone),
            _ if standing(&dir, name, Some(there))?.as_ref() == Some(wrote) => {
                unlinkat(&dir, name, AtFlags::empty())?;
                self.done.removed += 1;
                Ok(Fate::Gone)
            }
            _ => Ok(Fate::Changed),
        }
    }
}
