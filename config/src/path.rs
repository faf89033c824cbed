//! Paths inside the project, as a person writes them.

/// Normalises a path relative to the project: `./a//b/` is `a/b`, `.` is the empty path.
///
/// # Errors
/// Says why the path is refused: empty, absolute, leaves the project, or holds a NUL.
pub(crate) fn inside_project(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Err("the path is empty");
    }
    if text.starts_with('/') {
        return Err("the path is absolute, it is relative to the project");
    }
    if text.contains('\0') {
        return Err("the path holds a NUL byte");
    }
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err("the path leaves the project by `..`");
    }
    Ok(parts.join("/"))
}

/// Tells whether `path` is `ancestor` or lies below it; the empty path is the root.
pub(crate) fn is_at_or_below(path: &[u8], ancestor: &[u8]) -> bool {
    ancestor.is_empty()
        || path
            .strip_prefix(ancestor)
            .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
}

/// Yields the proper ancestors of a path, outermost first, without the root: `a`, `a/b` of `a/b/c`.
pub(crate) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    ends.filter_map(|(end, _)| path.get(..end))
}

#[cfg(test)]
mod tests {
    use super::{ancestors, inside_project, is_at_or_below};

    #[test]
    fn paths_are_normalised_or_refused() {
        let good = [
            ("a", "a"),
            ("./a//b/", "a/b"),
            (".", ""),
            ("./", ""),
            ("a..b", "a..b"),
        ];
        for (text, expected) in good {
            assert_eq!(inside_project(text).as_deref(), Ok(expected));
        }
        for text in ["", "/a", "../a", "a/..", "a\0b"] {
            assert!(inside_project(text).is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_component() {
        assert!(is_at_or_below(b"src/a", b"src"));
        assert!(is_at_or_below(b"src", b"src"));
        assert!(is_at_or_below(b"src", b""));
        assert!(!is_at_or_below(b"src2", b"src"));
        assert!(!is_at_or_below(b"src", b"src/a"));
    }

    #[test]
    fn ancestors_come_outermost_first() {
        let all: Vec<&[u8]> = ancestors(b"a/b/c").collect();
        assert_eq!(all, [b"a".as_slice(), b"a/b"]);
        assert_eq!(ancestors(b"a").count(), 0);
    }
}
