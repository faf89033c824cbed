//! The files of a directory or of a tar archive, by name.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{LocalError, MAX_DOCUMENT};
use crate::digest::Digest;
use crate::layer::Limits;
use crate::layer::decompress::decompressor;
use crate::media::Compression;

/// Links between members followed one after the other.
const MAX_LINKS: usize = 8;
/// Members of an archive that are looked at.
const MAX_MEMBERS: usize = 1 << 20;

/// Is a place with files in it.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Directory,
    Archive {
        file: Arc<File>,
        members: HashMap<String, Member>,
    },
}

#[derive(Debug)]
enum Member {
    File { offset: u64, size: u64 },
    Link(String),
}

impl Files {
    pub(super) fn directory(path: &Path) -> Files {
        Files {
            path: path.to_owned(),
            kind: Kind::Directory,
        }
    }

    /// Lists the members of an archive; a compressed one is decompressed into a file without a name in `work`.
    pub(super) fn archive(path: &Path, limits: Limits, work: &Path) -> Result<Files, LocalError> {
        let read = |source| LocalError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(read)?;
        let file = plain(file, limits, work).map_err(read)?;
        Files::opened(path, file)
    }

    pub(super) fn opened(path: &Path, file: File) -> Result<Files, LocalError> {
        let members = members(&file).map_err(|source| LocalError::Read {
            path: path.to_owned(),
            source,
        })?;
        let kind = Kind::Archive {
            file: Arc::new(file),
            members,
        };
        Ok(Files {
            path: path.to_owned(),
            kind,
        })
    }

    /// Opens a file; returns its length too. `what` says what the whole should be.
    pub(super) fn open(
        &self,
        name: &str,
        what: &'static str,
    ) -> Result<(Box<dyn Read + Send>, u64), LocalError> {
        let missing = || LocalError::Missing {
            path: self.path.clone(),
            member: name.to_owned(),
            what,
        };
        match &self.kind {
            Kind::Directory => {
                let path = self.path.join(name);
                let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
                match opened {
                    Ok((meta, file)) if meta.is_file() => Ok((Box::new(file), meta.len())),
                    Ok(_) => Err(missing()),
                    Err(error) if error.kind() == io::ErrorKind::NotFound && self.path.exists() => {
                        Err(missing())
                    }
                    Err(source) => Err(LocalError::Read { path, source }),
                }
            }
            Kind::Archive { file, members } => {
                let mut name = name.to_owned();
                for _ in 0..MAX_LINKS {
                    match members.get(&name) {
                        Some(Member::File { offset, size }) => {
                            let part = Part {
                                file: Arc::clone(file),
                                at: *offset,
                                end: offset + size,
                            };
                            return Ok((Box::new(part), *size));
                        }
                        Some(Member::Link(target)) => name.clone_from(target),
                        None => return Err(missing()),
                    }
                }
                Err(missing())
            }
        }
    }

    /// Reads a document whole.
    pub(super) fn read(&self, name: &str, what: &'static str) -> Result<Vec<u8>, LocalError> {
        let (reader, _) = self.open(name, what)?;
        let mut bytes = Vec::new();
        let read = reader.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes);
        let read = read.and_then(|count| match count as u64 > MAX_DOCUMENT {
            true => Err(io::Error::other("it is longer than 16 MiB")),
            false => Ok(()),
        });
        read.map_err(|source| LocalError::Read {
            path: self.path.join(name),
            source,
        })?;
        Ok(bytes)
    }

    /// Reads a document that is named by its digest, and checks that.
    pub(super) fn read_checked(
        &self,
        name: &str,
        wanted: &Digest,
        what: &'static str,
    ) -> Result<Vec<u8>, LocalError> {
        let bytes = self.read(name, what)?;
        if wanted.matches(&bytes) {
            return Ok(bytes);
        }
        Err(LocalError::WrongDigest {
            path: self.path.clone(),
            member: name.to_owned(),
            found: Digest::of(&bytes),
            wanted: wanted.clone(),
        })
    }
}

/// Tells by its first bytes how a file is compressed (RFC 1952, RFC 8878).
pub(super) fn compression_of(head: &[u8]) -> Compression {
    match head {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

fn plain(mut file: File, limits: Limits, work: &Path) -> io::Result<File> {
    let mut head = [0; 4];
    let count = file.read_at(&mut head, 0)?;
    let compression = compression_of(&head[..count]);
    if compression == Compression::None {
        return Ok(file);
    }
    file.seek(SeekFrom::Start(0))?;
    let most = limits.unpacked(file.metadata()?.len()).min(limits.bytes);
    let mut unpacked = tempfile::tempfile_in(work)?;
    let mut source = decompressor(BufReader::new(file), compression)?.take(most.saturating_add(1));
    if io::copy(&mut source, &mut unpacked)? > most {
        let problem = format!("it unpacks to over {most} bytes");
        return Err(io::Error::other(problem));
    }
    Ok(unpacked)
}

/// Reads the headers; contents are skipped by seeking.
fn members(file: &File) -> io::Result<HashMap<String, Member>> {
    let whole = Part {
        file: Arc::new(file.try_clone()?),
        at: 0,
        end: file.metadata()?.len(),
    };
    let end = whole.end;
    let mut archive = tar::Archive::new(whole);
    let mut members = HashMap::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let Some(name) = clean(&entry.path_bytes()) else {
            continue;
        };
        let kind = entry.header().entry_type();
        let member = if kind.is_file() || kind.is_contiguous() {
            let (offset, size) = (entry.raw_file_position(), entry.size());
            if offset.checked_add(size).is_none_or(|last| last > end) {
                return Err(io::Error::other(format!("`{name}` is cut off")));
            }
            Member::File { offset, size }
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name_bytes().unwrap_or_default();
            // Older engines linked layers that occur twice: `../ID/layer.tar`.
            let target = match kind.is_symlink() {
                true => [
                    name.rsplit_once('/').map_or("", |(dir, _)| dir).as_bytes(),
                    b"/",
                    &target,
                ]
                .concat(),
                false => target.into_owned(),
            };
            match clean(&target) {
                Some(target) => Member::Link(target),
                None => continue,
            }
        } else {
            continue;
        };
        members.insert(name, member);
        if members.len() > MAX_MEMBERS {
            return Err(io::Error::other("it has over a million members"));
        }
    }
    Ok(members)
}

/// Normalises a member's name; `None` for one that leaves the archive or is no text.
fn clean(name: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(name).ok()?;
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            other => parts.push(other),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Reads a part of a file without moving anybody's place in it.
struct Part {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let want = left.min(buffer.len());
        let count = self.file.read_at(&mut buffer[..want], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_archive_is_unpacked_no_further_than_its_limits() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("x.tar.gz");
        let archive = crate::tarball::Tarball::new()
            .file("a", &[0; 100_000])
            .end();
        std::fs::write(&path, crate::tarball::gzip(&archive)).expect("file");
        let open = |bytes| {
            let limits = Limits {
                bytes,
                ..Limits::default()
            };
            Files::archive(&path, limits, dir.path())
        };
        assert!(open(archive.len() as u64).is_ok());
        let error = open(archive.len() as u64 - 1).expect_err("too long");
        assert!(error.to_string().contains("unpacks to over"), "{error}");
    }

    #[test]
    fn names_stay_within_the_archive() {
        let table = [
            ("./blobs//sha256/x", Some("blobs/sha256/x")),
            ("a/../b", Some("b")),
            ("../x", None),
            ("/abs", Some("abs")),
            ("./", None),
        ];
        for (name, wanted) in table {
            assert_eq!(clean(name.as_bytes()).as_deref(), wanted, "{name}");
        }
        assert_eq!(clean(b"\xff"), None);
    }
}
