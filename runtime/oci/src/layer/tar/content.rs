//! The content of the current entry, holes of sparse files filled with zeros.

use std::io::{self, Read};

use super::TarReader;
use crate::layer::sparse::Next;

/// Reads the content of the current entry.
pub struct Content<'a, R> {
    pub(super) archive: &'a mut TarReader<R>,
}

impl<R> std::fmt::Debug for Content<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({} bytes left)", self.archive.content)
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let next = match &mut self.archive.sparse {
            Some(walk) => walk.next(),
            None => Next::Stored(self.archive.content),
        };
        let within = |count: u64| count.min(buffer.len() as u64) as usize;
        let count = match next {
            Next::End => return Ok(0),
            Next::Hole(count) => {
                let count = within(count);
                buffer[..count].fill(0);
                count
            }
            Next::Stored(count) => {
                let count = within(count);
                self.archive.stored(&mut buffer[..count])?
            }
        };
        if let Some(walk) = &mut self.archive.sparse {
            walk.advance(count as u64);
        }
        Ok(count)
    }
}

impl<R: Read> TarReader<R> {
    /// Reads bytes of the current entry as they are in the archive; none only where none are wanted.
    fn stored(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.read_some(buffer)?;
        if count == 0 {
            let error = "the archive ends within a file";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
        }
        self.content -= count as u64;
        Ok(count)
    }
}
