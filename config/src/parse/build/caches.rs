//! `[build.caches.NAME]`.

use crate::keys;
use crate::path::{inside_project, is_at_or_below};
use crate::read::{Item, Result};
use crate::step::NamedCache;

/// Trees of the kernel: no cache can lie there.
const TAKEN: [&str; 3] = ["/dev", "/proc", "/sys"];

pub(super) fn read(item: &Item<'_>) -> Result<Vec<NamedCache>> {
    let mut caches: Vec<NamedCache> = Vec::new();
    for declared in item.section()?.items() {
        let name = super::super::services::name(&declared, "cache")?;
        let section = declared.section()?;
        section.check(&keys::BUILD_CACHE)?;
        let path = section.require("path", "add path = \"~/.cache/NAME\"")?;
        let place = place(&path)?;
        let same = |other: &&NamedCache| {
            let (a, b) = (place.as_bytes(), other.path.as_bytes());
            is_at_or_below(a, b) || is_at_or_below(b, a)
        };
        if let Some(other) = caches.iter().find(same) {
            let why = format!(
                "it overlaps with the cache `{}` at {}",
                other.name, other.path
            );
            return Err(path.invalid(why, "give each cache a place of its own"));
        }
        caches.push(NamedCache { name, path: place });
    }
    Ok(caches)
}

/// Normalises a place: `/a/b`, `~/a` or `a`.
fn place(item: &Item<'_>) -> Result<String> {
    let text = item.text()?;
    let hint = "e.g. \"/var/cache/x\", \"~/.cache/x\" or \".cache\" (in the project)";
    let (prefix, rest) = match text.strip_prefix("~/") {
        Some(rest) => ("~/", rest),
        None => match text.strip_prefix('/') {
            Some(rest) => ("/", rest),
            None => ("", text),
        },
    };
    if text.starts_with('~') && prefix.is_empty() {
        return Err(item.invalid(format!("{text:?} cannot be a cache"), hint));
    }
    let path = match inside_project(rest) {
        Ok(path) if !path.is_empty() => format!("{prefix}{path}"),
        Ok(_) => return Err(item.invalid(format!("{text:?} cannot be a cache"), hint)),
        Err(why) => return Err(item.invalid(why, hint)),
    };
    let taken = |top: &&&str| is_at_or_below(path.as_bytes(), top.as_bytes());
    match TAKEN.iter().find(taken) {
        Some(top) => Err(item.invalid(format!("{top} is the kernel's"), hint)),
        None => Ok(path),
    }
}
