//! The project tree as hd remembers it beside the stat cache: pure.

use hd_dag::Rooted;
use hd_store::Id;

/// Files of a project and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A project tree with its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProjectTree {
    /// The tree.
    pub rooted: Rooted,
    /// Its files.
    pub size: Size,
}

const VERSION: u8 = 1;
const LEN: usize = 1 + 32 + 32 + 8 + 8;

impl ProjectTree {
    /// Encodes it: version (1 byte), tree, times (32 each), files, bytes (u64, little-endian).
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(self.rooted.tree.as_bytes());
        bytes.extend_from_slice(self.rooted.times.as_bytes());
        bytes.extend_from_slice(&self.size.files.to_le_bytes());
        bytes.extend_from_slice(&self.size.bytes.to_le_bytes());
        bytes
    }

    /// Decodes what [`Self::encode`] made; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = bytes.try_into().ok()?;
        let id = |at: usize| bytes[at..at + 32].try_into().ok().map(Id::from_bytes);
        let number = |at: usize| bytes[at..at + 8].try_into().ok().map(u64::from_le_bytes);
        let (tree, times) = (id(1)?, id(33)?);
        let (files, bytes_of) = (number(65)?, number(73)?);
        (bytes[0] == VERSION).then_some(Self {
            rooted: Rooted { tree, times },
            size: Size {
                files,
                bytes: bytes_of,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_known_again_and_nothing_else() {
        let tree = ProjectTree {
            rooted: Rooted {
                tree: Id::of(b"tree"),
                times: Id::of(b"times"),
            },
            size: Size { files: 3, bytes: 9 },
        };
        let bytes = tree.encode();
        assert_eq!(ProjectTree::decode(&bytes), Some(tree));
        assert_eq!(ProjectTree::decode(&bytes[1..]), None);
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(ProjectTree::decode(&newer), None);
    }
}
