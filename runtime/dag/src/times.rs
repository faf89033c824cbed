//! Modification times: a sidecar of the same shape as the tree, outside every identity.

use hd_store::Id;

use crate::cbor::{DecodeError, Decoder, Encoder};
use crate::entry_codec::take_name;
use crate::map::{empty_times, empty_tree};
use crate::name::Name;

/// The time of one entry, and for a directory the times below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Stamp {
    /// Nanoseconds since 1970, may be negative.
    pub mtime_ns: i64,
    /// Times of the entries of a directory, none for anything else.
    pub child: Option<Id>,
}

impl Stamp {
    /// Returns the stamp of anything but a directory.
    pub fn leaf(mtime_ns: i64) -> Self {
        let child = None;
        Self { mtime_ns, child }
    }

    /// Returns the stamp of a directory.
    pub fn dir(mtime_ns: i64, times: Id) -> Self {
        let child = Some(times);
        Self { mtime_ns, child }
    }

    /// Returns the times below, empty ones when there are none.
    pub fn child_or_empty(&self) -> Id {
        self.child.unwrap_or_else(empty_times)
    }
}

/// A tree with the times of its paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rooted {
    /// Root of the entries; this alone is the identity.
    pub tree: Id,
    /// Root of the times.
    pub times: Id,
}

impl Rooted {
    /// Returns the tree without entries.
    pub fn empty() -> Self {
        Self {
            tree: empty_tree(),
            times: empty_times(),
        }
    }
}

/// Writes `[name, mtime, child times or null]`.
pub(crate) fn put(name: &Name, stamp: &Stamp, out: &mut Encoder) {
    out.array(3);
    out.bytes(name.as_bytes());
    out.int(stamp.mtime_ns);
    out.id_or_null(stamp.child.as_ref());
}

pub(crate) fn take(input: &mut Decoder<'_>) -> Result<(Name, Stamp), DecodeError> {
    input.array_of(3)?;
    let name = take_name(input)?;
    let mtime_ns = input.int()?;
    let child = input.id_or_null()?;
    Ok((name, Stamp { mtime_ns, child }))
}
