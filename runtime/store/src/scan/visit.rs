//! Looks at the names of one directory.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::cache::{Dir, Row, RowKind, StatCache, is_racy};
use super::dirs::{Listed, decode_attributes, list, read_ignore_file, read_link, stat_name};
use super::types::{DirFilter, Note, NoteReason, ScannedKind};
use super::walk::{Found, FoundRow, Task, Walk, join, leaf_kind, scanned};
use crate::Id;
use crate::stat::FileStat;

/// One directory while it is being looked at.
pub(super) struct Visit<'w, 'a> {
    pub(super) walk: &'w Walk<'a>,
    pub(super) task: &'w Task,
    pub(super) dir: OwnedFd,
    pub(super) found: &'w mut Found,
    pub(super) more: &'w mut Vec<Task>,
}

impl Visit<'_, '_> {
    /// The names are as the cache has them; only what they stand for is asked.
    pub(super) fn cached_names(
        &mut self,
        cache: &StatCache,
        cached: &Dir,
    ) -> rustix::io::Result<()> {
        let ignore = self.ignore_files(|name| {
            let (mut low, mut high) = (cached.first, cached.first + cached.rows);
            while low < high {
                let middle = usize::midpoint(low, high);
                match cache.row(middle).map(|row| row.name.cmp(name)) {
                    Some(std::cmp::Ordering::Less) => low = middle + 1,
                    Some(std::cmp::Ordering::Greater) => high = middle,
                    Some(std::cmp::Ordering::Equal) => return true,
                    None => return false,
                }
            }
            false
        });
        let filter = self.walk.filter.enter(&self.task.path, &ignore);
        self.found.rows.reserve(cached.rows);
        for row in cache.rows(cached) {
            self.name(filter.as_ref(), row.name, Some(row.is_dir), Some(&row))?;
        }
        Ok(())
    }

    pub(super) fn listed_names(
        &mut self,
        opened: &OwnedFd,
        cache: Option<(&StatCache, Dir)>,
    ) -> rustix::io::Result<()> {
        self.found.listed = true;
        let names = list(opened.as_fd())?;
        let known: HashMap<&[u8], Row<'_>> = cache
            .iter()
            .flat_map(|(cache, dir)| cache.rows(dir).map(|row| (row.name, row)))
            .collect();
        self.found.changed |= known.len() != names.len();
        let ignore = self.ignore_files(|name| {
            names
                .binary_search_by(|listed| listed.name.as_slice().cmp(name))
                .is_ok()
        });
        let filter = self.walk.filter.enter(&self.task.path, &ignore);
        for Listed { name, is_dir } in &names {
            self.name(filter.as_ref(), name, *is_dir, known.get(name.as_slice()))?;
        }
        Ok(())
    }

    fn ignore_files(&self, exists: impl Fn(&[u8]) -> bool) -> Vec<(String, Vec<u8>)> {
        let names = self.walk.filter.ignore_file_names().iter();
        let present = names.filter(|name| exists(name.as_bytes()));
        present
            .filter_map(|name| {
                let bytes = read_ignore_file(self.dir.as_fd(), name.as_bytes())?;
                Some((name.clone(), bytes))
            })
            .collect()
    }

    fn name(
        &mut self,
        filter: &dyn DirFilter,
        name: &[u8],
        is_dir: Option<bool>,
        row: Option<&Row<'_>>,
    ) -> rustix::io::Result<()> {
        let mut stat = None;
        let mut is_dir = match is_dir {
            Some(is_dir) => is_dir,
            None => {
                stat = self.stat(name)?;
                let Some(stat) = &stat else { return Ok(()) };
                stat.is_dir()
            }
        };
        let mut kept = filter.keep(name, is_dir);
        if kept && !is_dir && stat.is_none() {
            stat = self.stat(name)?;
            let Some(stat) = &stat else { return Ok(()) };
            // It was replaced by a directory since it was listed.
            is_dir = stat.is_dir();
            kept = !is_dir || filter.keep(name, true);
        }
        let stat = stat.unwrap_or_default();
        match (kept, is_dir) {
            (false, _) => self.excluded(name, is_dir, row),
            (true, true) => self.child(name, row),
            (true, false) => self.leaf(name, stat, row),
        }
    }

    /// Asks about a name; one that went away is noted.
    fn stat(&mut self, name: &[u8]) -> rustix::io::Result<Option<FileStat>> {
        self.found.stated += 1;
        match stat_name(self.dir.as_fd(), name) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => {
                self.found.changed = true;
                self.note(name, NoteReason::Vanished);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn note(&mut self, name: &[u8], reason: NoteReason) {
        self.found.notes.push(Note {
            path: join(&self.task.path, name),
            reason,
        });
    }

    fn excluded(
        &mut self,
        name: &[u8],
        is_dir: bool,
        row: Option<&Row<'_>>,
    ) -> rustix::io::Result<()> {
        self.found.changed |= row.is_none_or(|row| row.kind != RowKind::Excluded);
        self.found.rows.push(FoundRow {
            is_dir,
            ..plain_row(name, RowKind::Excluded)
        });
        Ok(())
    }

    fn child(&mut self, name: &[u8], row: Option<&Row<'_>>) -> rustix::io::Result<()> {
        let row = row.filter(|row| row.kind == RowKind::Dir);
        self.found.changed |= row.is_none();
        let child = self.walk.next.fetch_add(1, Ordering::Relaxed);
        self.found.rows.push(FoundRow {
            is_dir: true,
            child,
            ..plain_row(name, RowKind::Dir)
        });
        self.more.push(Task {
            id: child,
            path: join(&self.task.path, name),
            cached: row.map(|row| row.child),
            attributes: row.map_or_else(Vec::new, |row| row.extra.to_vec()),
        });
        Ok(())
    }

    fn leaf(
        &mut self,
        name: &[u8],
        stat: FileStat,
        row: Option<&Row<'_>>,
    ) -> rustix::io::Result<()> {
        let Some(kind) = leaf_kind(&stat) else {
            return Ok(());
        };
        let known = row.filter(|row| row.kind == kind && !row.racy && row.stat.is_same(&stat));
        let known = match known {
            Some(row) if kind == RowKind::Regular && !self.is_stored(&row.blob) => None,
            known => known,
        };
        self.found.changed |= known.is_none();
        let content = match self.content(name, kind, &stat, known) {
            Ok(content) => content,
            Err(Errno::NOENT | Errno::INVAL) => {
                self.note(name, NoteReason::Vanished);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if kind == RowKind::Socket {
            self.note(name, NoteReason::Socket);
        }
        let attributes = match kind {
            RowKind::Regular => known.and_then(|row| decode_attributes(row.extra)),
            _ => None,
        };
        let path = join(&self.task.path, name);
        let scanned =
            content.map(|content| scanned(&path, &stat, content, attributes.unwrap_or_default()));
        self.found.rows.push(FoundRow {
            // The path of what is answered ends with it.
            name: if scanned.is_some() {
                Vec::new()
            } else {
                name.to_vec()
            },
            kind,
            is_dir: false,
            stat,
            racy: is_racy(&stat, self.walk.start_ns),
            child: 0,
            scanned,
            wanted: kind == RowKind::Regular && known.is_none(),
        });
        Ok(())
    }

    fn content(
        &self,
        name: &[u8],
        kind: RowKind,
        stat: &FileStat,
        known: Option<&Row<'_>>,
    ) -> rustix::io::Result<Option<ScannedKind>> {
        Ok(Some(match (kind, known) {
            (RowKind::Regular, known) => {
                // What has to be read gets its id later.
                let blob = known.map_or(crate::store::empty_blob(), |row| row.blob);
                ScannedKind::Regular {
                    blob,
                    size: stat.size,
                }
            }
            (RowKind::Symlink, Some(row)) => ScannedKind::Symlink {
                target: row.extra.to_vec(),
            },
            (RowKind::Symlink, None) => ScannedKind::Symlink {
                target: read_link(self.dir.as_fd(), name)?,
            },
            (RowKind::Fifo, _) => ScannedKind::Fifo,
            (RowKind::Char, _) => ScannedKind::Char { rdev: stat.rdev },
            (RowKind::Block, _) => ScannedKind::Block { rdev: stat.rdev },
            (RowKind::Socket | RowKind::Excluded | RowKind::Dir, _) => return Ok(None),
        }))
    }

    fn is_stored(&self, blob: &Id) -> bool {
        // A store that cannot be asked is found out when the file is stored again.
        self.walk.blobs_are_there || self.walk.store.blob_is_sound(blob).unwrap_or(false)
    }
}

fn plain_row(name: &[u8], kind: RowKind) -> FoundRow {
    FoundRow {
        name: name.to_vec(),
        kind,
        is_dir: false,
        stat: FileStat::default(),
        racy: false,
        child: 0,
        scanned: None,
        wanted: false,
    }
}
