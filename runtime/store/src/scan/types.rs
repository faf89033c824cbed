//! What a scan is told and what it answers.

use std::collections::BTreeMap;

use super::cache::Stamp;
use crate::Id;

/// Decides which files belong to a project; may be asked from several threads at once.
pub trait Filter: Sync {
    /// Names the ignore files that are read in each directory, in rising order of precedence.
    fn ignore_file_names(&self) -> &[String];

    /// Enters a directory (relative, raw bytes, empty for the root) given its ignore files.
    ///
    /// Parents are entered before what is in them; a directory may be entered more than once.
    fn enter(&self, dir: &[u8], ignore_files: &[(String, Vec<u8>)]) -> Box<dyn DirFilter + '_>;

    /// Names all rules that do not come from ignore files: two filters of one fingerprint decide
    /// alike as long as the ignore files are alike. `None` when that cannot be said.
    ///
    /// Names that the stat cache knows are then not asked about again.
    fn fingerprint(&self) -> Option<Id> {
        None
    }
}

/// Decides about the names of one directory.
pub trait DirFilter: Send + Sync {
    /// Says whether a name belongs to the project; an excluded directory is never entered.
    fn keep(&self, name: &[u8], is_dir: bool) -> bool;
}

/// One file system object of a project. Owner and group are deliberately absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// Path relative to the project, raw bytes, `/` between components; empty for the root.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: ScannedKind,
    /// Permission bits, set-id bits and sticky bit (`07777`).
    pub mode: u32,
    /// Modification time in nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Extended attributes of the `user.` name space.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What a scanned object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScannedKind {
    /// A regular file, its content stored.
    Regular {
        /// The content.
        blob: Id,
        /// Its length in bytes.
        size: u64,
    },
    /// A directory.
    Dir,
    /// A symbolic link; never followed.
    Symlink {
        /// Where it points, raw bytes.
        target: Vec<u8>,
    },
    /// A named pipe; never opened.
    Fifo,
    /// A character device.
    Char {
        /// Its device number.
        rdev: u64,
    },
    /// A block device.
    Block {
        /// Its device number.
        rdev: u64,
    },
}

/// Something a person should know about a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The path it is about, relative, raw bytes.
    pub path: Vec<u8>,
    /// What happened.
    pub reason: NoteReason,
}

/// Why an object is missing from a scan or deserves a second look.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoteReason {
    /// It may not be read; it is absent from the answer.
    Unreadable {
        /// The system's words.
        message: String,
    },
    /// It went away while the scan ran; treated as gone.
    Vanished,
    /// A socket; sockets are no content.
    Socket,
    /// It changed each time it was read; the answer holds the last content read.
    Changing,
}

/// Counts the work of a scan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanCounts {
    /// Objects looked at by `statx`.
    pub stated: u64,
    /// Directories whose names had to be read again.
    pub listed: u64,
    /// Files whose content was read and hashed.
    pub hashed: u64,
    /// Bytes read from those files.
    pub bytes: u64,
}

/// Answers a scan of a whole project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanReport {
    /// Everything found, the root first, each directory before its content, siblings in byte order.
    pub entries: Vec<Scanned>,
    /// What a person should know.
    pub notes: Vec<Note>,
    /// How much was done.
    pub counts: ScanCounts,
    /// True when every entry is exactly as the stat cache remembered it.
    pub unchanged: bool,
    /// The stamp of the stat cache, if this scan wrote one.
    pub saved: Option<Stamp>,
}

/// Answers a scan that need not tell what its caller knows.
#[derive(Debug, Clone)]
pub enum Rescan {
    /// Everything: there was no usable stat cache, or nobody left a note about it.
    All(ScanReport),
    /// What differs from the state the note is about.
    Since {
        /// The bytes given to [`note`](super::note).
        note: Vec<u8>,
        /// What is new or other, and what is gone since.
        changes: PathsReport,
        /// The stamp of the stat cache, if this scan wrote one.
        saved: Option<Stamp>,
    },
}

/// Answers a look at dirty paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathsReport {
    /// What exists and belongs to the project now, sorted by path, parents first.
    pub present: Vec<Scanned>,
    /// Asked paths that do not exist or do not belong to the project (with all below them).
    pub gone: Vec<Vec<u8>>,
    /// Directories that were walked: whatever was known below them and is not in `present` is gone.
    pub walked: Vec<Vec<u8>>,
    /// What a person should know.
    pub notes: Vec<Note>,
    /// How much was done.
    pub counts: ScanCounts,
}
