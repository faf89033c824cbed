//! The log of one service: `NAME.log`, before it `NAME.log.1`, and so on to the oldest.
//!
//! The writer rotates by renaming, so a file once opened is read to its end under whatever name;
//! files are told apart by device and inode, and none is read twice.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hd_actors::model::log_line::LogLine;

/// Longest line kept, in bytes; the writer cuts lines far below it.
const LINE_MAX: u64 = 1 << 20;

/// A log being read.
#[derive(Debug)]
pub(crate) struct Source {
    current: PathBuf,
    /// Oldest first; what is read is the front.
    files: VecDeque<Generation>,
}

#[derive(Debug)]
struct Generation {
    reader: BufReader<File>,
    identity: (u64, u64),
    /// The beginning of a line of which the end is not written yet.
    partial: Vec<u8>,
}

/// Lists the services that have a log in `directory`, sorted.
pub(crate) fn names(directory: &Path) -> std::io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        names.extend(
            name.to_str()
                .and_then(|name| name.strip_suffix(".log"))
                .map(str::to_owned),
        );
    }
    names.sort();
    Ok(names)
}

impl Source {
    /// Opens all there is; a service that has written nothing yet has nothing.
    pub(crate) fn open(directory: &Path, name: &str) -> std::io::Result<Self> {
        let current = directory.join(format!("{name}.log"));
        let mut source = Self {
            current,
            files: VecDeque::new(),
        };
        source.open_newer_than(None)?;
        Ok(source)
    }

    /// Reads up to `max` whole lines; fewer when that is all there is now.
    pub(crate) fn read(&mut self, max: usize) -> std::io::Result<Vec<LogLine>> {
        let mut lines = Vec::new();
        while lines.len() < max {
            let line = self
                .files
                .front_mut()
                .map(Generation::line)
                .transpose()?
                .flatten();
            if let Some(line) = line {
                lines.extend(LogLine::decode(&line));
            } else if self.files.len() > 1 {
                // Its writer left it before the next one was made; a cut line stays cut.
                self.files.pop_front();
            } else {
                // Newer files are put behind this one, which is then read once more to its end: the
                // writer may have added to it between the last read and the rotation.
                let known = self.files.front().map(|front| front.identity);
                if !self.open_newer_than(known)? {
                    break;
                }
            }
        }
        Ok(lines)
    }

    /// Opens the generations newer than the one given; tells whether there were any.
    ///
    /// From the newest to the oldest: a rotation on the way shifts files towards the names still
    /// to come, so one may be met twice but none is missed.
    fn open_newer_than(&mut self, known: Option<(u64, u64)>) -> std::io::Result<bool> {
        let at = self.files.len();
        let mut met = Vec::new();
        let mut gap = false;
        for number in 0u32.. {
            let path = match number {
                0 => self.current.clone(),
                number => PathBuf::from(format!("{}.{number}", self.current.display())),
            };
            let file = match File::open(&path) {
                Ok(file) => file,
                // Between two renames of a rotation one name is missing.
                Err(e) if e.kind() == ErrorKind::NotFound && !gap => {
                    gap = true;
                    continue;
                }
                Err(e) if e.kind() == ErrorKind::NotFound => break,
                Err(e) => return Err(e),
            };
            gap = false;
            let meta = file.metadata()?;
            let identity = (meta.dev(), meta.ino());
            if known == Some(identity) {
                break;
            }
            if !met.contains(&identity) {
                met.push(identity);
                let reader = BufReader::new(file);
                self.files.insert(
                    at,
                    Generation {
                        reader,
                        identity,
                        partial: Vec::new(),
                    },
                );
            }
        }
        Ok(!met.is_empty())
    }
}

impl Generation {
    /// Reads one whole line without its end; `None` when there is none yet.
    fn line(&mut self) -> std::io::Result<Option<String>> {
        let room = LINE_MAX.saturating_sub(self.partial.len() as u64);
        (&mut self.reader)
            .take(room)
            .read_until(b'\n', &mut self.partial)?;
        let whole = self.partial.ends_with(b"\n");
        if !whole && (self.partial.len() as u64) < LINE_MAX {
            return Ok(None);
        }
        let mut bytes = std::mem::take(&mut self.partial);
        if whole {
            bytes.pop();
        }
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
