//! How much disk a directory takes.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::process::Watch;

/// `st_blocks` counts in these, whatever the file system (stat(2)).
const BLOCK: u64 = 512;

/// Adds up what is allocated below a directory, bytes; a file of several names counts once, other
/// file systems mounted below do not count. `None` when it cannot be read, or when the demo shall end.
pub(super) fn used(watch: &Watch, directory: &Path) -> Option<u64> {
    let top = fs::symlink_metadata(directory).ok()?;
    fs::read_dir(directory).ok()?;
    let mut seen = HashSet::new();
    let sum = below(watch, directory, top.dev(), &mut seen);
    (!watch.is_interrupted()).then_some(sum)
}

/// Gives what each of `edits` took, bytes; what shrank took nothing.
pub(super) fn per_edit(before: Option<u64>, after: Option<u64>, edits: u32) -> Option<u64> {
    let grown = after?.saturating_sub(before?);
    grown.checked_div(u64::from(edits))
}

/// What vanishes while it is counted counts as nothing.
fn below(watch: &Watch, directory: &Path, device: u64, seen: &mut HashSet<u64>) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let mut sum = 0;
    for entry in entries.flatten() {
        if watch.is_interrupted() {
            break;
        }
        let Ok(meta) = fs::symlink_metadata(entry.path()) else {
            continue;
        };
        if meta.dev() != device || (meta.nlink() > 1 && !meta.is_dir() && !seen.insert(meta.ino()))
        {
            continue;
        }
        sum += meta.blocks() * BLOCK;
        if meta.is_dir() {
            sum += below(watch, &entry.path(), device, seen);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_two_names_counts_once() {
        let (watch, place) = (Watch::default(), tempfile::tempdir().unwrap());
        let directory = place.path().join("a");
        fs::create_dir(&directory).unwrap();
        let empty = used(&watch, place.path()).unwrap();
        fs::write(directory.join("x"), vec![7; 100_000]).unwrap();
        fs::File::open(directory.join("x"))
            .unwrap()
            .sync_all()
            .unwrap();
        let one = used(&watch, place.path()).unwrap();
        assert!((100_000..130_000).contains(&(one - empty)), "{one} {empty}");
        fs::hard_link(directory.join("x"), place.path().join("y")).unwrap();
        assert_eq!(used(&watch, place.path()), Some(one));
        assert_eq!(used(&watch, &place.path().join("none")), None);
        watch.interrupt();
        assert_eq!(used(&watch, place.path()), None);
    }
}
