//! Deterministic CBOR (RFC 8949 §4.2.1) for the bulky nodes, over ciborium's headers.
//!
//! Only what the nodes need: unsigned and negative integers, byte strings, arrays, maps, booleans
//! and null, all of definite length with shortest heads. The decoder refuses everything else, so
//! that a value has one encoding and therefore one id.

use std::convert::Infallible;

use ciborium_ll::{Decoder as HeadDecoder, Encoder as HeadEncoder, Header, simple};
use hd_store::Id;

/// First byte of every node. As CBOR it is the integer 1, which makes a node a CBOR sequence
/// (RFC 8742) of the version and one item.
pub(crate) const VERSION: u8 = 1;

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

/// Reads items and refuses whatever is not deterministic.
pub struct Decoder<'a> {
    head: HeadDecoder<&'a [u8]>,
    length: usize,
}

impl std::fmt::Debug for Decoder<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Decoder")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl<'a> Decoder<'a> {
    /// Starts behind the version byte, which it checks.
    pub(crate) fn versioned(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (head, length) = (HeadDecoder::from(bytes), bytes.len());
        let mut decoder = Self { head, length };
        let found = decoder.uint()?;
        if found != u64::from(VERSION) {
            return Err(DecodeError::Version { found });
        }
        Ok(decoder)
    }

    pub(crate) fn fail(&mut self, reason: &'static str) -> DecodeError {
        let offset = self.head.offset();
        DecodeError::Malformed { reason, offset }
    }

    fn remaining(&mut self) -> usize {
        self.length.saturating_sub(self.head.offset())
    }

    fn header(&mut self) -> Result<Header, DecodeError> {
        let start = self.head.offset();
        let Ok(header) = self.head.pull() else {
            return Err(self.fail("truncated or invalid item"));
        };
        let argument = match header {
            Header::Positive(value) | Header::Negative(value) => value,
            Header::Bytes(Some(n)) | Header::Array(Some(n)) | Header::Map(Some(n)) => n as u64,
            Header::Simple(value) => u64::from(value),
            _ => return Err(self.fail("unexpected type of item")),
        };
        if self.head.offset() - start != head_length(argument) {
            return Err(self.fail("head is not the shortest"));
        }
        Ok(header)
    }

    pub(crate) fn uint(&mut self) -> Result<u64, DecodeError> {
        match self.header()? {
            Header::Positive(value) => Ok(value),
            _ => Err(self.fail("unsigned integer expected")),
        }
    }

    pub(crate) fn uint32(&mut self) -> Result<u32, DecodeError> {
        let value = self.uint()?;
        u32::try_from(value).map_err(|_| self.fail("integer exceeds 32 bits"))
    }

    pub(crate) fn int(&mut self) -> Result<i64, DecodeError> {
        let converted = match self.header()? {
            Header::Positive(value) => i64::try_from(value).ok(),
            Header::Negative(value) => i64::try_from(value).ok().map(|value| !value),
            _ => return Err(self.fail("integer expected")),
        };
        converted.ok_or_else(|| self.fail("integer exceeds 64 bits"))
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, DecodeError> {
        if length > self.remaining() {
            return Err(self.fail("truncated byte string"));
        }
        let mut bytes = vec![0; length];
        match ciborium_io::Read::read_exact(&mut self.head, &mut bytes) {
            Ok(()) => Ok(bytes),
            Err(_) => Err(self.fail("truncated byte string")),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, DecodeError> {
        match self.header()? {
            Header::Bytes(Some(length)) => self.body(length),
            _ => Err(self.fail("byte string expected")),
        }
    }

    fn id_body(&mut self, length: usize) -> Result<Id, DecodeError> {
        let mut id = [0; 32];
        if length != id.len() || ciborium_io::Read::read_exact(&mut self.head, &mut id).is_err() {
            return Err(self.fail("id of 32 bytes expected"));
        }
        Ok(Id::from_bytes(id))
    }

    pub(crate) fn id(&mut self) -> Result<Id, DecodeError> {
        self.id_or_null()?
            .ok_or_else(|| self.fail("id expected, null found"))
    }

    pub(crate) fn id_or_null(&mut self) -> Result<Option<Id>, DecodeError> {
        match self.header()? {
            Header::Bytes(Some(length)) => self.id_body(length).map(Some),
            Header::Simple(simple::NULL) => Ok(None),
            _ => Err(self.fail("id or null expected")),
        }
    }

    /// Reads the head of an array; its length never exceeds the bytes left.
    pub(crate) fn array(&mut self) -> Result<usize, DecodeError> {
        match self.header()? {
            Header::Array(Some(length)) if length <= self.remaining() => Ok(length),
            _ => Err(self.fail("array expected")),
        }
    }

    pub(crate) fn array_or_null(&mut self) -> Result<Option<usize>, DecodeError> {
        match self.header()? {
            Header::Array(Some(length)) if length <= self.remaining() => Ok(Some(length)),
            Header::Simple(simple::NULL) => Ok(None),
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
        match self.header()? {
            Header::Map(Some(length)) if length <= self.remaining() => Ok(length),
            _ => Err(self.fail("map expected")),
        }
    }

    pub(crate) fn end(mut self) -> Result<(), DecodeError> {
        match self.remaining() {
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
    fn what_is_not_deterministic_is_refused() {
        let table: [&[u8]; 7] = [
            &[1, 0x18, 5],             // 5 in two bytes
            &[1, 0x5f, 0x41, 7, 0xff], // byte string in segments
            &[1, 0x9f, 0xff],          // array without a length
            &[1, 0x45, 1],             // shorter than it says
            &[1, 0xc1, 1],             // tag
            &[1, 0xf9, 0, 0],          // float
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
