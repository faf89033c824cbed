//! The tar archive of a layer: ustar with PAX records where a field is too short, sorted, with nothing of the
//! machine or the moment in it.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use hd_dag::{Entry, Meta, Target, TreePath};
use hd_store::{Id, Store};
use tar::{Builder, EntryType, Header};

use super::changes::Item;
use super::{PackError, Style};

/// Bytes read of a file at a time.
const PIECE: usize = 1 << 20;
/// Longest name or link target of an ustar header, in bytes.
const NAME_MAX: usize = 100;
const WHITEOUT: &[u8] = b".wh.";

/// Writes what a layer says.
///
/// Returns the latest time of modification written, in seconds.
pub(crate) fn write(
    items: &[Item],
    store: &Store,
    style: &Style,
    out: impl Write,
) -> Result<i64, PackError> {
    let mut archive = Archive {
        builder: Builder::new(out),
        store,
        style,
        newest: 0,
        groups: HashMap::new(),
    };
    for item in items {
        match &item.put {
            Some((entry, mtime_ns)) => archive.put(&item.path, entry, *mtime_ns)?,
            None => archive.remove(&item.path)?,
        }
    }
    archive.builder.finish()?;
    Ok(archive.newest)
}

struct Archive<'a, W: Write> {
    builder: Builder<W>,
    store: &'a Store,
    style: &'a Style,
    newest: i64,
    /// First path of each hard-link group.
    groups: HashMap<u64, TreePath>,
}

impl<W: Write> Archive<'_, W> {
    fn remove(&mut self, path: &TreePath) -> Result<(), PackError> {
        let name = path.file_name().unwrap_or_default();
        let mut marker = path.parent_bytes().unwrap_or_default().to_vec();
        if !marker.is_empty() {
            marker.push(b'/');
        }
        marker.extend_from_slice(WHITEOUT);
        marker.extend_from_slice(name);
        let mut member = Member::new(EntryType::Regular, &marker, (&Meta::new(0), (0, 0)), 0);
        self.append(&mut member, io::empty())
    }

    fn put(&mut self, path: &TreePath, entry: &Entry, mtime_ns: i64) -> Result<(), PackError> {
        if path
            .file_name()
            .is_some_and(|name| name.starts_with(WHITEOUT))
        {
            return Err(PackError::Unsayable {
                path: path.to_string(),
                problem: "names that begin with .wh. mean that a file is gone",
            });
        }
        let seconds = self.time(mtime_ns);
        let meta = (&entry.meta, self.style.owner(path, &entry.meta));
        let member = |kind| Member::new(kind, path.as_bytes(), meta, seconds);
        match &entry.target {
            Target::Dir { .. } => {
                let name = [path.as_bytes(), b"/"].concat();
                let mut dir = Member::new(EntryType::Directory, &name, meta, seconds);
                self.append(&mut dir, io::empty())
            }
            Target::Regular {
                blob,
                size,
                link_group,
            } => {
                if let Some(first) = link_group.and_then(|group| self.groups.get(&group)) {
                    let mut link = member(EntryType::Link);
                    link.target(first.clone().as_bytes());
                    return self.append(&mut link, io::empty());
                }
                if let Some(group) = link_group {
                    self.groups.insert(*group, path.clone());
                }
                let mut file = member(EntryType::Regular);
                file.header.set_size(*size);
                self.file(path, &mut file, *blob, *size)
            }
            Target::Symlink { target } => {
                let mut link = member(EntryType::Symlink);
                link.target(target);
                self.append(&mut link, io::empty())
            }
            Target::Fifo => self.append(&mut member(EntryType::Fifo), io::empty()),
            Target::Char { rdev } => self.device(path, member(EntryType::Char), *rdev),
            Target::Block { rdev } => self.device(path, member(EntryType::Block), *rdev),
            // A composed tree has none.
            Target::Whiteout => self.remove(path),
        }
    }

    fn device(&mut self, path: &TreePath, mut member: Member, rdev: u64) -> Result<(), PackError> {
        let split = (major(rdev), minor(rdev));
        let set = member
            .header
            .set_device_major(split.0)
            .and_then(|()| member.header.set_device_minor(split.1));
        set.map_err(|_| PackError::Unsayable {
            path: path.to_string(),
            problem: "its device number is too large",
        })?;
        self.append(&mut member, io::empty())
    }

    fn file(
        &mut self,
        path: &TreePath,
        member: &mut Member,
        blob: Id,
        size: u64,
    ) -> Result<(), PackError> {
        let mut content = Content {
            store: self.store,
            blob,
            at: 0,
            size,
            piece: io::Cursor::default(),
            failed: None,
        };
        let done = self.append(member, &mut content);
        match content.failed {
            Some(source) => Err(PackError::Content {
                path: path.to_string(),
                source,
            }),
            None => done,
        }
    }

    fn append(&mut self, member: &mut Member, content: impl Read) -> Result<(), PackError> {
        for (key, _) in &member.pax {
            if key.contains('=') {
                return Err(PackError::Unsayable {
                    path: String::from_utf8_lossy(&member.name).into_owned(),
                    problem: "the name of an extended attribute holds `=`",
                });
            }
        }
        let records = member.pax.iter();
        self.builder
            .append_pax_extensions(records.map(|(key, value)| (key.as_str(), value.as_slice())))?;
        member.header.set_cksum();
        Ok(self.builder.append(&member.header, content)?)
    }

    /// Whole seconds, as other tools write them, not after the latest and not before 1970.
    fn time(&mut self, mtime_ns: i64) -> i64 {
        let seconds = mtime_ns.div_euclid(1_000_000_000).max(0);
        let seconds = self
            .style
            .latest
            .map_or(seconds, |latest| seconds.min(latest));
        self.newest = self.newest.max(seconds);
        seconds
    }
}

/// Linux's split of a device number (`makedev(3)`).
fn major(rdev: u64) -> u32 {
    (((rdev >> 8) & 0xfff) | ((rdev >> 32) & 0xffff_f000)) as u32
}

fn minor(rdev: u64) -> u32 {
    ((rdev & 0xff) | ((rdev >> 12) & 0xffff_ff00)) as u32
}

/// Is one header with the records before it.
struct Member {
    name: Vec<u8>,
    header: Header,
    pax: Vec<(String, Vec<u8>)>,
}

impl Member {
    fn new(
        kind: EntryType,
        name: &[u8],
        (meta, (uid, gid)): (&Meta, (u32, u32)),
        seconds: i64,
    ) -> Member {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(meta.mode);
        header.set_size(0);
        header.set_mtime(seconds.unsigned_abs());
        let mut member = Member {
            name: name.to_vec(),
            header,
            pax: Vec::new(),
        };
        if !fits(name) {
            member.pax.push(("path".to_owned(), name.to_vec()));
        }
        copy(&mut member.header.as_old_mut().name, name);
        member.owner("uid", uid);
        member.owner("gid", gid);
        for (key, value) in &meta.xattrs {
            let key = format!("SCHILY.xattr.{}", String::from_utf8_lossy(key));
            member.pax.push((key, value.clone()));
        }
        member
    }

    /// Seven octal digits hold ids below 2^21; a record says what is larger.
    fn owner(&mut self, field: &str, id: u32) {
        let short = if id < 1 << 21 { u64::from(id) } else { 0 };
        match field {
            "uid" => self.header.set_uid(short),
            _ => self.header.set_gid(short),
        }
        if short != u64::from(id) {
            self.pax
                .push((field.to_owned(), id.to_string().into_bytes()));
        }
    }

    fn target(&mut self, target: &[u8]) {
        if !fits(target) {
            self.pax.push(("linkpath".to_owned(), target.to_vec()));
        }
        copy(&mut self.header.as_old_mut().linkname, target);
    }
}

/// Readers disagree about bytes beyond ASCII in a header; a record leaves no doubt.
fn fits(name: &[u8]) -> bool {
    name.len() <= NAME_MAX && name.is_ascii()
}

fn copy(field: &mut [u8; NAME_MAX], text: &[u8]) {
    let len = text.len().min(NAME_MAX);
    field[..len].copy_from_slice(&text[..len]);
}

/// Reads a blob piece by piece.
struct Content<'a> {
    store: &'a Store,
    blob: Id,
    at: u64,
    size: u64,
    piece: io::Cursor<Vec<u8>>,
    failed: Option<hd_store::Error>,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.piece.read(buffer)?;
        let left = self.size - self.at;
        if count > 0 || buffer.is_empty() || left == 0 {
            return Ok(count);
        }
        let want = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        match self.store.read_blob_at(&self.blob, self.at, want) {
            Ok(bytes) if bytes.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => {
                self.at += bytes.len() as u64;
                self.piece = io::Cursor::new(bytes);
                self.piece.read(buffer)
            }
            Err(error) => {
                self.failed = Some(error);
                Err(io::Error::other("the content cannot be read"))
            }
        }
    }
}
