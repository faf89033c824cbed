//! The processes of a runtime on disk, for the command that finds runtime and guardian killed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use hd_sandbox::Record;

/// All sandboxes of one runtime; there is one book per instance, clones are the same.
#[derive(Clone, Debug)]
pub struct ProcessBook(Arc<Book>);

#[derive(Debug)]
struct Book {
    path: PathBuf,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    next: u64,
    records: BTreeMap<u64, Record>,
}

/// Keeps a record in the book; dropped once the sandbox is gone.
#[derive(Debug)]
pub struct Entry {
    book: ProcessBook,
    number: u64,
}

impl ProcessBook {
    /// Opens an empty book at a path; what the file held before is replaced by the first entry.
    pub fn new(path: PathBuf) -> Self {
        Self(Arc::new(Book {
            path,
            pages: Mutex::default(),
        }))
    }

    /// Enters a sandbox. A disk that refuses is no reason not to run it: the guardian knows it too.
    pub fn enter(&self, record: Record) -> Entry {
        let number = self.change(|pages| {
            pages.next += 1;
            pages.records.insert(pages.next, record);
            pages.next
        });
        Entry {
            book: self.clone(),
            number,
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Pages) -> T) -> T {
        // Written under the lock, so that the file is never older than what is held.
        let mut pages = self.0.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut pages);
        let records: Vec<&Record> = pages.records.values().collect();
        if let Err(error) = self.write(&records) {
            tracing::warn!(path = %self.0.path.display(), %error, "cannot write down the running processes");
        }
        changed
    }

    /// Replaces the file whole, without syncing: a power cut ends the processes as well.
    fn write(&self, records: &[&Record]) -> io::Result<()> {
        let bytes = serde_json::to_vec(records)?;
        let fresh = self.0.path.with_extension("new");
        if let Some(parent) = self.0.path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&fresh, bytes)?;
        fs::rename(&fresh, &self.0.path)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.book.change(|pages| pages.records.remove(&self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &std::path::Path) -> Vec<u32> {
        let records: Vec<Record> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        records.iter().map(|record| record.pid).collect()
    }

    #[test]
    fn the_file_names_what_runs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("instance/processes.json");
        let book = ProcessBook::new(path.clone());
        let record = |pid| Record {
            pid,
            start_time: 1,
            pid_namespace: "pid:[1]".into(),
            boot_id: "b".into(),
        };
        let first = book.enter(record(7));
        let second = book.clone().enter(record(8));
        assert_eq!(read(&path), [7, 8]);
        drop(first);
        assert_eq!(read(&path), [8]);
        drop(second);
        assert_eq!(read(&path), [0; 0]);
    }

    #[test]
    fn a_disk_that_refuses_does_not_panic() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let book = ProcessBook::new(dir.path().join("file/processes.json"));
        drop(book.enter(Record {
            pid: 1,
            start_time: 1,
            pid_namespace: String::new(),
            boot_id: String::new(),
        }));
        assert!(!dir.path().join("file/processes.json").exists());
    }
}
