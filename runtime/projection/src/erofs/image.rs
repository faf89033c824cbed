//! Lays a described tree out and writes it.

use hd_dag::Kind;

use super::directory::{Named, block_len, blocks, put_block};
use super::format::{
    BLOCK, CHUNK, INODE, INODES_FROM, Layout, SLOT, Said, file_type, hole_bits, put_hole,
    put_inode, put_super,
};
use super::tree::{Content, Description, Inode};
use super::{ErofsError, xattr};

/// Longest rest of a content that stands behind its inode: it must lie within a block, wherever on
/// four bytes it begins.
const INLINE_MAX: usize = BLOCK - SLOT;

/// Where one inode and its content stand.
#[derive(Debug)]
struct Place {
    /// Bytes from the begin of the image.
    at: usize,
    /// Bytes of its content; the rest behind it included.
    size: usize,
    /// Bytes behind the inode and its attributes.
    inline: usize,
    /// Whole blocks of content.
    blocks: usize,
    xattrs: Vec<u8>,
}

impl Place {
    fn number(&self) -> u64 {
        (self.at / SLOT) as u64
    }

    fn inline_at(&self) -> usize {
        self.at + INODE + self.xattrs.len()
    }
}

/// Writes an image.
///
/// # Errors
/// [`ErofsError::Beyond`]: attributes of more than 256 KiB, a file of more than 8 TiB, an image of
/// more than 16 TiB.
pub fn image(tree: &Description) -> Result<Vec<u8>, ErofsError> {
    let mut places = Vec::with_capacity(tree.inodes.len());
    let mut end = INODES_FROM;
    for (at, inode) in tree.inodes.iter().enumerate() {
        let beyond = |what| ErofsError::Beyond {
            path: path_of(tree, at),
            what,
        };
        let xattrs = xattr::encode(&inode.xattrs);
        let xattrs = xattrs.ok_or_else(|| beyond("so much of extended attributes"))?;
        let hole = is_hole(inode).then(|| hole_bits(inode.attr.size));
        if hole == Some(None) {
            return Err(beyond("a file of this size"));
        }
        let place = place(tree, at, end, xattrs);
        end = place.inline_at() + place.inline;
        places.push(place);
    }
    let first_block = end.div_ceil(BLOCK);
    let blocks = first_block + places.iter().map(|place| place.blocks).sum::<usize>();
    let last = u32::try_from(blocks).map_err(|_| ErofsError::Beyond {
        path: "/".to_owned(),
        what: "so many names",
    })?;
    let mut out = vec![0; blocks * BLOCK];
    let mut block = first_block;
    for (at, place) in places.iter().enumerate() {
        put(&mut out, tree, &places, at, block as u32);
        block += place.blocks;
    }
    let root = places.first().map_or(0, Place::number);
    put_super(&mut out, root as u16, places.len() as u64, last);
    Ok(out)
}

fn is_hole(inode: &Inode) -> bool {
    inode.attr.kind == Kind::Regular && inode.attr.size > 0
}

/// Finds where an inode goes that may begin at `from`.
fn place(tree: &Description, at: usize, from: usize, xattrs: Vec<u8>) -> Place {
    let inode = &tree.inodes[at];
    let size = match &inode.content {
        Content::Nothing => 0,
        Content::Link(target) => target.len(),
        Content::Dir(_) => {
            let names = names(tree, at);
            let blocks = blocks(&names);
            let last = blocks.last().cloned().unwrap_or_default();
            (blocks.len() - 1) * BLOCK + block_len(&names[last])
        }
    };
    let rest = size % BLOCK;
    let (inline, blocks) = match (is_hole(inode), rest <= INLINE_MAX) {
        (true, _) => (CHUNK, 0),
        (false, true) => (rest, size / BLOCK),
        (false, false) => (0, size.div_ceil(BLOCK)),
    };
    let mut place = Place {
        at: from.next_multiple_of(SLOT),
        size,
        inline,
        blocks,
        xattrs,
    };
    let crosses = |place: &Place| place.inline_at() % BLOCK + place.inline > BLOCK;
    while crosses(&place) {
        place.at += SLOT;
    }
    place
}

/// Gives the names of a directory with `.` and `..` among them, sorted.
fn names(tree: &Description, at: usize) -> Vec<Named<'_>> {
    let inode = &tree.inodes[at];
    let Content::Dir(children) = &inode.content else {
        return Vec::new();
    };
    let dots = [(&b"."[..], at), (&b".."[..], inode.parent)];
    let children = children
        .iter()
        .map(|(name, child)| (name.as_slice(), *child));
    let mut names: Vec<Named<'_>> = dots
        .into_iter()
        .chain(children)
        .map(|(name, inode)| Named {
            name,
            inode,
            file_type: file_type(tree.inodes[inode].attr.kind),
        })
        .collect();
    names.sort_unstable_by(|a, b| a.name.cmp(b.name));
    names
}

/// Writes an inode, its attributes and its content.
fn put(out: &mut [u8], tree: &Description, places: &[Place], at: usize, block: u32) {
    let (inode, place) = (&tree.inodes[at], &places[at]);
    let is_hole = is_hole(inode);
    let first = if place.blocks > 0 { block } else { 0 };
    let layout = match inode.attr.kind {
        // What a host calls the number of a device is as the format has it, within 32 bits.
        Kind::Char | Kind::Block | Kind::Whiteout => {
            Layout::Device(u32::try_from(inode.attr.rdev).unwrap_or(0))
        }
        _ if is_hole => Layout::Hole,
        _ if place.inline > 0 => Layout::Inline(first),
        _ => Layout::Plain(first),
    };
    let size = if is_hole {
        inode.attr.size
    } else {
        place.size as u64
    };
    let said = Said {
        layout,
        size,
        xattrs: place.xattrs.len(),
        links: inode.links,
        order: u32::try_from(at + 1).unwrap_or(u32::MAX),
    };
    put_inode(&mut out[place.at..], &inode.attr, &said);
    let behind = place.inline_at();
    out[place.at + INODE..behind].copy_from_slice(&place.xattrs);
    if is_hole {
        put_hole(&mut out[behind..]);
    }
    // Whole blocks first, then the rest behind the inode.
    let from = block as usize * BLOCK;
    let spot = |number: usize| match number < place.blocks {
        true => (from + number * BLOCK)..(from + (number + 1) * BLOCK),
        false => behind..behind + place.inline,
    };
    match &inode.content {
        Content::Nothing => {}
        Content::Link(target) => {
            for (number, part) in target.chunks(BLOCK).enumerate() {
                out[spot(number)][..part.len()].copy_from_slice(part);
            }
        }
        Content::Dir(_) => {
            let names = names(tree, at);
            for (number, range) in blocks(&names).into_iter().enumerate() {
                put_block(&mut out[spot(number)], &names[range], |inode| {
                    places[inode].number()
                });
            }
        }
    }
}

/// Gives one path of an inode, for messages.
fn path_of(tree: &Description, mut at: usize) -> String {
    let mut path = String::new();
    while at != 0 {
        let parent = tree.inodes[at].parent;
        if let Content::Dir(names) = &tree.inodes[parent].content
            && let Some((name, _)) = names.iter().find(|(_, child)| *child == at)
        {
            path = format!("/{}{path}", name.escape_ascii());
        }
        at = parent;
    }
    path
}
