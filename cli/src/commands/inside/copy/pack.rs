//! What lies on this machine, as a stream of tar that every `tar` understands.
//!
//! A file is as long in the stream as it was when its turn came: it may grow while it is read.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::Stopped;
use crate::output::Output;

/// Packs `source` under a name; under none, what is in it.
pub(super) fn pack(
    to: impl Write,
    source: &Path,
    name: &Path,
    output: Output,
) -> Result<(), Stopped> {
    let mut packer = Packer {
        stream: tar::Builder::new(Gate(Some(to))),
        output,
    };
    match packer.tree(source, name) {
        Ok(()) => packer.end().map_err(|error| Stopped {
            path: source.to_path_buf(),
            error,
        }),
        Err(stopped) => {
            packer.break_off();
            Err(stopped)
        }
    }
}

struct Packer<W: Write> {
    stream: tar::Builder<Gate<W>>,
    output: Output,
}

impl<W: Write> Packer<W> {
    fn tree(&mut self, source: &Path, name: &Path) -> Result<(), Stopped> {
        let mut rest = vec![(source.to_path_buf(), name.to_path_buf())];
        while let Some((path, name)) = rest.pop() {
            match self.one(&path, &name) {
                Ok(below) => rest.extend(below),
                // Gone since its directory was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound && path != source => {}
                Err(error) => return Err(Stopped { path, error }),
            }
        }
        Ok(())
    }

    /// Packs one thing; answers what is in it, and the names of that.
    fn one(&mut self, path: &Path, name: &Path) -> io::Result<Vec<(PathBuf, PathBuf)>> {
        let meta = fs::symlink_metadata(path)?;
        let kind = meta.file_type();
        let mut below = Vec::new();
        if kind.is_dir() {
            for one in fs::read_dir(path)? {
                let one = one?;
                below.push((one.path(), name.join(one.file_name())));
            }
            if !name.as_os_str().is_empty() {
                self.stream
                    .append_data(&mut header(&meta), name, io::empty())?;
            }
        } else if kind.is_symlink() {
            let target = fs::read_link(path)?;
            self.stream.append_link(&mut header(&meta), name, target)?;
        } else if kind.is_file() {
            self.file(path, name)?;
        } else if kind.is_fifo() {
            self.stream
                .append_data(&mut header(&meta), name, io::empty())?;
        } else {
            let what = if kind.is_socket() { "socket" } else { "device" };
            self.say(&format!("{} is a {what}: left out", path.display()));
        }
        Ok(below)
    }

    fn file(&mut self, path: &Path, name: &Path) -> io::Result<()> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        let mut content = Content {
            from: file,
            left: meta.len(),
            is_short: false,
            has_failed: false,
        };
        let packed = self
            .stream
            .append_data(&mut header(&meta), name, &mut content);
        if content.has_failed {
            // It ends within a file, which no tar takes for its end.
            self.stream.get_mut().close();
        }
        if content.is_short {
            let path = path.display();
            self.say(&format!(
                "{path} became shorter while it was read: filled up with zeros"
            ));
        }
        packed
    }

    fn say(&self, line: &str) {
        self.output.talk(&format!("hd cp: {line}"));
    }

    fn end(self) -> io::Result<()> {
        self.stream.into_inner().map(drop)
    }

    /// Ends the stream so that it cannot be taken for a whole one: with the header of a long name that does not follow.
    fn break_off(mut self) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(1);
        // Where nobody reads any more, nobody takes it for a whole one.
        let _ = self.stream.append_data(&mut header, "broken", io::empty());
        self.stream.get_mut().close();
    }
}

fn header(meta: &fs::Metadata) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_metadata(meta);
    header
}

/// The way out. Once closed it stays so: a dropped `tar::Builder` ends its stream as if it were whole.
struct Gate<W>(Option<W>);

impl<W> Gate<W> {
    fn close(&mut self) {
        self.0 = None;
    }
}

impl<W: Write> Write for Gate<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(to) => to.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// So many bytes of a file, whatever becomes of it.
struct Content<R> {
    from: R,
    left: u64,
    /// It ended early: the rest is zeros.
    is_short: bool,
    has_failed: bool,
}

impl<R: Read> Read for Content<R> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(piece.len(), |left| left.min(piece.len()));
        let piece = &mut piece[..most];
        let length = match self.from.read(piece) {
            Ok(0) if most > 0 => {
                self.is_short = true;
                piece.fill(0);
                most
            }
            Ok(length) => length,
            Err(error) => {
                self.has_failed = error.kind() != io::ErrorKind::Interrupted;
                return Err(error);
            }
        };
        self.left -= length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content<R: Read>(from: R, left: u64) -> Content<R> {
        Content {
            from,
            left,
            is_short: false,
            has_failed: false,
        }
    }

    #[test]
    fn a_file_is_as_long_as_it_was() {
        for (text, expected, is_short) in [
            ("four and more", "four", false),
            ("four", "four", false),
            ("fo", "fo\0\0", true),
        ] {
            let mut content = content(text.as_bytes(), 4);
            assert_eq!(io::read_to_string(&mut content).unwrap(), expected);
            assert_eq!(content.is_short, is_short, "{text}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_from_one_that_is_short() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("a bad block"))
            }
        }
        let mut content = content((&b"ab"[..]).chain(Broken), 4);
        assert!(io::read_to_string(&mut content).is_err());
        assert!(content.has_failed && !content.is_short);
    }

    #[test]
    fn a_closed_gate_lets_nothing_through() {
        let mut out = Vec::new();
        let mut stream = tar::Builder::new(Gate(Some(&mut out)));
        stream.get_mut().close();
        drop(stream);
        assert!(out.is_empty());
    }
}
