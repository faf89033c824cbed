//! Makes the raw copy of a blob.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};

use super::{MAKING, Pool};
use crate::durable::{make_private_dir, remove_if_there, temporary_in};
use crate::segment::lock;
use crate::{Error, Id, Result};

/// Bytes read and written at a time.
const WINDOW: usize = 1 << 20;
/// Bytes of a block that is left out when it is all zeros.
const BLOCK: usize = 4096;

impl Pool {
    /// Makes the raw copy of a blob, if there is none; answers whether one was made.
    ///
    /// When the pool is full, copies that were used longest ago go first. A blob that is too large for it is left out.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Damaged`] and I/O errors; no copy is there then.
    pub fn fill(&self, id: &Id) -> Result<bool> {
        let path = self.blob_path(id);
        if path.symlink_metadata().is_ok() {
            return Ok(false);
        }
        let Some(size) = self.store.blob_len(id)? else {
            return Err(Error::NotFound { id: *id });
        };
        if !self.make_room(size)? {
            return Ok(false);
        }
        let dir = self.dir.join(MAKING);
        // Another process may have removed them, with the pool.
        for dir in [&dir, &self.copies()] {
            make_private_dir(dir)?;
        }
        let temporary = temporary_in(&dir);
        let made = self
            .copy(id, size, &temporary)
            .and_then(|()| fs::rename(&temporary, &path).map_err(Error::io("name", &path)));
        if made.is_err() {
            remove_if_there(&temporary)?;
        }
        made?;
        lock(&self.room).grow(size);
        Ok(true)
    }

    fn copy(&self, id: &Id, size: u64, to: &std::path::Path) -> Result<()> {
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(to);
        let file = opened.map_err(Error::io("create", to))?;
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        while at < size {
            let bytes = self.store.read_blob_at(id, at, WINDOW)?;
            if bytes.is_empty() {
                break;
            }
            hasher.update(&bytes);
            write_sparse(&file, at, &bytes).map_err(Error::io("write", to))?;
            at += bytes.len() as u64;
        }
        // Each chunk was verified by its own id; this is about the list of them.
        if hasher.finalize().as_bytes() != id.as_bytes() {
            return Err(Error::NotFound { id: *id });
        }
        file.set_len(size)
            .and_then(|()| file.set_permissions(Permissions::from_mode(0o444)))
            .map_err(Error::io("write", to))
    }
}

/// Writes bytes but for whole blocks of zeros; `at` is a multiple of a block.
fn write_sparse(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    let is_hole = |block: &[u8]| block.len() == BLOCK && block.iter().all(|byte| *byte == 0);
    let mut from = 0;
    while from < bytes.len() {
        let blocks = bytes[from..].chunks(BLOCK);
        let run: usize = blocks
            .take_while(|block| !is_hole(block))
            .map(<[u8]>::len)
            .sum();
        file.write_all_at(&bytes[from..from + run], at + from as u64)?;
        from += run;
        let blocks = bytes[from..].chunks(BLOCK);
        let holes = blocks.take_while(|block| is_hole(block)).count();
        from += holes * BLOCK;
    }
    Ok(())
}
