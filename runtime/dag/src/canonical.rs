//! Deterministic CBOR (RFC 8949 §4.2.1) for the few small nodes, by serde.

use ciborium::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cbor::VERSION;

/// Deepest nesting a small node may have; the decoder recurses.
const MAX_DEPTH: usize = 32;

/// Why bytes are not a small node, or a value cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// The version byte is not the one this program writes.
    #[error("format version {found}, this hd reads version {VERSION}")]
    Version {
        /// The version found.
        found: u8,
    },
    /// There are no bytes.
    #[error("no bytes")]
    Empty,
    /// The bytes are no CBOR of the expected shape; unknown fields are refused.
    #[error("malformed: {reason}")]
    Malformed {
        /// What the decoder says.
        reason: String,
    },
    /// The bytes decode, but are not the one encoding of what they say.
    #[error("not the deterministic encoding")]
    NotCanonical,
}

/// Encodes a value: version byte, then CBOR with sorted map keys.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let mut value = Value::serialized(value).map_err(malformed)?;
    sort(&mut value)?;
    let mut out = vec![VERSION];
    ciborium::into_writer(&value, &mut out).map_err(malformed)?;
    Ok(out)
}

/// Decodes a value and refuses every encoding but the one [`encode`] writes.
pub(crate) fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CanonicalError> {
    let (version, body) = bytes.split_first().ok_or(CanonicalError::Empty)?;
    if *version != VERSION {
        return Err(CanonicalError::Version { found: *version });
    }
    let value: T =
        ciborium::de::from_reader_with_recursion_limit(body, MAX_DEPTH).map_err(malformed)?;
    match encode(&value)? == bytes {
        true => Ok(value),
        false => Err(CanonicalError::NotCanonical),
    }
}

fn malformed(error: impl std::fmt::Display) -> CanonicalError {
    let reason = error.to_string();
    CanonicalError::Malformed { reason }
}

/// Sorts the keys of all maps by their encoded bytes (RFC 8949 §4.2.1).
fn sort(value: &mut Value) -> Result<(), CanonicalError> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(sort),
        Value::Map(pairs) => {
            let mut keyed = Vec::with_capacity(pairs.len());
            for (key, mut value) in pairs.drain(..) {
                sort(&mut value)?;
                let mut encoded = Vec::new();
                ciborium::into_writer(&key, &mut encoded).map_err(malformed)?;
                keyed.push((encoded, key, value));
            }
            keyed.sort_by(|a, b| a.0.cmp(&b.0));
            pairs.extend(keyed.into_iter().map(|(_, key, value)| (key, value)));
            Ok(())
        }
        _ => Ok(()),
    }
}
