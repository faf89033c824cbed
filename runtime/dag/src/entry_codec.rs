//! Entries as CBOR.
//!
//! ```text
//! entry = [name, kind, mode, uid, gid, xattrs, ...]
//! ... = blob, size            regular (kind 0)
//!     | blob, size, group     regular in a hard-link group
//!     | tree, marks           dir (1): bit 0 opaque, bit 1 marked
//!     | target                symlink (2)
//!     |                       fifo (3), whiteout (6)
//!     | rdev                  char (4), block (5)
//! ```

use std::collections::BTreeMap;

use crate::cbor::{DecodeError, Decoder, Encoder};
use crate::entry::{Entry, MODE_MASK, Meta, Target};
use crate::name::Name;

const OPAQUE: u64 = 1;
const MARKED: u64 = 2;

pub(crate) fn put(name: &Name, entry: &Entry, out: &mut Encoder) {
    let fields = match &entry.target {
        Target::Regular { link_group, .. } => 2 + usize::from(link_group.is_some()),
        Target::Dir { .. } => 2,
        Target::Symlink { .. } | Target::Char { .. } | Target::Block { .. } => 1,
        Target::Fifo | Target::Whiteout => 0,
    };
    out.array(6 + fields);
    out.bytes(name.as_bytes());
    put_body(entry, out);
}

fn put_body(entry: &Entry, out: &mut Encoder) {
    out.uint(entry.target.kind() as u64);
    out.uint(u64::from(entry.meta.mode & MODE_MASK));
    out.uint(u64::from(entry.meta.uid));
    out.uint(u64::from(entry.meta.gid));
    put_xattrs(&entry.meta.xattrs, out);
    match &entry.target {
        Target::Regular {
            blob,
            size,
            link_group,
        } => {
            out.id(blob);
            out.uint(*size);
            if let Some(group) = link_group {
                out.uint(*group);
            }
        }
        Target::Dir {
            tree,
            opaque,
            marked,
        } => {
            out.id(tree);
            out.uint(u64::from(*opaque) * OPAQUE + u64::from(*marked) * MARKED);
        }
        Target::Symlink { target } => out.bytes(target),
        Target::Char { rdev } | Target::Block { rdev } => out.uint(*rdev),
        Target::Fifo | Target::Whiteout => {}
    }
}

/// Writes what `Entry::id` digests: no name, no hard-link group, no derived mark.
pub(crate) fn put_identity(entry: &Entry, out: &mut Encoder) {
    let mut entry = entry.clone();
    match &mut entry.target {
        Target::Regular { link_group, .. } => *link_group = None,
        Target::Dir { marked, .. } => *marked = false,
        _ => {}
    }
    put_body(&entry, out);
}

/// Writes extended attributes in the order of their encoded names: shorter first.
pub(crate) fn put_xattrs(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>, out: &mut Encoder) {
    let mut sorted: Vec<_> = xattrs.iter().collect();
    sorted.sort_by_key(|(name, _)| (name.len(), *name));
    out.map(sorted.len());
    for (name, value) in sorted {
        out.bytes(name);
        out.bytes(value);
    }
}

fn take_xattrs(input: &mut Decoder<'_>) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, DecodeError> {
    let mut xattrs = BTreeMap::new();
    let mut last: Option<&[u8]> = None;
    for _ in 0..input.map()? {
        let name = input.bytes()?;
        let sorted = last.is_none_or(|last| (last.len(), last) < (name.len(), name));
        if !sorted {
            return Err(input.fail("attributes out of order"));
        }
        last = Some(name);
        xattrs.insert(name.to_vec(), input.bytes()?.to_vec());
    }
    Ok(xattrs)
}

pub(crate) fn take_name(input: &mut Decoder<'_>) -> Result<Name, DecodeError> {
    let bytes = input.bytes()?;
    Name::new(bytes).map_err(|_| input.fail("invalid name"))
}

pub(crate) fn take(input: &mut Decoder<'_>) -> Result<(Name, Entry), DecodeError> {
    let length = input.array()?;
    let name = take_name(input)?;
    let kind = input.uint()?;
    let mode = input.uint32()?;
    if mode & !MODE_MASK != 0 {
        return Err(input.fail("mode beyond 07777"));
    }
    let meta = Meta {
        mode,
        uid: input.uint32()?,
        gid: input.uint32()?,
        xattrs: take_xattrs(input)?,
    };
    let target = take_target(input, kind, length)?;
    Ok((name, Entry { meta, target }))
}

fn take_target(input: &mut Decoder<'_>, kind: u64, length: usize) -> Result<Target, DecodeError> {
    let target = match (kind, length) {
        (0, 8 | 9) => Target::Regular {
            blob: input.id()?,
            size: input.uint()?,
            link_group: (length == 9).then(|| input.uint()).transpose()?,
        },
        (1, 8) => {
            let tree = input.id()?;
            let marks = input.uint()?;
            if marks & !(OPAQUE | MARKED) != 0 {
                return Err(input.fail("unknown directory mark"));
            }
            Target::Dir {
                tree,
                opaque: marks & OPAQUE != 0,
                marked: marks & MARKED != 0,
            }
        }
        (2, 7) => Target::Symlink {
            target: input.bytes()?.to_vec(),
        },
        (3, 6) => Target::Fifo,
        (4, 7) => Target::Char {
            rdev: input.uint()?,
        },
        (5, 7) => Target::Block {
            rdev: input.uint()?,
        },
        (6, 6) => Target::Whiteout,
        _ => return Err(input.fail("unknown kind of entry")),
    };
    Ok(target)
}
