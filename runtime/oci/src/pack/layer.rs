//! One layer written to a file, with its digests.

use std::fs::File;
use std::io::BufWriter;

use hd_dag::{Rooted, Trees};
use hd_store::Store;

use super::changes::changes;
use super::compress::{Compressor, HashingWriter};
use super::{PackError, Style, tar};
use crate::digest::Digest;

/// Bytes gathered before they are compressed or written.
const BUFFER: usize = 256 << 10;

/// Is a layer that has been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    /// Digest of the file.
    pub(crate) digest: Digest,
    /// Length of the file in bytes.
    pub(crate) size: u64,
    /// Digest of the archive within it.
    pub(crate) diff_id: Digest,
    /// Latest time of modification in it, in seconds since 1970.
    pub(crate) newest: i64,
    /// Statements in it; none means that the trees are the same.
    pub(crate) items: usize,
}

/// Writes what makes `upper` out of `lower`.
pub(crate) fn pack(
    trees: &dyn Trees,
    store: &Store,
    (lower, upper): (&Rooted, &Rooted),
    style: &Style,
    file: File,
) -> Result<Packed, PackError> {
    let items = changes(trees, lower, upper)?;
    let outer = HashingWriter::new(BufWriter::with_capacity(BUFFER, file));
    let compressor = Compressor::new(outer, style.compression)?;
    let mut inner = BufWriter::with_capacity(BUFFER, HashingWriter::new(compressor));
    let newest = tar::write(&items, store, style, &mut inner)?;
    let inner = inner.into_inner().map_err(|error| error.into_error())?;
    let (compressor, diff_id, _) = inner.finish();
    let (file, digest, size) = compressor.finish()?.finish();
    file.into_inner().map_err(|error| error.into_error())?;
    Ok(Packed {
        digest,
        size,
        diff_id,
        newest,
        items: items.len(),
    })
}
