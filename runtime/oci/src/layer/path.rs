//! Names in a layer, made relative to the root of the image.

use hd_dag::TreePath;

use super::{LayerError, shown};

/// Longest path taken, in bytes.
const MAX_PATH: usize = 1 << 15;
/// Deepest path taken, in components.
const MAX_DEPTH: usize = 4096;

/// Normalises the name of an entry: `/a//./b/` becomes `a/b`, `./` becomes the root.
///
/// A leading `/` is dropped, since the image's root is the only root there is.
///
/// # Errors
/// Refuses `..` wherever it stands, NUL, components over 255 bytes and excessive paths.
pub(crate) fn normalise(raw: &[u8]) -> Result<TreePath, LayerError> {
    let refuse = |problem| LayerError::Name {
        name: shown(raw),
        problem,
    };
    if raw.len() > MAX_PATH {
        return Err(refuse("it is over 32 KiB long"));
    }
    let kept = raw
        .split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."));
    let mut path = Vec::with_capacity(raw.len());
    for (depth, component) in kept.enumerate() {
        if component == b".." {
            return Err(refuse("`..` could leave the image"));
        }
        if component.len() > 255 {
            return Err(refuse("a component is over 255 bytes long"));
        }
        if depth >= MAX_DEPTH {
            return Err(refuse("it is over 4096 levels deep"));
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(component);
    }
    TreePath::from_vec(path).map_err(|_| refuse("it holds a NUL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_or_refused() {
        let table: &[(&[u8], Option<&[u8]>)] = &[
            (b"./", Some(b"")),
            (b"a/b/", Some(b"a/b")),
            (b"/etc//./passwd", Some(b"etc/passwd")),
            (b"..dots/.x", Some(b"..dots/.x")),
            (b"bad\xff", Some(b"bad\xff")),
            (b"..", None),
            (b"a/../b", None),
            (b"../../etc/passwd", None),
            (b"a\0b", None),
        ];
        for (raw, wanted) in table {
            let path = normalise(raw).ok();
            assert_eq!(
                path.as_ref().map(TreePath::as_bytes),
                *wanted,
                "{}",
                shown(raw)
            );
        }
        assert!(normalise(&[b'n'; 256]).is_err());
        assert!(normalise(&[b'n'; 255]).is_ok());
        assert!(normalise(&b"a/".repeat(2000)).is_ok());
        assert!(normalise(&b"a/".repeat(5000)).is_err());
    }
}
