//! PAX extended headers (POSIX.1-2001 pax, "pax Extended Header"): `length key=value\n`, by length alone.
//!
//! Values may hold newlines (extended attributes do), so a reader that splits lines would see records that are
//! not there.

use std::collections::BTreeMap;

use super::sparse::{Records, decimal};

/// Prefix of the records that carry extended attributes, raw.
const XATTR: &[u8] = b"SCHILY.xattr.";
/// Prefix of the records that tell of a sparse file.
const SPARSE: &[u8] = b"GNU.sparse.";

/// Is what the extended headers before an entry say about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pax {
    /// Overrides the name.
    pub(crate) path: Option<Vec<u8>>,
    /// Overrides the link target.
    pub(crate) linkpath: Option<Vec<u8>>,
    /// Overrides the length of the content.
    pub(crate) size: Option<u64>,
    /// Overrides the owner.
    pub(crate) uid: Option<u64>,
    /// Overrides the group.
    pub(crate) gid: Option<u64>,
    /// Overrides the time of modification, in nanoseconds since 1970.
    pub(crate) mtime_ns: Option<i64>,
    /// What makes a sparse file of it.
    pub(crate) sparse: Option<Records>,
    /// Extended attributes.
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Pax {
    /// Reads the records of one extended header.
    ///
    /// # Errors
    /// Returns what is wrong; a malformed record is never skipped.
    pub(crate) fn parse(mut bytes: &[u8]) -> Result<Pax, String> {
        let mut pax = Pax::default();
        while !bytes.is_empty() {
            let (record, rest) = take_record(bytes).ok_or("a malformed extended header record")?;
            bytes = rest;
            let equals = record.iter().position(|byte| *byte == b'=');
            let equals = equals.ok_or("an extended header record without `=`")?;
            pax.set(&record[..equals], &record[equals + 1..])?;
        }
        Ok(pax)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        if let Some(name) = key.strip_prefix(XATTR) {
            self.set_xattr(name, value)?;
            return Ok(());
        }
        if let Some(key) = key.strip_prefix(SPARSE) {
            return self.sparse.get_or_insert_default().set(key, value);
        }
        let text = || std::str::from_utf8(value).ok();
        let number = || {
            decimal(value)
                .ok_or_else(|| format!("a bad {} in an extended header", key.escape_ascii()))
        };
        match key {
            // POSIX: an empty value takes the record of an earlier header back.
            b"path" => self.path = Some(value.to_vec()).filter(|path| !path.is_empty()),
            b"linkpath" => self.linkpath = Some(value.to_vec()).filter(|path| !path.is_empty()),
            b"size" | b"uid" | b"gid" | b"mtime" if value.is_empty() => {}
            b"size" => self.size = Some(number()?),
            b"uid" => self.uid = Some(number()?),
            b"gid" => self.gid = Some(number()?),
            b"mtime" => {
                let time = text().and_then(nanoseconds);
                self.mtime_ns = Some(time.ok_or("a bad mtime in an extended header")?);
            }
            _ => {}
        }
        Ok(())
    }

    fn set_xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        // Limits of the kernel: XATTR_NAME_MAX and XATTR_SIZE_MAX.
        if name.is_empty() || name.len() > 255 || name.contains(&0) || value.len() > 1 << 16 {
            return Err("an extended attribute that no file system takes".to_owned());
        }
        // They would steer the overlay file system that later shows these files.
        if !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay.") {
            self.xattrs.insert(name.to_vec(), value.to_vec());
        }
        Ok(())
    }
}

/// Splits the first record off: its `key=value` and what follows.
fn take_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let digits = std::str::from_utf8(&bytes[..space]).ok()?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let length: usize = digits.parse().ok()?;
    let record = bytes.get(space + 1..length)?;
    let record = record.strip_suffix(b"\n")?;
    Some((record, &bytes[length..]))
}

/// Reads decimal seconds with a fraction, cut to nanoseconds, towards minus infinity as `timespec` has it.
fn nanoseconds(text: &str) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanos: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanos: i64 = nanos.parse().ok()?;
    let below = fraction
        .get(9..)
        .is_some_and(|rest| rest.bytes().any(|b| b != b'0'));
    let total = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    Some(if negative {
        -total - i64::from(below)
    } else {
        total
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tarball::record;

    #[test]
    fn records_are_read_by_length() {
        let forged = b"x\n17 path=/etc/evil\n";
        let bytes = [
            record("path", b"caf\xc3\xa9"),
            record("SCHILY.xattr.user.a", b"with = and\nnewline\0"),
            record("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            record("comment", forged),
            record("mtime", b"1700000000.123456"),
            record("uid", b"3000000"),
        ]
        .concat();
        let pax = Pax::parse(&bytes).expect("records");
        assert_eq!(pax.path.as_deref(), Some("café".as_bytes()));
        assert_eq!(pax.uid, Some(3_000_000));
        assert_eq!(pax.mtime_ns, Some(1_700_000_000_123_456_000));
        let only = BTreeMap::from([(b"user.a".to_vec(), b"with = and\nnewline\0".to_vec())]);
        assert_eq!(pax.xattrs, only);
    }

    #[test]
    fn malformed_records_are_refused() {
        let bad: &[&[u8]] = &[
            b"5 a=b\n6 x",
            b"999 path=a\n",
            b"x path=a\n",
            b"+9 path=a\n",
            b"0 ",
            b"7 path\n",
            b"9 path=ab",
            b"12 uid=-100\n",
        ];
        for bytes in bad {
            assert!(Pax::parse(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        assert!(Pax::parse(&record("GNU.sparse.map", b"0,1,2")).is_err());
        assert!(Pax::parse(&record("GNU.sparse.numbytes", b"1")).is_err());
    }

    #[test]
    fn times_before_1970_and_fractions_are_exact() {
        let table = [
            ("0", Some(0)),
            ("-1", Some(-1_000_000_000)),
            ("-1.5", Some(-1_500_000_000)),
            ("-0.0000000001", Some(-1)),
            ("1.0000000009", Some(1_000_000_000)),
            ("4102444800", Some(4_102_444_800_000_000_000)),
            ("99999999999", Some(i64::MAX)),
            ("1e3", None),
            (".5", None),
            ("", None),
        ];
        for (text, wanted) in table {
            assert_eq!(nanoseconds(text), wanted, "{text}");
        }
    }
}
