//! The structures of the format, as bytes.

use hd_dag::Kind;

use crate::attr::Attr;

/// Bytes of a block.
pub(super) const BLOCK: usize = 4096;
/// Where inodes begin: behind the superblock.
pub(super) const INODES_FROM: usize = SUPER_AT + SUPER;
/// Bytes between the places an inode may stand at; its number counts them from the image's begin.
pub(super) const SLOT: usize = 32;
/// Bytes of an inode of the extended form.
pub(super) const INODE: usize = 64;
/// Bytes of a chunk's address.
pub(super) const CHUNK: usize = 4;

const SUPER_AT: usize = 1024;
const SUPER: usize = 128;
const MAGIC: u32 = 0xe0f5_e1e2;
/// The checksum of the superblock counts.
const COMPAT_CHECKSUM: u32 = 1;
/// Files may be made of chunks.
const INCOMPAT_CHUNKED: u32 = 4;
const BLOCK_BITS: u32 = BLOCK.trailing_zeros();
/// The address of a chunk that is a hole.
const HOLE: u32 = u32::MAX;
/// A chunk has at most so many blocks, as a power of two.
const CHUNK_BITS_MAX: u32 = 31;
/// Bit of the extended form.
const EXTENDED: u16 = 1;

/// Where the content of an inode stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// In whole blocks from this one on.
    Plain(u32),
    /// In whole blocks from this one on, and the rest behind the inode.
    Inline(u32),
    /// In one chunk, which is a hole.
    Hole,
    /// A device and its number.
    Device(u32),
}

/// What an inode says besides its attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// Where its content is.
    pub(super) layout: Layout,
    /// Bytes of its content.
    pub(super) size: u64,
    /// Bytes of its extended attributes.
    pub(super) xattrs: usize,
    /// Names it has.
    pub(super) links: u32,
    /// Its number in order, for programs of 32 bits.
    pub(super) order: u32,
}

/// Gives the type of a directory entry.
pub(super) fn file_type(kind: Kind) -> u8 {
    match kind {
        Kind::Regular => 1,
        Kind::Dir => 2,
        Kind::Char | Kind::Whiteout => 3,
        Kind::Block => 4,
        Kind::Fifo => 5,
        Kind::Socket => 6,
        Kind::Symlink => 7,
    }
}

fn mode_of(kind: Kind) -> u32 {
    match kind {
        Kind::Regular => libc::S_IFREG,
        Kind::Dir => libc::S_IFDIR,
        Kind::Char | Kind::Whiteout => libc::S_IFCHR,
        Kind::Block => libc::S_IFBLK,
        Kind::Fifo => libc::S_IFIFO,
        Kind::Socket => libc::S_IFSOCK,
        Kind::Symlink => libc::S_IFLNK,
    }
}

/// Gives how many blocks the one chunk of a hole has, as a power of two; nothing when it cannot be
/// so large.
pub(super) fn hole_bits(size: u64) -> Option<u32> {
    let blocks = size.div_ceil(BLOCK as u64).max(1).next_power_of_two();
    Some(blocks.trailing_zeros()).filter(|bits| *bits <= CHUNK_BITS_MAX)
}

/// Writes an inode (`struct erofs_inode_extended`).
pub(super) fn put_inode(out: &mut [u8], attr: &Attr, said: &Said) {
    let (form, address) = match said.layout {
        Layout::Plain(block) => (0, block),
        Layout::Inline(block) => (2, block),
        Layout::Hole => (4, hole_bits(said.size).unwrap_or(CHUNK_BITS_MAX)),
        Layout::Device(number) => (0, number),
    };
    let seconds = attr.mtime_ns.div_euclid(1_000_000_000);
    let nanoseconds = attr.mtime_ns.rem_euclid(1_000_000_000) as u32;
    let mode = mode_of(attr.kind) | (attr.mode & 0o7777);
    put16(out, 0, EXTENDED | (form << 1));
    put16(out, 2, xattr_units(said.xattrs));
    put16(out, 4, mode as u16);
    put64(out, 8, said.size);
    put32(out, 16, address);
    put32(out, 20, said.order);
    put32(out, 24, attr.uid);
    put32(out, 28, attr.gid);
    put64(out, 32, seconds as u64);
    put32(out, 40, nanoseconds);
    put32(out, 44, said.links);
}

/// The header of the attributes counts as one unit, as does each of the four bytes behind it.
fn xattr_units(bytes: usize) -> u16 {
    match bytes {
        0 => 0,
        bytes => ((bytes - super::xattr::HEADER) / 4 + 1) as u16,
    }
}

/// Writes the address of the one chunk of a hole.
pub(super) fn put_hole(out: &mut [u8]) {
    put32(out, 0, HOLE);
}

/// Writes the superblock, its checksum last; `out` is the first block.
pub(super) fn put_super(out: &mut [u8], root: u16, inodes: u64, blocks: u32) {
    let at = SUPER_AT;
    put32(out, at, MAGIC);
    put32(out, at + 8, COMPAT_CHECKSUM);
    out[at + 12] = BLOCK_BITS as u8;
    put16(out, at + 14, root);
    put64(out, at + 16, inodes);
    put32(out, at + 36, blocks);
    put32(out, at + 80, INCOMPAT_CHUNKED);
    // The kernel's crc32c is not inverted at its end, and covers the rest of the block.
    let checksum = !crc32c::crc32c(&out[at..BLOCK]);
    put32(out, at + 4, checksum);
}

pub(super) fn put16(out: &mut [u8], at: usize, value: u16) {
    out[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

fn put32(out: &mut [u8], at: usize, value: u32) {
    out[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

pub(super) fn put64(out: &mut [u8], at: usize, value: u64) {
    out[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_chunk_holds_any_file_up_to_eight_tebibytes() {
        let cases = [
            (1, Some(0)),
            (4096, Some(0)),
            (4097, Some(1)),
            (1 << 20, Some(8)),
            (1 << 43, Some(31)),
            ((1 << 43) + 1, None),
        ];
        for (size, bits) in cases {
            assert_eq!(hole_bits(size), bits, "{size}");
        }
    }
}
