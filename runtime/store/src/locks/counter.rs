//! A number in a file that is replaced in place: counting takes neither space nor an inode.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::durable::{open_private, sync_dir};
use crate::{Error, Result};

/// Eight bytes, little-endian. A sector is written whole or not at all, and so are they.
#[derive(Debug)]
pub(crate) struct Counter {
    path: PathBuf,
}

impl Counter {
    pub(crate) fn at(path: PathBuf) -> Counter {
        Counter { path }
    }

    pub(crate) fn read(&self) -> Result<u64> {
        let file = match std::fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(Error::io("open", &self.path)(error)),
        };
        let mut bytes = [0; 8];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Ok(u64::from_le_bytes(bytes)),
            // Garbage is another number than anyone remembers, which is the safe side.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(u64::MAX),
            Err(error) => Err(Error::io("read", &self.path)(error)),
        }
    }

    /// Writes the number; on return it is durable.
    pub(crate) fn write(&self, number: u64) -> Result<()> {
        let is_new = !self.path.exists();
        let file = open_private(&self.path)?;
        let written = file.write_all_at(&number.to_le_bytes(), 0);
        written
            .and_then(|()| file.sync_data())
            .map_err(Error::io("write", &self.path))?;
        match (is_new, self.path.parent()) {
            (true, Some(dir)) => sync_dir(dir),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_back_and_a_torn_file_is_no_usual_number() {
        let dir = tempfile::tempdir().unwrap();
        let counter = Counter::at(dir.path().join("n"));
        assert_eq!(counter.read().unwrap(), 0);
        for number in [7, u64::MAX, 0] {
            counter.write(number).unwrap();
            assert_eq!(counter.read().unwrap(), number);
        }
        std::fs::write(dir.path().join("n"), b"1").unwrap();
        assert_eq!(counter.read().unwrap(), u64::MAX);
    }
}
