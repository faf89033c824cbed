//! Reads single records from a segment file, into a buffer that each thread keeps.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::record::{Header, TableEntry};

/// Bytes asked for before the length of a record is known: many frames fit, of the others it brings
/// the beginning.
const FIRST_READ: usize = 16 << 10;
/// The same where only header and table are wanted: most tables fit.
const FIRST_OF_HEADER: usize = 4 << 10;
/// A thread keeps no larger buffer than this.
const KEPT: usize = 1 << 20;

thread_local! {
    // Made anew for each record it would be zeroed each time, and its pages asked from the kernel.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A header with its table, as found at an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) header: Header,
    pub(crate) table: Vec<TableEntry>,
}

/// Reads the header and the table at `offset`, if they check and the record ends before `len`.
pub(crate) fn read_header(file: &File, offset: u64, len: u64) -> io::Result<Option<Found>> {
    with_window(file, offset, |window| {
        let fits = |header: &Header| offset + header.record_len() <= len;
        window.found(FIRST_OF_HEADER, fits)
    })
}

/// Reads the body of a record, if its checksum is right.
pub(crate) fn read_body(file: &File, offset: u64, header: &Header) -> io::Result<Option<Vec<u8>>> {
    let mut body = vec![0; header.stored as usize];
    let got = read_up_to(file, &mut body, offset + header.body_start() as u64)?;
    Ok((got == body.len() && crc32c::crc32c(&body) == header.body_crc).then_some(body))
}

/// Reads the record at `offset` and answers what `then` makes of its body as it is stored; the body
/// is missing when its checksum is wrong, the answer when header and table do not check.
pub(crate) fn with_stored<T>(
    file: &File,
    offset: u64,
    then: impl FnOnce(Found, Option<&[u8]>) -> T,
) -> io::Result<Option<T>> {
    with_window(file, offset, |window| {
        // The length of the body can be believed once this has checked.
        let Some(found) = window.found(FIRST_READ, |_| true)? else {
            return Ok(None);
        };
        let start = found.header.body_start();
        let end = start + found.header.stored as usize;
        let body = window.up_to(end)?.get(start..end);
        let sound = body.filter(|body| crc32c::crc32c(body) == found.header.body_crc);
        Ok(Some(then(found, sound)))
    })
}

/// What was read of a file from an offset on.
struct Window<'a> {
    file: &'a File,
    offset: u64,
    buffer: &'a mut Vec<u8>,
    known: usize,
}

/// Lends the buffer of this thread.
fn with_window<T>(
    file: &File,
    offset: u64,
    work: impl FnOnce(&mut Window<'_>) -> io::Result<T>,
) -> io::Result<T> {
    let mut buffer = BUFFER.take();
    let mut window = Window {
        file,
        offset,
        buffer: &mut buffer,
        known: 0,
    };
    let done = work(&mut window);
    if buffer.len() <= KEPT {
        BUFFER.set(buffer);
    }
    done
}

impl Window<'_> {
    fn found(
        &mut self,
        first: usize,
        fits: impl FnOnce(&Header) -> bool,
    ) -> io::Result<Option<Found>> {
        let offset = self.offset;
        let header = Header::decode(self.up_to(first)?, offset);
        let Some(header) = header.filter(fits) else {
            return Ok(None);
        };
        let table = header.table(self.up_to(header.body_start())?);
        Ok(table.map(|table| Found { header, table }))
    }

    /// What is known once the first `len` bytes are, as far as the file has so many.
    fn up_to(&mut self, len: usize) -> io::Result<&[u8]> {
        if len > self.known {
            if len > self.buffer.len() {
                self.buffer.resize(len, 0);
            }
            let missing = &mut self.buffer[self.known..len];
            self.known += read_up_to(self.file, missing, self.offset + self.known as u64)?;
        }
        Ok(&self.buffer[..self.known])
    }
}

/// Reads until the buffer is full or the file ends; answers how much that was.
pub(crate) fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
