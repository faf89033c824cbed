//! Extended attributes of an inode, behind it.

use std::collections::BTreeMap;

use super::format::put16;

/// Bytes before the first attribute (`struct erofs_xattr_ibody_header`).
pub(super) const HEADER: usize = 12;
/// Bytes before a name (`struct erofs_xattr_entry`).
const ENTRY: usize = 4;
/// Most bytes of all attributes of an inode: it counts them by four in 16 bits.
const BYTES_MAX: usize = HEADER + (u16::MAX as usize - 1) * 4;

/// Beginnings of names that the format says by number.
const PREFIXES: [(&[u8], u8); 5] = [
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"user.", 1),
    (b"trusted.", 4),
    (b"security.", 6),
];

/// Names and values.
pub(super) type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Encodes attributes; `None` when they are too many or one is too large. Those of other classes than
/// the kernel asks EROFS for are left out.
pub(super) fn encode(xattrs: &Xattrs) -> Option<Vec<u8>> {
    let mut out = vec![0; HEADER];
    for (name, value) in xattrs {
        let Some((rest, number)) = numbered(name) else {
            continue;
        };
        let at = out.len();
        out.resize(at + ENTRY, 0);
        out[at] = u8::try_from(rest.len()).ok()?;
        out[at + 1] = number;
        put16(&mut out, at + 2, u16::try_from(value.len()).ok()?);
        out.extend_from_slice(rest);
        out.extend_from_slice(value);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    match out.len() {
        HEADER => Some(Vec::new()),
        bytes => (bytes <= BYTES_MAX).then_some(out),
    }
}

fn numbered(name: &[u8]) -> Option<(&[u8], u8)> {
    PREFIXES.iter().find_map(|(prefix, number)| {
        let rest = name.strip_prefix(*prefix)?;
        // The names of access lists have nothing behind them, all others have.
        (rest.is_empty() == matches!(number, 2 | 3)).then_some((rest, *number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and values.
    type Pairs<'a> = &'a [(&'a [u8], &'a [u8])];

    fn of(pairs: Pairs<'_>) -> Xattrs {
        pairs
            .iter()
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect()
    }

    #[test]
    fn attributes_stand_one_behind_the_other_each_on_four_bytes() {
        let encoded = encode(&of(&[(b"user.a", b"xy"), (b"security.capability", b"")])).unwrap();
        let mut expected = vec![0; HEADER];
        expected.extend_from_slice(b"\x0a\x06\0\0capability\0\0");
        expected.extend_from_slice(b"\x01\x01\x02\0axy\0");
        assert_eq!(encoded, expected);
    }

    #[test]
    fn what_the_format_has_no_room_for_is_told() {
        let large = vec![b'x'; 1 << 16];
        let cases: &[(Pairs<'_>, Option<usize>)] = &[
            (&[], Some(0)),
            (
                &[(b"system.other", b"x"), (b"btrfs.compression", b"")],
                Some(0),
            ),
            (&[(b"system.posix_acl_access", b"1234")], Some(HEADER + 8)),
            (&[(b"user.", b"no name")], Some(0)),
            (&[(b"user.large", &large)], None),
            (
                &[(b"user.large", &large[1..])],
                Some(HEADER + 4 + 5 + 65_535),
            ),
        ];
        for (pairs, len) in cases {
            let encoded = encode(&of(pairs)).map(|bytes| bytes.len());
            assert_eq!(encoded, len.map(|len: usize| len.next_multiple_of(4)));
        }
        let many: Xattrs = (0..5)
            .map(|at| (format!("user.{at}").into_bytes(), large[1..].to_vec()))
            .collect();
        assert_eq!(encode(&many), None);
    }
}
