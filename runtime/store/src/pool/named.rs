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

/// Characters of an id, and of its place before the slash.
const ID_LEN: usize = 64;
const PART_LEN: usize = 2;

/// Gives every id that bytes name as `<2hex>/<id>`, as an image does (`Pool::dir` says where that is).
fn named_in(image: &[u8]) -> impl Iterator<Item = Id> + '_ {
    memchr::memchr_iter(b'/', image).filter_map(|slash| {
        let part = image.get(slash.checked_sub(PART_LEN)?..slash)?;
        let hex = image.get(slash + 1..slash + 1 + ID_LEN)?;
        if !hex.starts_with(part) {
            return None;
        }
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
    fn what_is_named_in_its_place_is_found_and_nothing_else() {
        let (one, two) = (Id::of(b"one"), Id::of(b"two"));
        let place = |id: &Id| format!("{}/{id}", &id.to_string()[..PART_LEN]);
        let elsewhere = format!("{}/{one}", &two.to_string()[..PART_LEN]);
        let text = format!(
            "/{}\0\x01{}/{elsewhere}/{}",
            place(&one),
            place(&two),
            &place(&one)[..60]
        );
        let found: Vec<Id> = named_in(text.as_bytes()).collect();
        assert_eq!(found, [one, two]);
        assert_eq!(named_in(b"/").count() + named_in(b"").count(), 0);
    }
}
