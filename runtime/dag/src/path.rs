//! Relative paths inside a tree.

use std::cmp::Ordering;
use std::fmt;

use crate::name::{Name, NameError, validate, write_escaped};

/// Why bytes are not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad path {path}: {source}")]
pub struct PathError {
    /// The path as given, escaped for people.
    pub path: String,
    /// What is wrong with one of its components.
    #[source]
    pub source: NameError,
}

/// A relative path of validated components; the empty path is the root of a tree.
///
/// The order is that of a walk: component by component, parents before children.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Vec<u8>);

impl TreePath {
    /// Returns the empty path, which names the root.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// Validates raw bytes with `/` between the components; the empty string is the root.
    ///
    /// A leading, trailing or doubled `/`, `.` and `..` are refused.
    pub fn new(bytes: &[u8]) -> Result<Self, PathError> {
        Self::from_vec(bytes.to_vec())
    }

    /// Validates and takes over raw bytes.
    pub fn from_vec(bytes: Vec<u8>) -> Result<Self, PathError> {
        if !bytes.is_empty() {
            for component in bytes.split(|b| *b == b'/') {
                if let Err(source) = validate(component) {
                    let path = TreePath(bytes).to_string();
                    return Err(PathError { path, source });
                }
            }
        }
        Ok(Self(bytes))
    }

    /// Returns the raw bytes, `/` between components.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Says whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the components as raw bytes.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/').filter(|c| !c.is_empty())
    }

    /// Iterates over the components as names.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = Name> {
        self.components().map(Name::trusted)
    }

    /// Counts the components.
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// Returns this path with one more component.
    #[must_use]
    pub fn join(&self, name: &Name) -> Self {
        let mut path = self.clone();
        path.push(name);
        path
    }

    /// Returns this path followed by another.
    #[must_use]
    pub fn join_path(&self, rest: &Self) -> Self {
        let mut path = self.clone();
        for component in rest.components() {
            path.push_bytes(component);
        }
        path
    }

    /// Appends one component.
    pub fn push(&mut self, name: &Name) {
        self.push_bytes(name.as_bytes());
    }

    fn push_bytes(&mut self, component: &[u8]) {
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(component);
    }

    /// Removes the last component; says whether there was one.
    pub fn pop(&mut self) -> bool {
        let cut = self.parent_bytes().map(<[u8]>::len);
        if let Some(length) = cut {
            self.0.truncate(length);
        }
        cut.is_some()
    }

    /// Returns the raw bytes of the parent, none for the root.
    pub fn parent_bytes(&self) -> Option<&[u8]> {
        if self.0.is_empty() {
            return None;
        }
        let slash = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(&self.0[..slash])
    }

    /// Returns the path of the directory that holds this one, none for the root.
    pub fn parent(&self) -> Option<Self> {
        self.parent_bytes().map(|bytes| Self(bytes.to_vec()))
    }

    /// Returns the last component, none for the root.
    pub fn file_name(&self) -> Option<&[u8]> {
        self.components().next_back()
    }

    /// Says whether `self` is `prefix` or lies below it.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        let rest = self.0.strip_prefix(prefix.0.as_slice());
        rest.is_some_and(|rest| prefix.is_root() || matches!(rest, [] | [b'/', ..]))
    }

    /// Returns what follows `prefix`, none if this path does not lie at or below it.
    pub fn strip_prefix(&self, prefix: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(prefix.0.as_slice())?;
        match rest {
            [] => Some(Self::root()),
            _ if prefix.is_root() => Some(Self(rest.to_vec())),
            [b'/', below @ ..] => Some(Self(below.to_vec())),
            _ => None,
        }
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        // `/` sorts below every byte of a name, so that a directory's children follow it at once.
        let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
        let split = self.0.iter().zip(&other.0).find(|(a, b)| a != b);
        match split {
            Some((a, b)) => rank(*a).cmp(&rank(*b)),
            None => self.0.len().cmp(&other.0.len()),
        }
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<&Name> for TreePath {
    fn from(name: &Name) -> Self {
        Self(name.as_bytes().to_vec())
    }
}

impl std::str::FromStr for TreePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::new(text.as_bytes())
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(&self.0, out)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TreePath({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        text.parse().unwrap()
    }

    #[test]
    fn order_is_component_wise() {
        let sorted = ["", "a", "a/b", "a/b/c", "a/c", "a!", "a-b", "ab", "b"];
        for pair in sorted.windows(2) {
            assert!(path(pair[0]) < path(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn bad_paths_are_refused() {
        for text in ["/", "/a", "a/", "a//b", "./a", "a/..", "a\0"] {
            assert!(text.parse::<TreePath>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn parents_and_prefixes() {
        assert_eq!(path("a/b").parent(), Some(path("a")));
        assert_eq!(path("a").parent(), Some(TreePath::root()));
        assert_eq!(TreePath::root().parent(), None);
        assert_eq!(path("a/bc").file_name(), Some(&b"bc"[..]));
        assert_eq!(path("a/b/c").strip_prefix(&path("a")), Some(path("b/c")));
        assert_eq!(path("ab").strip_prefix(&path("a")), None);
        assert_eq!(path("a").strip_prefix(&TreePath::root()), Some(path("a")));
        assert_eq!(path("a").join_path(&path("b/c")), path("a/b/c"));
        assert_eq!(TreePath::root().depth(), 0);
        let mut popped = path("x/y");
        assert!(popped.pop() && popped.pop() && !popped.pop());
    }
}
