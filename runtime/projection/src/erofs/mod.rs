//! Writes a tree as an EROFS image that holds names and attributes but no content.
//!
//! A regular file is one hole of its size with the two attributes by which overlayfs finds its
//! content in a data-only layer: `trusted.overlay.metacopy` and `trusted.overlay.redirect`, the
//! path `/<id>` of its object. An empty file needs none. Everything else is whole.
//!
//! Sources: kernel `Documentation/filesystems/erofs.rst`, `fs/erofs/erofs_fs.h` (the format) and
//! `Documentation/filesystems/overlayfs.rst`, "Data-only lower layers". Equal trees give equal
//! bytes: nothing of the time, place or machine enters an image.

mod directory;
mod format;
mod image;
mod tree;
mod xattr;

pub use image::image;
pub use tree::{Content, Description, Inode, describe, elsewhere};

/// What stands in the way of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErofsError {
    /// An inode has more than the format can say.
    #[error("{path}: {what} cannot be said in an EROFS image")]
    Beyond {
        /// Where, escaped for display.
        path: String,
        /// What there is too much of.
        what: &'static str,
    },
    /// The tree cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

/// Bytes asked for at once: of more the kernel reads the beginning only, which is at least this
/// (`force_page_cache_ra` in mm/readahead.c, and `read_ahead_kb` of a disk).
const AHEAD: u64 = 128 << 10;

/// Has the kernel read a written image into memory, without waiting for it.
///
/// What is mounted of a file is otherwise read page by page, as names are looked up: the first `stat` of a
/// whole tree then waits for thousands of single reads of the disk. Where that cannot be asked for, it stays so.
pub fn read_ahead(image: &std::path::Path) {
    let Ok(file) = std::fs::File::open(image) else {
        return;
    };
    let length = file.metadata().map_or(0, |found| found.len());
    for start in (0..length).step_by(AHEAD as usize) {
        let advice = rustix::fs::Advice::WillNeed;
        if rustix::fs::fadvise(&file, start, std::num::NonZeroU64::new(AHEAD), advice).is_err() {
            return;
        }
    }
}

/// Gives the path of an object in a data-only layer, without the slash at its begin.
pub fn object_path(id: &hd_store::Id) -> String {
    id.to_string()
}
