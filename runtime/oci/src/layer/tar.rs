//! Tar archives (ustar, GNU long names and sparse files, PAX) read as a stream of entries.
//!
//! The `tar` crate decodes single headers. The framing is done here, because extended headers are to be bounded
//! and read by length, and because nothing may be skipped silently.

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::entry::{TarEntry, TarKind, device};
use super::path::normalise;
use super::pax::Pax;
use super::sparse::Walk;
use super::{LayerError, Limits};

mod content;
mod sparse;

pub use content::Content;

const BLOCK: u64 = 512;
/// Longest extended header or GNU long name taken; sixteen of the largest extended attributes fit.
const MAX_EXTENSION: u64 = 1 << 20;
/// Bytes of a path in a system call, with the NUL at its end (Linux, `limits.h`).
const PATH_MAX: usize = 4096;

/// Reads the entries of an archive one by one.
pub struct TarReader<R> {
    inner: R,
    offset: u64,
    /// Bytes of the current entry's content not yet read, and of the padding behind it.
    content: u64,
    padding: u64,
    /// How the content of a sparse file is expanded.
    sparse: Option<Walk>,
    /// Bytes of holes so far.
    holes: u64,
    entries: u64,
    limits: Limits,
}

impl<R> std::fmt::Debug for TarReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TarReader")
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// Gathers what the headers before an entry say about it.
#[derive(Default)]
struct Pending {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }
}

impl<R: Read> TarReader<R> {
    /// Begins to read an archive.
    pub fn new(inner: R, limits: Limits) -> TarReader<R> {
        TarReader {
            inner,
            offset: 0,
            content: 0,
            padding: 0,
            sparse: None,
            holes: 0,
            entries: 0,
            limits,
        }
    }

    /// Returns the next entry; `None` at the end of the archive.
    ///
    /// # Errors
    /// Fails on a malformed or truncated archive and on illegal names.
    pub fn next_entry(&mut self) -> Result<Option<TarEntry>, LayerError> {
        let mut pending = Pending::default();
        loop {
            self.skip_rest()?;
            let Some(header) = self.header()? else {
                if pending.is_empty() {
                    return Ok(None);
                }
                return Err(self.malformed("an extended header describes no entry"));
            };
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(LayerError::Limit {
                    limit: self.limits.entries,
                    what: "entries",
                });
            }
            match header.entry_type() {
                EntryType::XHeader => {
                    let bytes = self.extension(&header)?;
                    let pax = Pax::parse(&bytes).map_err(|problem| self.malformed(problem))?;
                    once(&mut pending.pax, pax).map_err(|problem| self.malformed(problem))?;
                }
                EntryType::GNULongName => {
                    let name = self.long(&header)?;
                    once(&mut pending.long_name, name)
                        .map_err(|problem| self.malformed(problem))?;
                }
                EntryType::GNULongLink => {
                    let name = self.long(&header)?;
                    once(&mut pending.long_link, name)
                        .map_err(|problem| self.malformed(problem))?;
                }
                // It is meant for all entries; in images it carries a comment (git archive). Checked, not applied.
                EntryType::XGlobalHeader => {
                    let bytes = self.extension(&header)?;
                    Pax::parse(&bytes).map_err(|problem| self.malformed(problem))?;
                }
                _ => return self.entry(&header, pending).map(Some),
            }
        }
    }

    /// Returns a reader of the current entry's content.
    pub fn content(&mut self) -> Content<'_, R> {
        Content { archive: self }
    }

    /// Reads everything up to the end of the stream, so that a digest over it is that of the whole layer.
    ///
    /// # Errors
    /// Fails as reading does.
    pub fn drain(mut self) -> Result<R, LayerError> {
        let mut buffer = vec![0; 1 << 16];
        while self.read_some(&mut buffer)? > 0 {}
        Ok(self.inner)
    }

    fn malformed(&self, problem: impl Into<String>) -> LayerError {
        LayerError::Malformed {
            problem: problem.into(),
            offset: self.offset,
        }
    }

    /// Reads what there is, counting it against the limit.
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.offset += count as u64;
        if self.offset > self.limits.bytes {
            let error = format!("it exceeds the limit of {} bytes", self.limits.bytes);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
        }
        Ok(count)
    }

    /// Fills the buffer; `false` when the stream ends before its first byte.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, LayerError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_some(&mut buffer[filled..])? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(self.malformed("the archive ends within an entry")),
                count => filled += count,
            }
        }
        Ok(true)
    }

    fn skip_rest(&mut self) -> Result<(), LayerError> {
        self.sparse = None;
        let mut left = std::mem::take(&mut self.content) + std::mem::take(&mut self.padding);
        let mut buffer = [0; 4096];
        while left > 0 {
            let want = left.min(buffer.len() as u64) as usize;
            match self.read_some(&mut buffer[..want])? {
                0 => return Err(self.malformed("the archive ends within an entry")),
                count => left -= count as u64,
            }
        }
        Ok(())
    }

    /// Reads a header block; `None` at the end marker or the end of the stream.
    fn header(&mut self) -> Result<Option<Header>, LayerError> {
        let mut header = Header::new_old();
        // Many writers leave the two zero blocks at the end out.
        if !self.fill(header.as_mut_bytes())? || header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let (before, rest) = header.as_bytes().split_at(148);
        let sum = before
            .iter()
            .chain(&rest[8..])
            .map(|byte| u32::from(*byte))
            .sum::<u32>()
            + 8 * 32;
        let checksum = header
            .cksum()
            .map_err(|_| self.malformed("a header without checksum"))?;
        if sum != checksum {
            return Err(self.malformed("a header whose checksum is wrong"));
        }
        Ok(Some(header))
    }

    /// Sets the length of the content that follows.
    fn expect_content(&mut self, size: u64) -> Result<(), LayerError> {
        if size > self.limits.bytes {
            return Err(LayerError::Limit {
                limit: self.limits.bytes,
                what: "bytes",
            });
        }
        self.content = size;
        self.padding = (BLOCK - size % BLOCK) % BLOCK;
        Ok(())
    }

    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, LayerError> {
        let size = header
            .entry_size()
            .map_err(|_| self.malformed("a bad size"))?;
        if size > MAX_EXTENSION {
            return Err(self.malformed("an extended header of over 1 MiB"));
        }
        self.expect_content(size)?;
        let mut bytes = vec![0; size as usize];
        if size > 0 && !self.fill(&mut bytes)? {
            return Err(self.malformed("the archive ends within an entry"));
        }
        self.content = 0;
        Ok(bytes)
    }

    /// Reads a GNU long name, which ends in a NUL.
    fn long(&mut self, header: &Header) -> Result<Vec<u8>, LayerError> {
        let mut bytes = self.extension(header)?;
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        Ok(bytes)
    }

    fn entry(&mut self, header: &Header, pending: Pending) -> Result<TarEntry, LayerError> {
        let pax = pending.pax.unwrap_or_default();
        let named = pax.sparse.as_ref().and_then(|sparse| sparse.name.clone());
        let raw_path = named.or(pax.path).or(pending.long_name);
        let raw_path = raw_path.unwrap_or_else(|| header.path_bytes().into_owned());
        let raw_link = pax.linkpath.or(pending.long_link);
        let raw_link = raw_link.or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
        let field =
            |what: &str| self.malformed(format!("a bad {what} of `{}`", super::shown(&raw_path)));

        let id = |given: Option<u64>, own: io::Result<u64>, what: &str| {
            let value = given
                .or(own.ok())
                .and_then(|value| u32::try_from(value).ok());
            value.ok_or_else(|| field(what))
        };
        let uid = id(pax.uid, header.uid(), "owner")?;
        let gid = id(pax.gid, header.gid(), "group")?;
        let mode = header.mode().map_err(|_| field("mode"))? & 0o7777;
        let mtime_ns = match pax.mtime_ns {
            Some(time) => time,
            // A binary field may be negative; the decoder gives its bits as they are.
            None => {
                let seconds = header.mtime().map_err(|_| field("mtime"))? as i64;
                seconds.saturating_mul(1_000_000_000)
            }
        };
        let declared = match pax.size {
            Some(size) => size,
            None => header.entry_size().map_err(|_| field("size"))?,
        };
        let mut kind = self.kind(header, &raw_path, raw_link.as_deref(), declared)?;
        // Before ustar a directory was a file whose name ends in a slash.
        if matches!(kind, TarKind::Regular { .. }) && raw_path.ends_with(b"/") {
            kind = TarKind::Dir;
        }
        // Some writers repeat the size of a linked file without its content following (pax, "size").
        let follows = matches!(kind, TarKind::Regular { .. });
        match follows {
            false => self.expect_content(0)?,
            true => match self.expand(header, pax.sparse, declared)? {
                Some(size) => kind = TarKind::Regular { size },
                None => self.expect_content(declared)?,
            },
        }
        Ok(TarEntry {
            path: normalise(&raw_path)?,
            mode: if matches!(kind, TarKind::Symlink { .. }) {
                0o777
            } else {
                mode
            },
            uid,
            gid,
            mtime_ns,
            xattrs: pax.xattrs,
            kind,
        })
    }

    fn kind(
        &self,
        header: &Header,
        path: &[u8],
        link: Option<&[u8]>,
        size: u64,
    ) -> Result<TarKind, LayerError> {
        let target = || {
            let link = link.filter(|link| !link.is_empty() && !link.contains(&0));
            link.ok_or_else(|| {
                self.malformed(format!("a bad link target of `{}`", super::shown(path)))
            })
        };
        let rdev = || {
            let number = |value: io::Result<Option<u32>>| value.ok().flatten();
            let pair = number(header.device_major()).zip(number(header.device_minor()));
            let (major, minor) = pair.ok_or_else(|| self.malformed("a bad device number"))?;
            Ok::<u64, LayerError>(device(major, minor))
        };
        Ok(match header.entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                TarKind::Regular { size }
            }
            EntryType::Directory => TarKind::Dir,
            EntryType::Symlink => {
                let target = target()?.to_vec();
                if target.len() >= PATH_MAX {
                    return Err(self.malformed("a symbolic link longer than Linux has them"));
                }
                TarKind::Symlink { target }
            }
            EntryType::Link => TarKind::HardLink {
                target: normalise(target()?)?,
            },
            EntryType::Fifo => TarKind::Fifo,
            EntryType::Char => TarKind::Char { rdev: rdev()? },
            EntryType::Block => TarKind::Block { rdev: rdev()? },
            other => {
                let shown = other.as_byte().escape_ascii();
                return Err(self.malformed(format!("an entry of the unknown type `{shown}`")));
            }
        })
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("two extended headers of one kind for one entry"),
    }
}

#[cfg(test)]
mod tests;
