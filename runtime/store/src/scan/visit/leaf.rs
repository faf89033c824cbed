//! Looks at anything but a directory: is it as it was, and what is it?

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::{Known, Visit};
use crate::scan::cache::{HalfId, RowKind, StatKey};
use crate::scan::dirs::{decode_attributes, read_link};
use crate::scan::racy::is_racy;
use crate::scan::types::{NoteReason, ScannedKind};
use crate::scan::walk::{FoundRow, join, leaf_kind, scanned};
use crate::stat::FileStat;
use crate::{Error, Id};

impl Visit<'_, '_> {
    pub(super) fn leaf(
        &mut self,
        name: &[u8],
        stat: FileStat,
        row: Known<'_>,
    ) -> rustix::io::Result<()> {
        let Some(kind) = leaf_kind(&stat) else {
            self.differs();
            return Ok(());
        };
        let key = StatKey::of(&stat);
        let known = row.filter(|(_, row)| row.kind == kind && !row.racy && row.key == key);
        if self.walk.only_changes
            && let Some((number, _)) = known
            && kind != RowKind::Socket
        {
            self.pass(kind, number);
            return Ok(());
        }
        let mut blob = crate::store::empty_blob();
        let known = match known {
            Some((_, row)) if kind == RowKind::Regular => {
                let stored = self.stored(&row.blob);
                blob = stored.unwrap_or(blob);
                known.filter(|_| stored.is_some())
            }
            known => known,
        };
        if known.is_none()
            && let Some((_, row)) = row.filter(|(_, row)| row.kind != kind)
        {
            self.gone(&row);
        }
        if kind == RowKind::Regular && known.is_none() {
            self.unread(name, &stat, key);
            return Ok(());
        }
        if kind == RowKind::Socket {
            self.note(name, NoteReason::Socket);
        }
        let content = match self.content(name, kind, &stat, blob, known) {
            Ok(content) => content,
            Err(Errno::NOENT | Errno::INVAL) => {
                self.vanished(name, row);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if known.is_none() {
            self.differs();
        }
        let attributes = known.filter(|_| kind == RowKind::Regular);
        let attributes = attributes.and_then(|(_, row)| decode_attributes(row.extra));
        let path = join(&self.task.path, name);
        let scanned =
            content.map(|content| scanned(&path, &stat, content, attributes.unwrap_or_default()));
        let racy = is_racy(&stat, self.walk.start_ns);
        self.told().push(FoundRow {
            // The path of what is answered ends with it.
            name: if scanned.is_some() {
                Box::default()
            } else {
                name.into()
            },
            kind,
            is_dir: false,
            key,
            racy,
            as_cached: known.and_then(|(number, _)| u32::try_from(number).ok()),
            scanned,
            wanted: false,
        });
        Ok(())
    }

    /// A file whose content has to be read; what is not known of it yet is found out then.
    pub(super) fn unread(&mut self, name: &[u8], stat: &FileStat, key: StatKey) {
        self.differs();
        let path = join(&self.task.path, name);
        let blob = crate::store::empty_blob();
        let size = stat.size;
        let kind = ScannedKind::Regular { blob, size };
        self.told().push(FoundRow {
            name: Box::default(),
            kind: RowKind::Regular,
            is_dir: false,
            key,
            racy: true,
            as_cached: None,
            scanned: Some(scanned(&path, stat, kind, BTreeMap::new())),
            wanted: true,
        });
    }

    fn content(
        &self,
        name: &[u8],
        kind: RowKind,
        stat: &FileStat,
        blob: Id,
        known: Known<'_>,
    ) -> rustix::io::Result<Option<ScannedKind>> {
        let size = stat.size;
        Ok(Some(match (kind, known) {
            (RowKind::Regular, _) => ScannedKind::Regular { blob, size },
            (RowKind::Symlink, Some((_, row))) => ScannedKind::Symlink {
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

    /// The blob of a cached row, if it is stored and sound.
    fn stored(&self, half: &HalfId) -> Option<Id> {
        let stored = || -> Result<Option<Id>, Error> {
            let Some(id) = self.walk.store.blob_named(half)? else {
                return Ok(None);
            };
            let sound = self.walk.blobs_are_there || self.walk.store.blob_is_sound(&id)?;
            Ok(sound.then_some(id))
        };
        // A store that cannot be asked is found out when the file is stored again.
        stored().unwrap_or(None)
    }
}
