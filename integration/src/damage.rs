//! Ways a disk hurts a store.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What happens to a segment, or to its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One bit is another.
    BitFlip,
    /// The file ends early.
    Truncation,
    /// Two blocks have changed places: sound bytes of something else.
    Swap,
    /// A block of zeros, as after a cut of power.
    ZeroBlock,
    /// The file is gone.
    MissingSegment,
    /// Its index is garbage.
    BadIndex,
}

/// Every kind.
pub const KINDS: [Kind; 6] = [
    Kind::BitFlip,
    Kind::Truncation,
    Kind::Swap,
    Kind::ZeroBlock,
    Kind::MissingSegment,
    Kind::BadIndex,
];

/// Bytes of a block.
const BLOCK: usize = 512;
/// Bytes of a segment's own header.
const HEADER: u64 = 32;

/// All segment files below an `HD_HOME`, sorted by size, the largest first.
pub fn segments(home: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let shards = fs::read_dir(home.join("cas/objects")).expect("list the store");
    for shard in shards {
        let shard = shard.expect("a shard").path();
        let files = fs::read_dir(shard).expect("list a shard");
        found.extend(files.map(|file| file.expect("a file").path()));
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    found.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).map_or(0, |meta| meta.len())));
    found
}

/// Hurts the largest segment at a share (0 to 1) of its length.
pub fn hurt(home: &Path, kind: Kind, share: f64) {
    let path = segments(home).first().cloned().expect("a segment");
    let file = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .expect("open a segment");
    let len = file.metadata().expect("its size").len();
    let at = HEADER + ((len - HEADER) as f64 * share) as u64;
    let at = at.min(len - 1);
    match kind {
        Kind::BitFlip => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).expect("read");
            file.write_all_at(&[byte[0] ^ 0x10], at).expect("write");
        }
        Kind::Truncation => file.set_len(at).expect("cut"),
        Kind::Swap => {
            let block = BLOCK.min((len - at) as usize);
            let other = HEADER + (at - HEADER + len / 2) % (len - HEADER - block as u64).max(1);
            let (mut one, mut two) = (vec![0; block], vec![0; block]);
            file.read_exact_at(&mut one, at).expect("read");
            file.read_exact_at(&mut two, other).expect("read");
            file.write_all_at(&two, at).expect("write");
            file.write_all_at(&one, other).expect("write");
        }
        Kind::ZeroBlock => {
            let block = BLOCK.min((len - at) as usize);
            file.write_all_at(&vec![0; block], at).expect("write");
        }
        Kind::MissingSegment => fs::remove_file(&path).expect("remove"),
        Kind::BadIndex => {
            fs::write(path.with_extension("idx"), b"hdindx01 garbage").expect("write")
        }
    }
}
