//! Stores the files of an upper directory while it is walked, so that neither waits for the other.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use hd_dag::TreePath;
use hd_store::{Source, Store, Writer, ingest_files};

use super::{CaptureRules, Found, What, failed, read_dir};
use crate::error::ProjectionError;

/// Walks an upper directory while its files are stored: gives each file when it is asked for the next one.
pub(super) struct Walk<'a> {
    rules: &'a CaptureRules<'a>,
    /// Directories to be listed, the next one last.
    pending: Vec<(TreePath, PathBuf)>,
    here: std::vec::IntoIter<Found>,
    found: Vec<Found>,
    /// Directories that were listed.
    listed: usize,
    failure: Option<ProjectionError>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(upper: &Path, rules: &'a CaptureRules<'a>) -> Self {
        Self {
            rules,
            pending: vec![(TreePath::root(), upper.to_path_buf())],
            here: Vec::new().into_iter(),
            found: Vec::new(),
            listed: 0,
            failure: None,
        }
    }

    /// Notes an entry; gives its number, where it is and which directory that is when it is a file.
    fn note(&mut self, item: Found) -> Option<(usize, PathBuf, usize)> {
        let file = match item.what {
            What::File { .. } => Some((self.found.len(), item.host.clone(), self.listed)),
            What::Dir { .. } | What::Entry(_) => None,
        };
        self.found.push(item);
        file
    }

    /// Goes on with what a directory holds: its files first, then the directories in it, in the order of their
    /// names. A store that is read in the order it was written in is read ahead.
    fn enter(&mut self, here: Vec<Found>) {
        let dirs = here
            .iter()
            .rev()
            .filter(|item| matches!(item.what, What::Dir { .. }));
        let places = dirs.map(|item| (item.path.clone(), item.host.clone()));
        self.pending.extend(places);
        self.here = here.into_iter();
    }
}

impl Iterator for Walk<'_> {
    type Item = (usize, PathBuf, usize);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let Some(item) = self.here.next() {
                if let Some(file) = self.note(item) {
                    return Some(file);
                }
            }
            let (path, host) = self.pending.pop()?;
            self.listed += 1;
            match read_dir(&path, &host, self.rules) {
                Ok(here) => self.enter(here),
                Err(error) => {
                    self.pending.clear();
                    self.failure = Some(error);
                }
            }
        }
    }
}

/// A blob and its size.
pub(super) type Blob = (hd_store::Id, u64);

/// Stores the files of a walk; gives all that it found.
pub(super) fn ingest(
    store: &Store,
    writer: &mut Writer,
    mut walk: Walk<'_>,
) -> Result<Vec<(Found, Option<Blob>)>, ProjectionError> {
    let files = walk.by_ref().map(|(token, host, dir)| {
        let open = move || -> io::Result<OwnedFd> { Ok(File::open(host)?.into()) };
        Source { token, open, dir }
    });
    let mut blobs = HashMap::new();
    let mut first_error = None;
    ingest_files(store, writer, files, &mut |at, outcome| match outcome {
        Ok(stored) => {
            blobs.insert(at, (stored.id, stored.size));
        }
        Err(error) => {
            first_error.get_or_insert((at, error));
        }
    })?;
    if let Some((at, error)) = first_error {
        return Err(failed(&walk.found[at].path, error));
    }
    match walk.failure {
        Some(error) => Err(error),
        None => Ok((0..)
            .zip(walk.found)
            .map(|(at, item)| (item, blobs.remove(&at)))
            .collect()),
    }
}
