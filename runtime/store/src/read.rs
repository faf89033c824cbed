//! Verified reads.

use crate::list::{Level, ListView};
use crate::object::Object;
use crate::record::{RecordKind, u64_at};
use crate::shelf::{Located, Want};
use crate::store::empty_blob;
use crate::{Error, Id, NodeKind, Result, Store};

/// One stored answer for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// What was appended.
    pub payload: Vec<u8>,
    /// When, in milliseconds since the epoch; rises with each entry of a key.
    pub at_unix_ms: u64,
}

impl Store {
    /// Reads a whole blob; every byte is verified against its id.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Damaged`] and I/O errors.
    pub fn read_blob(&self, id: &Id) -> Result<Vec<u8>> {
        self.read_blob_at(id, 0, usize::MAX)
    }

    /// Reads up to `len` bytes of a blob from `offset` on; fewer only at its end.
    ///
    /// Each chunk touched is verified whole before a byte of it is answered.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Damaged`] and I/O errors.
    pub fn read_blob_at(&self, id: &Id, offset: u64, len: usize) -> Result<Vec<u8>> {
        if *id == empty_blob() {
            return Ok(Vec::new());
        }
        let blob = self.object(id, Want::Blob)?;
        let mut out = Vec::new();
        self.copy_range(&blob, offset, len, &mut out)?;
        Ok(out)
    }

    /// Tells the length of a blob in bytes, or that it is not stored.
    ///
    /// # Errors
    /// [`Error::Damaged`] and I/O errors.
    pub fn blob_len(&self, id: &Id) -> Result<Option<u64>> {
        if *id == empty_blob() {
            return Ok(Some(0));
        }
        for attempt in 0..2 {
            let copies = self.inner.shelf.locate(id, Want::Blob)?;
            let chunk = copies
                .iter()
                .find(|copy| copy.entry.kind == RecordKind::Chunks.code());
            if let Some(chunk) = chunk {
                return Ok(Some(u64::from(chunk.len)));
            }
            if !copies.is_empty() {
                let list = self.object(id, Want::Blob)?;
                return Ok(Some(length_of(&list)));
            }
            if attempt == 0 {
                self.refresh()?;
            }
        }
        match self.known_damage(id, Want::Blob)? {
            Some(damage) => Err(damage),
            None => Ok(None),
        }
    }

    /// Reads a node, verified against its id in the domain of its kind.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Damaged`] and I/O errors.
    pub fn read_node(&self, kind: NodeKind, id: &Id) -> Result<Vec<u8>> {
        Ok(self.object(id, Want::Node(kind))?.bytes().to_vec())
    }

    /// Lists what was appended under a key, the newest first; damaged entries are left out, and so
    /// are those about to be collected.
    ///
    /// # Errors
    /// I/O errors.
    pub fn history(&self, key: &Id) -> Result<Vec<HistoryEntry>> {
        self.refresh()?;
        let mut entries = Vec::new();
        for copy in self.inner.shelf.locate_usable(key, Want::History)? {
            match self.object_at(&copy, key) {
                Ok(object) => entries.extend(decode_history(object.bytes())),
                Err(Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.at_unix_ms));
        Ok(entries)
    }

    /// The stored blob whose id starts with these bytes.
    pub(crate) fn blob_named(&self, half: &[u8; 16]) -> Result<Option<Id>> {
        let mut full = [0; 32];
        full[..16].copy_from_slice(half);
        let empty = empty_blob();
        if empty.as_bytes().starts_with(half) {
            return Ok(Some(empty));
        }
        let mut entries = Vec::new();
        for segment in self.inner.shelf.segments().iter() {
            entries.clear();
            segment.find(Id::from_bytes(full).prefix(), &mut entries);
            for entry in entries.iter().filter(|entry| Want::Blob.accepts(entry)) {
                let id = segment.raw_line(entry)?;
                if let Some(id) = id.filter(|id| id.as_bytes().starts_with(half)) {
                    return Ok(Some(id));
                }
            }
        }
        Ok(None)
    }

    /// Says whether a blob is stored and all its stored bytes are as they were written.
    pub(crate) fn blob_is_sound(&self, id: &Id) -> Result<bool> {
        if *id == empty_blob() || self.inner.shelf.has_sound(id, Want::Chunk)? {
            return Ok(true);
        }
        match self.usable(id, Want::Blob)? {
            Some(object) => self.pieces_are_sound(&object),
            None => Ok(false),
        }
    }

    /// Reads an object that may be relied on; `None` when no copy is sound.
    fn usable(&self, id: &Id, want: Want) -> Result<Option<Object>> {
        for copy in self.inner.shelf.locate_usable(id, want)? {
            match self.object_at(&copy, id) {
                Ok(object) => return Ok(Some(object)),
                Err(Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn pieces_are_sound(&self, list: &Object) -> Result<bool> {
        if list.kind() != RecordKind::List {
            return Ok(true);
        }
        let list = ListView::new(list.bytes());
        for id in list.ids() {
            let sound = match list.level() {
                Level::Chunks => self.inner.shelf.has_sound(&id, Want::Chunk)?,
                Level::Parts => match self.usable(&id, Want::ListPart)? {
                    Some(part) => self.pieces_are_sound(&part)?,
                    None => false,
                },
            };
            if !sound {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lists the objects that a large blob is stored as: parts of its list, and chunks. A small one
    /// is stored as itself; what cannot be read is left out.
    ///
    /// # Errors
    /// I/O errors.
    pub fn pieces(&self, blob: &Id) -> Result<Vec<Id>> {
        let mut pieces = Vec::new();
        let mut waiting = vec![(*blob, Want::Blob)];
        while let Some((id, want)) = waiting.pop() {
            let copies = self.inner.shelf.locate(&id, want)?;
            let is_list = |copy: &Located| copy.entry.kind == RecordKind::List.code();
            if !copies.iter().any(is_list) {
                continue;
            }
            let list = match self.object(&id, want) {
                Ok(object) if object.kind() == RecordKind::List => object,
                Ok(_) | Err(Error::Damaged { .. } | Error::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            let list = ListView::new(list.bytes());
            pieces.extend(list.ids());
            if list.level() == Level::Parts {
                waiting.extend(list.ids().map(|id| (id, Want::ListPart)));
            }
        }
        Ok(pieces)
    }

    /// Copies a range of a blob, a part or a chunk to the end of `out`.
    fn copy_range(
        &self,
        object: &Object,
        offset: u64,
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let bytes = object.bytes();
        if object.kind() != RecordKind::List {
            let start = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            out.extend_from_slice(&bytes[start..start.saturating_add(len).min(bytes.len())]);
            return Ok(());
        }
        let list = ListView::new(bytes);
        let want = match list.level() {
            Level::Chunks => Want::Chunk,
            Level::Parts => Want::ListPart,
        };
        let end = offset.saturating_add(len as u64).min(list.total());
        out.reserve(end.saturating_sub(offset) as usize);
        let mut at = offset;
        for number in list.piece_at(offset)..list.len() {
            let piece = list.range(number);
            if at >= end {
                break;
            }
            let object = self.object(&list.id(number), want)?;
            let wanted = end.min(piece.end).saturating_sub(at);
            let within = at.saturating_sub(piece.start);
            self.copy_range(&object, within, wanted as usize, out)?;
            at = piece.end;
        }
        Ok(())
    }
}

/// Bytes of the blob or part that an object stands for.
pub(crate) fn length_of(object: &Object) -> u64 {
    match object.kind() {
        RecordKind::List => ListView::new(object.bytes()).total(),
        _ => object.bytes().len() as u64,
    }
}

/// Takes the body of a history record apart.
pub(crate) fn decode_history(body: &[u8]) -> Option<HistoryEntry> {
    let payload = body.get(8..)?.to_vec();
    Some(HistoryEntry {
        payload,
        at_unix_ms: u64_at(body, 0),
    })
}
