//! Which copies an image names: a mount of it is a use of each of them.
//!
//! To note a use at each mount would cost more than the mount. So images alone say when they were
//! used, and what they name is looked up when the pool is full.

use std::collections::HashMap;
use std::fs;
use std::str::FromStr;
use std::time::SystemTime;

use super::evict::Kept;
use crate::{Error, Id, Result};

/// Characters of an id.
const ID_LEN: usize = 64;

/// Gives every id that bytes name as `/<id>`, as an image does (`Pool::copies` says where that is).
fn named_in(image: &[u8]) -> impl Iterator<Item = Id> + '_ {
    memchr::memchr_iter(b'/', image).filter_map(|slash| {
        let hex = image.get(slash + 1..slash + 1 + ID_LEN)?;
        Id::from_str(std::str::from_utf8(hex).ok()?).ok()
    })
}

/// Gives the last use of each copy that an image of the pool names.
///
/// # Errors
/// I/O errors.
pub(super) fn uses<'a>(images: impl Iterator<Item = &'a Kept>) -> Result<HashMap<Id, SystemTime>> {
    let mut uses: HashMap<Id, SystemTime> = HashMap::new();
    for image in images {
        let bytes = match fs::read(&image.path) {
            Ok(bytes) => bytes,
            // Others work here.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("read", &image.path)(e)),
        };
        for id in named_in(&bytes) {
            let last = uses.entry(id).or_insert(image.used);
            *last = image.used.max(*last);
        }
    }
    Ok(uses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_behind_a_slash_is_found_and_nothing_else() {
        let (one, two) = (Id::of(b"one"), Id::of(b"two"));
        let text = format!("/{one}\0\x01/{two}/{one}/{}", &one.to_string()[..60]);
        let found: Vec<Id> = named_in(text.as_bytes()).collect();
        assert_eq!(found, [one, two, one]);
        let none = [
            format!("/{}", "x".repeat(64)),
            two.to_string(),
            "/".to_owned(),
        ];
        assert_eq!(none.map(|text| named_in(text.as_bytes()).count()), [0; 3]);
    }
}
