//! System calls of a scan. Nothing here follows a symbolic link or leaves the project.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use rustix::fs::{
    FileType, Mode, OFlags, RawDir, ResolveFlags, fgetxattr, flistxattr, flistxattr_query, openat,
    openat2, readlinkat,
};
use rustix::io::Errno;

use crate::stat::FileStat;

/// Bytes of an ignore file that are read; longer ones are cut.
const IGNORE_FILE_LIMIT: usize = 1 << 20;
/// The kernel takes paths of less than 4096 bytes at once.
const PATH_STEP: usize = 4000;

/// Opens something below `root` without following any link.
pub(super) fn open_below(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let mut from: Option<OwnedFd> = None;
    let mut rest = path;
    while rest.len() > PATH_STEP {
        // Very deep paths go in steps that end at a component.
        let cut = rest[..PATH_STEP]
            .iter()
            .rposition(|byte| *byte == b'/')
            .ok_or(Errno::NAMETOOLONG)?;
        let dir = open_step(
            from.as_ref().map_or(root, OwnedFd::as_fd),
            &rest[..cut],
            OFlags::PATH | OFlags::DIRECTORY,
        )?;
        from = Some(dir);
        rest = &rest[cut + 1..];
    }
    let rest = if rest.is_empty() { b"." } else { rest };
    open_step(from.as_ref().map_or(root, OwnedFd::as_fd), rest, flags)
}

fn open_step(dir: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(dir, path, flags, Mode::empty(), beneath) {
            // A rename raced with the check that nothing leaves the root.
            Err(Errno::AGAIN | Errno::INTR) => {}
            done => return done,
        }
    }
}

/// A name of a directory, with what the listing says about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    pub(super) name: Vec<u8>,
    /// `None` when the file system does not tell.
    pub(super) is_dir: Option<bool>,
    pub(super) is_regular: bool,
}

/// Opens a directory (given by an `O_PATH` descriptor) for reading.
pub(super) fn readable(dir: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    openat(
        dir,
        c".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Lists a directory in byte order of the names.
pub(super) fn list(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<Listed>> {
    let mut buffer = vec![MaybeUninit::uninit(); 64 << 10];
    let mut entries = RawDir::new(dir, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            let is_dir = match entry.file_type() {
                FileType::Unknown => None,
                kind => Some(kind == FileType::Directory),
            };
            names.push(Listed {
                name: name.to_vec(),
                is_dir,
                is_regular: entry.file_type() == FileType::RegularFile,
            });
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Asks about a name in a directory.
pub(super) fn stat_name(dir: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<FileStat> {
    FileStat::at(dir, name, rustix::fs::AtFlags::empty())
}

pub(super) fn read_link(dir: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Vec<u8>> {
    readlinkat(dir, name, Vec::new()).map(CString::into_bytes)
}

/// A directory below the root from which files are opened; its descriptor lives as long as it does.
///
/// Going down from the root for each file would cost more than reading a small one.
#[derive(Debug)]
pub(super) struct Door<'r> {
    root: BorrowedFd<'r>,
    path: &'r [u8],
    dir: OnceLock<OwnedFd>,
}

impl<'r> Door<'r> {
    pub(super) fn new(root: BorrowedFd<'r>, path: &'r [u8]) -> Door<'r> {
        let dir = OnceLock::new();
        Door { root, path, dir }
    }

    pub(super) fn leads_to(&self, path: &[u8]) -> bool {
        self.path == path
    }

    /// Opens a file whose content is wanted: never waits, not even if it has become a FIFO.
    pub(super) fn open(&self, name: &[u8]) -> io::Result<OwnedFd> {
        let dir = match self.dir.get() {
            Some(dir) => dir,
            None => {
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                let opened = open_below(self.root, self.path, flags)?;
                self.dir.get_or_init(|| opened)
            }
        };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(dir, name, flags, Mode::empty())?)
    }
}

/// Reads an ignore file; `None` when it is not a regular file that can be read.
pub(super) fn read_ignore_file(dir: BorrowedFd<'_>, name: &[u8]) -> Option<Vec<u8>> {
    let file = open_step(
        dir,
        name,
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
    )
    .ok()?;
    let stat = FileStat::of(&file).ok().filter(FileStat::is_regular)?;
    let mut bytes = vec![0; usize::try_from(stat.size).ok()?.min(IGNORE_FILE_LIMIT)];
    let file = std::fs::File::from(file);
    let mut len = 0;
    while len < bytes.len() {
        match file.read_at(&mut bytes[len..], len as u64) {
            Ok(0) => break,
            Ok(got) => len += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    bytes.truncate(len);
    Some(bytes)
}

/// Extended attributes by name.
pub(super) type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;

/// Reads the `user.` attributes of an open file; a file system without them has none.
pub(super) fn user_attributes(file: impl AsFd) -> rustix::io::Result<Attributes> {
    let mut attributes = Attributes::new();
    let mut names = Vec::new();
    loop {
        let len = match flistxattr_query(&file) {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(attributes),
            Ok(len) => len,
            Err(error) => return Err(error),
        };
        names.resize(len, 0_u8);
        match flistxattr(&file, &mut names[..]) {
            Ok(len) => break names.truncate(len),
            Err(Errno::RANGE) => {}
            Err(error) => return Err(error),
        }
    }
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| name.starts_with(b"user."))
    {
        // The kernel's limit for a value (XATTR_SIZE_MAX).
        let mut value = vec![0_u8; 64 << 10];
        match fgetxattr(&file, name, &mut value[..]) {
            Ok(len) => {
                value.truncate(len);
                attributes.insert(name.to_vec(), value);
            }
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(attributes)
}

/// Encodes attributes for the stat cache.
pub(super) fn encode_attributes(attributes: &Attributes) -> Vec<u8> {
    let mut out = Vec::new();
    for part in attributes.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(&(part.len() as u32).to_le_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// Decodes what [`encode_attributes`] made; `None` for anything else.
pub(super) fn decode_attributes(mut bytes: &[u8]) -> Option<Attributes> {
    let mut attributes = Attributes::new();
    while !bytes.is_empty() {
        let name = take_part(&mut bytes)?;
        let value = take_part(&mut bytes)?;
        attributes.insert(name, value);
    }
    Some(attributes)
}

fn take_part(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *bytes = rest;
    Some(part.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_survive_the_cache() {
        let pair = |n: &[u8], v: &[u8]| (n.to_vec(), v.to_vec());
        let attributes: Attributes = [pair(b"user.a", b""), pair(b"user.b\xff", b"1\x002")].into();
        let encoded = encode_attributes(&attributes);
        assert_eq!(decode_attributes(&encoded), Some(attributes));
        assert_eq!(decode_attributes(&encoded[..encoded.len() - 1]), None);
        assert_eq!(decode_attributes(&[]), Some(Attributes::new()));
    }
}
