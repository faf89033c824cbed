//! Serde forms of byte strings that need not be UTF-8.
//!
//! Paths, arguments and environment values are raw bytes on Linux, and serde's own form of a path refuses what is
//! not UTF-8. Here text stays text and everything else is a list of byte values.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&OsStr> for Form {
    fn from(value: &OsStr) -> Self {
        match value.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes(value.as_bytes().to_vec()),
        }
    }
}

impl From<Form> for OsString {
    fn from(form: Form) -> Self {
        match form {
            Form::Text(text) => text.into(),
            Form::Bytes(bytes) => OsString::from_vec(bytes),
        }
    }
}

/// One string or path.
pub(crate) mod one {
    use super::*;

    pub(crate) fn serialize<T: AsRef<OsStr>, S: Serializer>(
        value: &T,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        Form::from(value.as_ref()).serialize(out)
    }

    pub(crate) fn deserialize<'de, T: From<OsString>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        Ok(T::from(Form::deserialize(from)?.into()))
    }
}

/// A list of strings.
pub(crate) mod list {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(values: &[OsString], out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(values.iter().map(|value| Form::from(value.as_os_str())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<OsString>, D::Error> {
        Ok(Vec::<Form>::deserialize(from)?
            .into_iter()
            .map(OsString::from)
            .collect())
    }
}

/// Name and value pairs.
pub(crate) mod pairs {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        values: &[(OsString, OsString)],
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.collect_seq(
            values
                .iter()
                .map(|(name, value)| (Form::from(name.as_os_str()), Form::from(value.as_os_str()))),
        )
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<(OsString, OsString)>, D::Error> {
        let pairs = Vec::<(Form, Form)>::deserialize(from)?;
        Ok(pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        #[serde(with = "one")]
        path: PathBuf,
        #[serde(with = "list")]
        arguments: Vec<OsString>,
        #[serde(with = "pairs")]
        env: Vec<(OsString, OsString)>,
    }

    #[test]
    fn bytes_that_are_not_text_survive() {
        let odd = OsString::from_vec(vec![b'a', 0xff, b'\n', 0x1b]);
        let sample = Sample {
            path: PathBuf::from(&odd),
            arguments: vec!["plain".into(), odd.clone()],
            env: vec![("NAME".into(), odd)],
        };
        let json = serde_json::to_vec(&sample).unwrap();
        assert_eq!(serde_json::from_slice::<Sample>(&json).unwrap(), sample);
    }
}
