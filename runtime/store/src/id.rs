//! The name of content: 32 bytes of BLAKE3.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names content by its BLAKE3 hash (256 bits).
///
/// Blobs and chunks use the plain hash of their bytes, so that other systems can compute the same
/// name; typed nodes use BLAKE3's `derive_key` mode with a context per kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; 32]);

/// Says that a text is not an id of 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of 64 lowercase hexadecimal digits")]
pub struct ParseIdError {
    /// The text as it was given.
    pub text: String,
}

impl Id {
    /// Wraps a hash computed elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Id {
        Id(bytes)
    }

    /// Shows the 32 bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Names a blob: the plain BLAKE3 of its bytes.
    pub fn of(bytes: &[u8]) -> Id {
        Id(*blake3::hash(bytes).as_bytes())
    }

    /// Names a blob that is read to its end, in pieces.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn of_reader(reader: impl std::io::Read) -> std::io::Result<Id> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(reader)?;
        Ok(Id(*hasher.finalize().as_bytes()))
    }

    /// Names typed bytes in a domain of their own (BLAKE3 `derive_key`, section 2.3 of its paper).
    pub fn derive(context: &'static str, bytes: &[u8]) -> Id {
        Id(blake3::derive_key(context, bytes))
    }

    /// Gives the first 12 hexadecimal digits, for people.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }

    /// The first eight bytes as a number that sorts as the id does: the key of every index.
    pub(crate) fn prefix(&self) -> u64 {
        let mut head = [0_u8; 8];
        head.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(head)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.short())
    }
}

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Id, ParseIdError> {
        let refused = || ParseIdError {
            text: text.to_owned(),
        };
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(refused());
        }
        let mut bytes = [0_u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = hex_value(pair[0]).ok_or_else(refused)?;
            let low = hex_value(pair[1]).ok_or_else(refused)?;
            *byte = high << 4 | low;
        }
        Ok(Id(bytes))
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            let bytes: serde_bytes::ByteArray<32> = Deserialize::deserialize(deserializer)?;
            Ok(Id(bytes.into_array()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector_of_blake3_holds() {
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(Id::of(b"").to_string(), empty);
        assert_eq!(empty.parse::<Id>(), Ok(Id::of(b"")));
        assert_eq!(Id::of(b"").short(), "af1349b9f5f9");
    }

    /// From `test_vectors.json` of the BLAKE3 reference: the bytes 0, 1, … 250, 0, 1, … of a length.
    #[test]
    fn the_published_vectors_of_blake3_hold() {
        let input: Vec<u8> = (0..102_400_u32).map(|at| (at % 251) as u8).collect();
        let published = [
            (
                1,
                "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
            ),
            (
                1023,
                "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11",
            ),
            (
                1024,
                "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
            ),
            (
                1025,
                "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
            ),
            (
                2048,
                "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a",
            ),
            (
                31_744,
                "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47",
            ),
            (
                102_400,
                "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
            ),
        ];
        for (len, hash) in published {
            assert_eq!(Id::of(&input[..len]).to_string(), hash, "{len} bytes");
        }
        let context = "BLAKE3 2019-12-27 16:29:52 test vectors context";
        let derived = "b3e2e340a117a499c6cf2398a19ee0d29cca2bb7404c73063382693bf66cb06c";
        assert_eq!(Id::derive(context, &input[..1]).to_string(), derived);
    }

    #[test]
    fn a_domain_changes_the_name() {
        assert_ne!(Id::derive("a", b"x"), Id::derive("b", b"x"));
        assert_ne!(Id::derive("a", b"x"), Id::of(b"x"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "af13",
            &"A".repeat(64),
            &"g".repeat(64),
            &"é".repeat(32),
        ] {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
    }

    #[test]
    fn cbor_holds_32_bytes_and_nothing_else() {
        let mut encoded = Vec::new();
        ciborium::into_writer(&Id::of(b""), &mut encoded).unwrap();
        assert_eq!(encoded[..2], [0x58, 32]);
        assert_eq!(encoded.len(), 34);
        let back: Id = ciborium::from_reader(encoded.as_slice()).unwrap();
        assert_eq!(back, Id::of(b""));
        let short = [0x58, 2, 1, 1];
        assert!(ciborium::from_reader::<Id, _>(short.as_slice()).is_err());
    }
}
