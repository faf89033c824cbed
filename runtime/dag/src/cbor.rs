//! Deterministic CBOR (RFC 8949 §4.2.1) for the bulky nodes. Heads are written by ciborium and read here:
//! a collection and a comparison of trees do little else.
//!
//! Only what the nodes need: unsigned and negative integers, byte strings, arrays, maps, booleans
//! and null, all of definite length with shortest heads. The decoder refuses everything else, so
//! that a value has one encoding and therefore one id.

use std::convert::Infallible;

use ciborium_ll::{Encoder as HeadEncoder, Header, simple};
use hd_store::Id;

/// First byte of every node. As CBOR it is the integer 1, which makes a node a CBOR sequence
/// (RFC 8742) of the version and one item.
pub(crate) const VERSION: u8 = 1;

/// The whole item `null` (RFC 8949 §3.3).
const NULL: u8 = 0xf6;

/// Why bytes are not a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The version byte is not the one this program writes.
    #[error("format version {found}, this hd reads version {VERSION}")]
    Version {
        /// The version found.
        found: u64,
    },
    /// The bytes are no deterministic CBOR, or not of the expected shape.
    #[error("{reason} at byte {offset}")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
        /// Where it was noticed.
        offset: usize,
    },
}

struct Sink<'a>(&'a mut Vec<u8>);

impl ciborium_io::Write for Sink<'_> {
    type Error = Infallible;

    fn write_all(&mut self, data: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Writes items one after the other.
#[derive(Debug)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    pub(crate) fn versioned() -> Self {
        Self(vec![VERSION])
    }

    pub(crate) fn bare() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn head(&mut self, header: Header) {
        let Ok(()) = HeadEncoder::from(Sink(&mut self.0)).push(header);
    }

    pub(crate) fn uint(&mut self, value: u64) {
        self.head(Header::Positive(value));
    }

    pub(crate) fn int(&mut self, value: i64) {
        match u64::try_from(value) {
            Ok(positive) => self.head(Header::Positive(positive)),
            Err(_) => self.head(Header::Negative((!value).cast_unsigned())),
        }
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.head(Header::Bytes(Some(value.len())));
        self.0.extend_from_slice(value);
    }

    pub(crate) fn id(&mut self, id: &Id) {
        self.bytes(id.as_bytes());
    }

    pub(crate) fn id_or_null(&mut self, id: Option<&Id>) {
        match id {
            Some(id) => self.id(id),
            None => self.head(Header::Simple(simple::NULL)),
        }
    }

    pub(crate) fn array(&mut self, length: usize) {
        self.head(Header::Array(Some(length)));
    }

    pub(crate) fn map(&mut self, length: usize) {
        self.head(Header::Map(Some(length)));
    }
}

/// The head of an item that a node may have.
#[derive(Debug, Clone, Copy)]
enum Head {
    Positive(u64),
    /// The integer -1 - n.
    Negative(u64),
    Bytes(usize),
    Array(usize),
    Map(usize),
    Null,
}

/// Reads items and refuses whatever is not deterministic.
#[derive(Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Decoder<'a> {
    /// Starts behind the version byte, which it checks.
    pub(crate) fn versioned(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (rest, length) = (bytes, bytes.len());
        let mut decoder = Self { rest, length };
        let found = decoder.uint()?;
        if found != u64::from(VERSION) {
            return Err(DecodeError::Version { found });
        }
        Ok(decoder)
    }

    pub(crate) fn fail(&self, reason: &'static str) -> DecodeError {
        let offset = self.length - self.rest.len();
        DecodeError::Malformed { reason, offset }
    }

    fn head(&mut self) -> Result<Head, DecodeError> {
        let truncated = "truncated or invalid item";
        let first = *self.rest.first().ok_or_else(|| self.fail(truncated))?;
        // RFC 8949 §3: the type in three bits, then the argument or the width of it.
        let (kind, info) = (first >> 5, first & 0x1f);
        let width = match info {
            ..24 => 0,
            24..28 => 1 << (info - 24),
            _ => return Err(self.fail(truncated)),
        };
        let wide = self.rest.get(1..1 + width);
        let wide = wide.ok_or_else(|| self.fail(truncated))?;
        let argument = match width {
            0 => u64::from(info),
            _ => wide.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        self.rest = &self.rest[1 + width..];
        if 1 + width != head_length(argument) {
            return Err(self.fail("head is not the shortest"));
        }
        // No more than a usize can be there.
        let length = usize::try_from(argument).unwrap_or(usize::MAX);
        Ok(match kind {
            0 => Head::Positive(argument),
            1 => Head::Negative(argument),
            2 => Head::Bytes(length),
            4 => Head::Array(length),
            5 => Head::Map(length),
            7 if first == NULL => Head::Null,
            _ => return Err(self.fail("unexpected type of item")),
        })
    }

    pub(crate) fn uint(&mut self) -> Result<u64, DecodeError> {
        match self.head()? {
            Head::Positive(value) => Ok(value),
            _ => Err(self.fail("unsigned integer expected")),
        }
    }

    pub(crate) fn uint32(&mut self) -> Result<u32, DecodeError> {
        let value = self.uint()?;
        u32::try_from(value).map_err(|_| self.fail("integer exceeds 32 bits"))
    }

    pub(crate) fn int(&mut self) -> Result<i64, DecodeError> {
        let converted = match self.head()? {
            Head::Positive(value) => i64::try_from(value).ok(),
            Head::Negative(value) => i64::try_from(value).ok().map(|value| !value),
            _ => return Err(self.fail("integer expected")),
        };
        converted.ok_or_else(|| self.fail("integer exceeds 64 bits"))
    }

    fn body(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let split = self.rest.split_at_checked(length);
        let (body, rest) = split.ok_or_else(|| self.fail("truncated byte string"))?;
        self.rest = rest;
        Ok(body)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        match self.head()? {
            Head::Bytes(length) => self.body(length),
            _ => Err(self.fail("byte string expected")),
        }
    }

    fn id_body(&mut self, length: usize) -> Result<Id, DecodeError> {
        let expected = "id of 32 bytes expected";
        let body = self.body(length)?.try_into();
        let id = body.map_err(|_| self.fail(expected))?;
        Ok(Id::from_bytes(id))
    }

    pub(crate) fn id(&mut self) -> Result<Id, DecodeError> {
        self.id_or_null()?
            .ok_or_else(|| self.fail("id expected, null found"))
    }

    pub(crate) fn id_or_null(&mut self) -> Result<Option<Id>, DecodeError> {
        match self.head()? {
            Head::Bytes(length) => self.id_body(length).map(Some),
            Head::Null => Ok(None),
            _ => Err(self.fail("id or null expected")),
        }
    }

    /// Reads the head of an array; its length never exceeds the bytes left.
    pub(crate) fn array(&mut self) -> Result<usize, DecodeError> {
        match self.head()? {
            Head::Array(length) if length <= self.rest.len() => Ok(length),
            _ => Err(self.fail("array expected")),
        }
    }

    pub(crate) fn array_or_null(&mut self) -> Result<Option<usize>, DecodeError> {
        match self.head()? {
            Head::Array(length) if length <= self.rest.len() => Ok(Some(length)),
            Head::Null => Ok(None),
            _ => Err(self.fail("array or null expected")),
        }
    }

    pub(crate) fn array_of(&mut self, expected: usize) -> Result<(), DecodeError> {
        match self.array()? {
            length if length == expected => Ok(()),
            _ => Err(self.fail("array of another length expected")),
        }
    }

    pub(crate) fn map(&mut self) -> Result<usize, DecodeError> {
        match self.head()? {
            Head::Map(length) if length <= self.rest.len() => Ok(length),
            _ => Err(self.fail("map expected")),
        }
    }

    pub(crate) fn end(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            _ => Err(self.fail("trailing bytes")),
        }
    }
}

/// Bytes of the shortest head with this argument (RFC 8949 §3).
fn head_length(argument: u64) -> usize {
    match argument {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_round_trip_at_the_edges() {
        for value in [
            0,
            23,
            24,
            255,
            256,
            65_535,
            65_536,
            i64::MAX,
            -1,
            -25,
            i64::MIN,
        ] {
            let mut out = Encoder::versioned();
            out.int(value);
            let bytes = out.finish();
            let mut input = Decoder::versioned(&bytes).unwrap();
            assert_eq!(input.int(), Ok(value));
            assert_eq!(input.end(), Ok(()));
        }
    }

    #[test]
    fn null_has_one_encoding() {
        let decoded = |bytes| Decoder::versioned(bytes).unwrap().id_or_null();
        assert_eq!(decoded(&[1, 0xf6]), Ok(None));
        // In two bytes; undefined; false; a text of no length.
        for bytes in [&[1, 0xf8, 22][..], &[1, 0xf7], &[1, 0xf4], &[1, 0x60]] {
            assert!(decoded(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_not_deterministic_is_refused() {
        let table: [&[u8]; 9] = [
            &[1, 0x18, 5],                                              // 5 in two bytes
            &[1, 0x5f, 0x41, 7, 0xff],                                  // byte string in segments
            &[1, 0x9f, 0xff],                                           // array without a length
            &[1, 0x45, 1],                                              // shorter than it says
            &[1, 0xc1, 1],                                              // tag
            &[1, 0xf9, 0, 0],                                           // float
            &[1, 0x5c], // a width that is not defined
            &[1, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // longer than can be
            &[1],
        ];
        for bytes in table {
            let mut input = Decoder::versioned(bytes).unwrap();
            assert!(input.bytes().is_err(), "{bytes:?}");
        }
        let other = Decoder::versioned(&[2]).err();
        assert_eq!(other, Some(DecodeError::Version { found: 2 }));
    }
}
