//! Sparse files of GNU tar: only what is not a hole is in the archive, with a map of where it goes.
//!
//! Facts from GNU tar's manual, appendix "Storing Sparse Files": the old format keeps the map in the header and in
//! blocks behind it, PAX 0.0 and 0.1 in extended header records, PAX 1.0 before the content.

/// Parts of one file that are kept, at most; each takes 16 bytes of memory.
const MAX_PARTS: usize = 1 << 20;

/// A part of a file that is in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Where it begins in the file, in bytes.
    pub(crate) offset: u64,
    /// Its length in bytes.
    pub(crate) length: u64,
}

/// Where the bytes in the archive go in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Map {
    parts: Vec<Part>,
    size: u64,
}

impl Map {
    /// Takes a map that makes sense: in order, without overlap, within the file, and of all that is `stored`.
    ///
    /// # Errors
    /// Returns what is wrong.
    pub(crate) fn new(parts: Vec<Part>, size: u64, stored: u64) -> Result<Map, String> {
        let (mut end, mut sum) = (0u64, 0u64);
        for part in &parts {
            let next = part.offset.checked_add(part.length);
            let next = next.filter(|next| part.offset >= end && *next <= size);
            end = next.ok_or("a sparse map out of order or beyond the end of its file")?;
            // It cannot overflow: the parts do not overlap.
            sum += part.length;
        }
        if sum != stored {
            return Err(format!(
                "a sparse map of {sum} bytes where {stored} are stored"
            ));
        }
        Ok(Map { parts, size })
    }

    /// Length of the file in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of the file that are in no part.
    pub(crate) fn holes(&self) -> u64 {
        self.size - self.parts.iter().map(|part| part.length).sum::<u64>()
    }
}

/// What comes next of a file that is read from its begin to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// So many zeros.
    Hole(u64),
    /// So many bytes of the archive.
    Stored(u64),
    /// Nothing more.
    End,
}

/// A walk over a map.
#[derive(Debug)]
pub(crate) struct Walk {
    map: Map,
    part: usize,
    at: u64,
}

impl Walk {
    /// Begins at the begin of the file.
    pub(crate) fn new(map: Map) -> Walk {
        Walk {
            map,
            part: 0,
            at: 0,
        }
    }

    /// Says what comes next.
    pub(crate) fn next(&mut self) -> Next {
        while let Some(part) = self.map.parts.get(self.part) {
            let end = part.offset + part.length;
            if self.at < part.offset {
                return Next::Hole(part.offset - self.at);
            }
            if self.at < end {
                return Next::Stored(end - self.at);
            }
            self.part += 1;
        }
        match self.map.size - self.at {
            0 => Next::End,
            rest => Next::Hole(rest),
        }
    }

    /// Goes on by so many bytes, at most as many as [`Walk::next`] said.
    pub(crate) fn advance(&mut self, count: u64) {
        self.at += count;
    }
}

/// What extended header records say of a sparse file (`GNU.sparse.…`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Records {
    /// Name of the file, where the header holds another for readers that know no sparse files.
    pub(crate) name: Option<Vec<u8>>,
    /// The map stands before the content (format 1.0).
    pub(crate) map_in_content: bool,
    /// Length of the file in bytes.
    pub(crate) size: Option<u64>,
    /// The map of the formats 0.0 and 0.1.
    pub(crate) parts: Vec<Part>,
    offset: Option<u64>,
}

impl Records {
    /// Takes a record; `key` is without its prefix.
    ///
    /// # Errors
    /// Returns what is wrong.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let bad = || format!("a bad GNU.sparse.{}", key.escape_ascii());
        let number = || decimal(value).ok_or_else(bad);
        match key {
            b"name" => self.name = Some(value.to_vec()),
            b"major" => self.map_in_content = number()? == 1,
            b"size" | b"realsize" => self.size = Some(number()?),
            b"offset" if self.offset.is_some() => return Err(bad()),
            b"offset" => self.offset = Some(number()?),
            b"numbytes" => {
                let offset = self.offset.take().ok_or_else(bad)?;
                let length = number()?;
                add(&mut self.parts, Part { offset, length })?;
            }
            b"map" => {
                let numbers = value.split(|byte| *byte == b',').map(decimal);
                let numbers: Option<Vec<u64>> = numbers.collect();
                let numbers = numbers.filter(|numbers| numbers.len() % 2 == 0);
                self.parts.clear();
                for pair in numbers.ok_or_else(bad)?.chunks_exact(2) {
                    let (offset, length) = (pair[0], pair[1]);
                    add(&mut self.parts, Part { offset, length })?;
                }
            }
            // `numblocks` counts what follows, `minor` is 0 or 1 and changes nothing.
            _ => {}
        }
        Ok(())
    }
}

/// Adds a part, of which there may not be any number.
pub(crate) fn add(parts: &mut Vec<Part>, part: Part) -> Result<(), String> {
    if parts.len() == MAX_PARTS {
        return Err(format!("a sparse file of over {MAX_PARTS} parts"));
    }
    parts.push(part);
    Ok(())
}

/// Reads a decimal number without sign.
pub(crate) fn decimal(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(bytes).ok().filter(|_| digits)?;
    text.parse().ok()
}

#[cfg(test)]
mod tests;
