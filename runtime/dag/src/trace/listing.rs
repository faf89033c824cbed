//! The identity of a listing.

use hd_store::Id;

use crate::cbor::Encoder;
use crate::entry::Kind;

const LISTING_CONTEXT: &str = "hd 2026 listing v1";

/// Digests the names of a directory with their kinds, in whatever order they come.
///
/// `.` and `..` must be left out. Whiteouts must be left out too where they are not visible.
pub fn list_digest<'n>(names: impl IntoIterator<Item = (&'n [u8], Kind)>) -> Id {
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_unstable();
    let mut out = Encoder::versioned();
    out.array(names.len());
    for (name, kind) in names {
        out.bytes(name);
        out.uint(kind as u64);
    }
    Id::derive(LISTING_CONTEXT, &out.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_count_and_order_does_not() {
        let file = (&b"a"[..], Kind::Regular);
        let dir = (&b"b"[..], Kind::Dir);
        assert_eq!(list_digest([file, dir]), list_digest([dir, file]));
        assert_ne!(list_digest([file, dir]), list_digest([file]));
        assert_ne!(list_digest([file]), list_digest([(&b"a"[..], Kind::Dir)]));
        assert_ne!(list_digest([]), list_digest([file]));
    }
}
