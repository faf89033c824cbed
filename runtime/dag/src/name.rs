//! One component of a path: raw bytes, as Linux has them.

use std::borrow::Borrow;
use std::fmt;

/// Longest name Linux file systems accept, in bytes (`NAME_MAX`).
pub const MAX_NAME: usize = 255;

/// Why bytes are not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name has no bytes.
    #[error("empty name")]
    Empty,
    /// The name is longer than [`MAX_NAME`] bytes.
    #[error("name of {length} bytes, at most {MAX_NAME} are allowed")]
    TooLong {
        /// Length found, in bytes.
        length: usize,
    },
    /// The name is `.` or `..`.
    #[error("name is `.` or `..`")]
    Dots,
    /// The name holds `/` or NUL.
    #[error("name holds `/` or NUL")]
    Separator,
}

/// A validated path component: 1 to 255 bytes, no `/`, no NUL, neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Validates `bytes` as a name.
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        validate(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// Copies bytes that were validated before, as a component of a path.
    pub(crate) fn trusted(bytes: &[u8]) -> Self {
        debug_assert!(validate(bytes).is_ok());
        Self(bytes.into())
    }

    /// Returns the raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

pub(crate) fn validate(bytes: &[u8]) -> Result<(), NameError> {
    match bytes {
        [] => Err(NameError::Empty),
        b"." | b".." => Err(NameError::Dots),
        _ if bytes.len() > MAX_NAME => Err(NameError::TooLong {
            length: bytes.len(),
        }),
        _ if bytes.iter().any(|b| matches!(b, b'/' | 0)) => Err(NameError::Separator),
        _ => Ok(()),
    }
}

/// Writes raw bytes for people: control characters and bytes that are not UTF-8 are escaped.
pub(crate) fn write_escaped(bytes: &[u8], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    use fmt::Write as _;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                write!(out, "{}", character.escape_default())?;
            } else {
                out.write_char(character)?;
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(&self.0, out)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Name({self})")
    }
}

impl AsRef<[u8]> for Name {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

// Ordering and hashing of the box are those of the slice, as `Borrow` demands.
impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_validated() {
        let long = vec![b'a'; 256];
        let table: [(&[u8], Option<NameError>); 8] = [
            (b"a", None),
            (b"...", None),
            (b"\xff\xfe", None),
            (b"", Some(NameError::Empty)),
            (b".", Some(NameError::Dots)),
            (b"..", Some(NameError::Dots)),
            (b"a/b", Some(NameError::Separator)),
            (&long, Some(NameError::TooLong { length: 256 })),
        ];
        for (bytes, error) in table {
            assert_eq!(Name::new(bytes).err(), error, "{bytes:?}");
        }
        assert_eq!(Name::new(b"a\0").err(), Some(NameError::Separator));
        assert!(Name::new(&long[..255]).is_ok());
    }

    #[test]
    fn display_escapes_what_a_terminal_must_not_see() {
        let name = Name::new(b"a\x1b[\xffb\xc3\xa9").unwrap();
        assert_eq!(name.to_string(), "a\\u{1b}[\\xffbé");
    }
}
