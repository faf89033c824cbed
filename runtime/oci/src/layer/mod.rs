//! Layers as the OCI image specification defines them ("layer.md"): tar archives of changes.
//!
//! [`tar`] turns bytes into entries, [`draft`] gathers the entries of one layer into a tree of changes with every
//! link resolved that the layer alone can resolve. Neither touches a path of the host.

pub(crate) mod decompress;
pub(crate) mod draft;
pub(crate) mod entry;
pub(crate) mod path;
pub(crate) mod pax;
pub(crate) mod sparse;
pub(crate) mod tar;

/// Bounds what one layer may hold, so that a small download cannot fill a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of the unpacked archive.
    pub bytes: u64,
    /// Unpacked bytes per compressed byte, looked at beyond [`Limits::RATIO_FREE_BYTES`].
    pub ratio: u64,
}

impl Limits {
    /// Unpacked bytes below which no ratio is suspicious: a sparse file packs very well.
    pub const RATIO_FREE_BYTES: u64 = 1 << 30;

    /// Returns how many bytes `packed` ones may unpack to by the ratio.
    pub(crate) fn unpacked(&self, packed: u64) -> u64 {
        let most = packed.saturating_mul(self.ratio);
        most.max(Limits::RATIO_FREE_BYTES)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            entries: 5_000_000,
            bytes: 256 << 30,
            ratio: 400,
        }
    }
}

/// Says why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// Reading or decompressing failed.
    #[error("cannot be read: {0}")]
    Read(#[source] std::io::Error),
    /// The archive is malformed.
    #[error("is no valid tar archive: {problem} at byte {offset}")]
    Malformed {
        /// What is wrong.
        problem: String,
        /// Offset of the header concerned in the unpacked archive.
        offset: u64,
    },
    /// A name or link target cannot be part of an image.
    #[error("holds the illegal name `{name}`: {problem}")]
    Name {
        /// The name, escaped.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The same path occurs twice, which the specification forbids.
    #[error("holds `{path}` twice")]
    Duplicate {
        /// The path, escaped.
        path: String,
    },
    /// An entry lies under something that is not a directory.
    #[error("puts `{path}` under `{parent}`, which is not a directory")]
    UnderFile {
        /// The entry.
        path: String,
        /// Its parent.
        parent: String,
    },
    /// A hard link leads to nothing, or to a directory.
    #[error("has a hard link `{path}` to `{target}`, {problem}")]
    HardLink {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
        /// What is wrong with that.
        problem: &'static str,
    },
    /// A limit was exceeded.
    #[error("exceeds the limit of {limit} {what}")]
    Limit {
        /// The bound.
        limit: u64,
        /// What it bounds.
        what: &'static str,
    },
    /// `/dev`, `/proc` or `/sys` is not a directory (CVE-2023-27561 and kin).
    #[error("makes `/{path}` something other than a directory")]
    NotADirectory {
        /// The path.
        path: String,
    },
}

impl From<std::io::Error> for LayerError {
    fn from(error: std::io::Error) -> LayerError {
        LayerError::Read(error)
    }
}

/// Shows raw bytes in a message: what is not printable is escaped.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    match text.char_indices().nth(200) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}
