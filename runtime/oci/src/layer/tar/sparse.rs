//! Maps of sparse files, read where each format keeps them.

use std::io::Read;

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::TarReader;
use crate::layer::sparse::{Map, Part, Records, Walk, add, decimal};
use crate::layer::{LayerError, Limits};

const BLOCK: usize = 512;
/// Digits of the longest number of a map (`u64::MAX`).
const DIGITS: usize = 20;

impl<R: Read> TarReader<R> {
    /// Reads the map of a sparse file, from which its content is expanded; answers the length of the file.
    ///
    /// `stored` is the length in the archive. Nothing when the file is an ordinary one.
    pub(super) fn expand(
        &mut self,
        header: &Header,
        records: Option<Records>,
        stored: u64,
    ) -> Result<Option<u64>, LayerError> {
        let (parts, size) = match records {
            _ if header.entry_type() == EntryType::GNUSparse => {
                let old = self.old_map(header)?;
                self.expect_content(stored)?;
                old
            }
            None => return Ok(None),
            Some(records) => {
                let size = records.size;
                let size = size.ok_or_else(|| self.malformed("a sparse file without its size"))?;
                self.expect_content(stored)?;
                let parts = match records.map_in_content {
                    true => self.map_in_content()?,
                    false => records.parts,
                };
                (parts, size)
            }
        };
        let map = Map::new(parts, size, self.content);
        let map = map.map_err(|problem| self.malformed(problem))?;
        self.bound_holes(&map)?;
        self.sparse = Some(Walk::new(map));
        Ok(Some(size))
    }

    /// A few bytes can stand for a whole disk of zeros, so holes count like bytes that were packed well.
    fn bound_holes(&mut self, map: &Map) -> Result<(), LayerError> {
        self.holes = self.holes.saturating_add(map.holes());
        let packed = self.offset.saturating_mul(self.limits.ratio);
        let most = packed.max(Limits::RATIO_FREE_BYTES);
        let most = most.min(self.limits.bytes.saturating_sub(self.offset));
        if self.holes > most || map.size() > self.limits.bytes {
            return Err(LayerError::Limit {
                limit: most,
                what: "bytes of holes in sparse files",
            });
        }
        Ok(())
    }

    /// The map of the old GNU format: four parts in the header, more in blocks behind it.
    fn old_map(&mut self, header: &Header) -> Result<(Vec<Part>, u64), LayerError> {
        let bad = "a bad header of a sparse file";
        let gnu = header.as_gnu().ok_or_else(|| self.malformed(bad))?;
        let size = gnu.real_size().map_err(|_| self.malformed(bad))?;
        let mut parts = Vec::new();
        take(&mut parts, &gnu.sparse).map_err(|problem| self.malformed(problem))?;
        let mut more = gnu.is_extended();
        while more {
            let mut block = GnuExtSparseHeader::new();
            if !self.fill(block.as_mut_bytes())? {
                return Err(self.malformed("the archive ends within an entry"));
            }
            take(&mut parts, block.sparse()).map_err(|problem| self.malformed(problem))?;
            more = block.is_extended();
        }
        Ok((parts, size))
    }

    /// The map of PAX 1.0: how many parts, then offset and length of each, a decimal number a line, up to the end
    /// of a block.
    fn map_in_content(&mut self) -> Result<Vec<Part>, LayerError> {
        let mut lines = Lines::default();
        let count = self.line(&mut lines)?;
        let mut parts = Vec::new();
        for _ in 0..count {
            let (offset, length) = (self.line(&mut lines)?, self.line(&mut lines)?);
            let added = add(&mut parts, Part { offset, length });
            added.map_err(|problem| self.malformed(problem))?;
        }
        Ok(parts)
    }

    fn line(&mut self, lines: &mut Lines) -> Result<u64, LayerError> {
        let mut digits = Vec::new();
        loop {
            if lines.at == lines.block.len() {
                let rest = self.content.checked_sub(BLOCK as u64);
                let rest = rest.ok_or_else(|| self.malformed("a sparse map without end"))?;
                lines.block.resize(BLOCK, 0);
                if !self.fill(&mut lines.block)? {
                    return Err(self.malformed("the archive ends within an entry"));
                }
                (self.content, lines.at) = (rest, 0);
            }
            let byte = lines.block[lines.at];
            lines.at += 1;
            match byte {
                b'\n' => break,
                _ if digits.len() == DIGITS => break,
                _ => digits.push(byte),
            }
        }
        let number = decimal(&digits).filter(|_| !digits.is_empty());
        number.ok_or_else(|| self.malformed("a bad number in a sparse map"))
    }
}

/// The block of a map that is being read.
#[derive(Default)]
struct Lines {
    block: Vec<u8>,
    at: usize,
}

/// Takes the parts of a header; the first empty one ends them.
fn take(parts: &mut Vec<Part>, headers: &[GnuSparseHeader]) -> Result<(), String> {
    for header in headers.iter().take_while(|header| !header.is_empty()) {
        let pair = header.offset().ok().zip(header.length().ok());
        let (offset, length) = pair.ok_or("a bad number in a sparse map")?;
        add(parts, Part { offset, length })?;
    }
    Ok(())
}
