//! Small files and directories of the store: private modes, and writes that survive a power cut.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// Marks files that are not complete; whatever carries it after a crash is swept by gc.
pub(crate) const TEMPORARY_PREFIX: &str = ".tmp-";

/// Makes a directory (and its parents) that only its owner can enter, whatever the umask.
pub(crate) fn make_private_dir(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    // A umask may have taken rights that even the owner needs.
    made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o700)))
        .map_err(Error::io("create the directory", path))
}

/// Gives a file that was just made the mode 0600, whatever the umask left of it.
pub(crate) fn private(file: File) -> io::Result<File> {
    if file.metadata()?.mode() & 0o7777 != 0o600 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Opens a private file (0600) for reading and writing, creating it when missing.
pub(crate) fn open_private(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let opened = options.open(path);
    opened.and_then(private).map_err(Error::io("open", path))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    let dir = File::open(path).map_err(Error::io("open", path))?;
    dir.sync_all()
        .map_err(Error::io("sync the directory", path))
}

/// Says whether a replacement has to survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// On return the new content is on stable storage.
    Synced,
    /// The content is derived: it may be lost or torn, its readers check it.
    Derived,
}

/// Replaces a file atomically: temporary file, (sync), rename, (sync of the directory).
pub(crate) fn replace(path: &Path, content: &[u8], durability: Durability) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let temporary = temporary_in(dir);
    let written = write_then_rename(&temporary, path, content, durability);
    if written.is_err() {
        // The rename did not happen; a leftover would only cost space until the next gc.
        fs::remove_file(&temporary).ok();
    }
    written.map_err(Error::io("write", path))?;
    if durability == Durability::Synced {
        sync_dir(dir)?;
    }
    Ok(())
}

fn write_then_rename(
    temporary: &Path,
    path: &Path,
    content: &[u8],
    durability: Durability,
) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)
        .and_then(private)?;
    file.write_all(content)?;
    if durability == Durability::Synced {
        file.sync_all()?;
    }
    fs::rename(temporary, path)
}

/// A name in a directory that no other process or thread uses.
pub(crate) fn temporary_in(dir: &Path) -> PathBuf {
    dir.join(format!("{TEMPORARY_PREFIX}{}", unique_name()))
}

/// A name that no other process or thread gives: `<pid>-<random>-<number>`. Processes of different containers, and of
/// different times, may have one number.
pub(crate) fn unique_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    static OWN: LazyLock<u64> = LazyLock::new(random_number);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{}-{:016x}-{number}", std::process::id(), *OWN)
}

fn random_number() -> u64 {
    // The standard library seeds this from the system's random source.
    RandomState::new().hash_one(std::process::id())
}

/// Removes a file that may already be gone; answers whether it was there.
pub(crate) fn remove_if_there(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("remove", path)(error)),
    }
}

/// Lists the names in a directory; a missing directory has none.
pub(crate) fn names_in(path: &Path) -> Result<Vec<std::ffi::OsString>> {
    let listing = match fs::read_dir(path) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", path)(error)),
    };
    let names: io::Result<Vec<_>> = listing
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect();
    names.map_err(Error::io("list", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_replacement_is_private_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        replace(&path, b"one", Durability::Synced).unwrap();
        replace(&path, b"two", Durability::Derived).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        assert_eq!(names_in(dir.path()).unwrap(), ["file"]);
    }
}
