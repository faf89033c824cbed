//! Copying and editing project files the way people and editors do.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::SystemTime;

/// Copies a directory with its modes and symlinks, leaving out `skip` (names at any depth).
pub fn copy_tree(from: &Path, to: &Path, skip: &[&str]) {
    fs::create_dir_all(to).unwrap_or_else(|error| panic!("make {}: {error}", to.display()));
    for entry in
        fs::read_dir(from).unwrap_or_else(|error| panic!("list {}: {error}", from.display()))
    {
        let entry = entry.expect("read a directory entry");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if skip.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let kind = entry.file_type().expect("kind of a directory entry");
        if kind.is_dir() {
            copy_tree(&source, &target, skip);
        } else if kind.is_symlink() {
            let points_to = fs::read_link(&source).expect("read a symlink");
            symlink(points_to, &target).expect("make a symlink");
        } else {
            fs::copy(&source, &target)
                .unwrap_or_else(|error| panic!("copy {}: {error}", source.display()));
        }
    }
}

/// Writes a file in place, making its parents. Never empty in between, which would be an edit of its own;
/// a text that is shorter has the end of the one before for a moment.
pub fn write(path: &Path, text: &str) {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)
            .unwrap_or_else(|error| panic!("make {}: {error}", parent.display()));
    }
    let written = || {
        let mut open = File::options();
        let mut file = open.write(true).create(true).truncate(false).open(path)?;
        file.write_all(text.as_bytes())?;
        match file.metadata()?.len() > text.len() as u64 {
            true => file.set_len(text.len() as u64),
            false => Ok(()),
        }
    };
    written().unwrap_or_else(|error: io::Error| panic!("write {}: {error}", path.display()));
}

/// Reads a file of text.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// Replaces text that must be there; answers what the file held before.
pub fn replace(path: &Path, old: &str, new: &str) -> String {
    let before = read(path);
    assert!(
        before.contains(old),
        "{} does not contain {old:?}:\n{before}",
        path.display()
    );
    write(path, &before.replace(old, new));
    before
}

/// Saves as most editors do: a temporary beside the file, then a rename over it.
pub fn save_by_rename(path: &Path, text: &str) {
    let temporary = path.with_extension("swp~");
    let mut file = File::create(&temporary).expect("make the editor's temporary");
    file.write_all(text.as_bytes())
        .expect("write the editor's temporary");
    file.sync_all().expect("sync the editor's temporary");
    fs::rename(&temporary, path)
        .unwrap_or_else(|error| panic!("rename to {}: {error}", path.display()));
}

/// Sets a file's time to now without changing its bytes.
pub fn touch(path: &Path) {
    set_mtime(path, SystemTime::now());
}

/// Sets a file's modification time.
pub fn set_mtime(path: &Path, to: SystemTime) {
    let file = File::options().append(true).open(path);
    let set = file.and_then(|file| file.set_modified(to));
    set.unwrap_or_else(|error| panic!("set the time of {}: {error}", path.display()));
}

/// A file's modification time.
pub fn mtime(path: &Path) -> SystemTime {
    let found = fs::metadata(path).and_then(|meta| meta.modified());
    found.unwrap_or_else(|error| panic!("time of {}: {error}", path.display()))
}
