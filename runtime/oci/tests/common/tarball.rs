//! Tar archives for tests, legal and otherwise.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::Write;

use tar::{EntryType, Header};

/// Builds an archive entry by entry.
#[derive(Default)]
pub(crate) struct Tarball(Vec<u8>);

impl Tarball {
    pub(crate) fn new() -> Tarball {
        Tarball::default()
    }

    pub(crate) fn dir(self, path: &str) -> Tarball {
        self.put(EntryType::Directory, path, "", b"", 0o755)
    }

    pub(crate) fn file(self, path: &str, content: &[u8]) -> Tarball {
        self.put(EntryType::Regular, path, "", content, 0o644)
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Tarball {
        self.put(EntryType::Symlink, path, target, b"", 0o777)
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Tarball {
        self.put(EntryType::Link, path, target, b"", 0o600)
    }

    pub(crate) fn put(
        self,
        kind: EntryType,
        path: &str,
        target: &str,
        content: &[u8],
        mode: u32,
    ) -> Tarball {
        self.header(kind, path.as_bytes(), content, |header| {
            header.set_mode(mode);
            field(&mut header.as_old_mut().linkname, target.as_bytes());
        })
    }

    /// Adds an entry with a header of one's own.
    pub(crate) fn header(
        mut self,
        kind: EntryType,
        path: &[u8],
        content: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Tarball {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        field(&mut header.as_old_mut().name, path);
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.content(content)
    }

    /// Adds an extended header for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Tarball {
        let body: Vec<u8> = records
            .iter()
            .flat_map(|(key, value)| record(key, value))
            .collect();
        self.header(EntryType::XHeader, b"pax", &body, |_| {})
    }

    /// Adds a GNU long name for the next entry.
    pub(crate) fn long_name(self, name: &str) -> Tarball {
        let body = [name.as_bytes(), b"\0"].concat();
        self.header(EntryType::GNULongName, b"././@LongLink", &body, |_| {})
    }

    pub(crate) fn content(mut self, content: &[u8]) -> Tarball {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Ends the archive with its two empty blocks.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    /// Ends the archive without them.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.0
    }
}

fn field(slot: &mut [u8], value: &[u8]) {
    assert!(value.len() <= slot.len(), "use pax for {value:?}");
    slot[..value.len()].copy_from_slice(value);
}

/// Makes one extended header record, whose length counts itself.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let head = format!("{length} {key}=");
    [head.as_bytes(), value, b"\n"].concat()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::fast();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).expect("gzip");
    encoder.finish().expect("gzip")
}
