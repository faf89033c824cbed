//! Writes edits into the view of a service, beside those that cannot be written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use hd_dag::{Rooted, TreePath, get_stamped};
use hd_sandbox::{Failure, MountNamespace, MountOp, Stage};

use super::edits::{Content, Edit, Spot};
use super::view::tried_in;
use crate::messages::BatchError;
use crate::model::files;
use crate::shared::Shared;

/// Edits for which contents lie ready at a time.
const LOT: usize = 256;
/// Bytes of a content that are in memory at a time.
const PIECE: usize = 4 << 20;

/// What the kernel says where a service put something else, or runs it.
const IN_THE_WAY: [i32; 6] = [
    libc::EEXIST,
    libc::ENOTDIR,
    libc::EISDIR,
    libc::ELOOP,
    libc::ETXTBSY,
    // A pipe nobody reads, or a socket.
    libc::ENXIO,
];
/// What it says of all that is below something that is no directory.
const NO_DIRECTORY: [i32; 2] = [libc::ENOTDIR, libc::ELOOP];
/// What it says where nothing else can be written either.
const FULL: [i32; 2] = [libc::ENOSPC, libc::EDQUOT];

/// Writes edits of one project tree into one view.
pub(super) struct Writing<'a> {
    shared: &'a Shared,
    namespace: &'a MountNamespace,
    spot: &'a Spot,
    project: Rooted,
    failed: Vec<(TreePath, Failure)>,
    /// Directories below which something that is none stands in the way.
    blocked: BTreeMap<TreePath, Failure>,
    full: Option<Failure>,
}

/// What could not be written.
#[derive(Debug, Default)]
pub(super) struct Undone {
    /// All of it.
    pub(super) paths: BTreeSet<TreePath>,
    /// Where the service put something in the way, topmost, with what the kernel says of it.
    pub(super) in_the_way: BTreeMap<TreePath, i32>,
    /// What else failed, first.
    pub(super) error: Option<BatchError>,
}

impl<'a> Writing<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        namespace: &'a MountNamespace,
        spot: &'a Spot,
        project: Rooted,
    ) -> Self {
        Self {
            shared,
            namespace,
            spot,
            project,
            failed: Vec::new(),
            blocked: BTreeMap::new(),
            full: None,
        }
    }

    /// Writes them in their order. Blocks.
    ///
    /// # Errors
    /// Those of the store and of the sandbox, after which some are written; not those of single edits.
    pub(super) fn write_all(&mut self, edits: &[Edit]) -> Result<(), BatchError> {
        let stock = &self.spot.stock;
        let io = |e: io::Error| BatchError::new("io", e).at(stock.display().to_string());
        for lot in edits.chunks(LOT) {
            let contents = lot.iter().any(|edit| edit.content.is_some());
            if contents {
                files::private_dir(stock).map_err(io)?;
            }
            let written = self.lot_ready(lot).and_then(|()| self.write(lot));
            if contents {
                fs::remove_dir_all(stock).map_err(io)?;
            }
            written?;
        }
        Ok(())
    }

    fn lot_ready(&self, lot: &[Edit]) -> Result<(), BatchError> {
        self.shared.contents.durable()?;
        for edit in lot {
            if let Some(content) = &edit.content {
                let at = |e: BatchError| e.at(edit.path.to_string());
                self.put(content, &edit.path).map_err(at)?;
            }
        }
        Ok(())
    }

    /// Puts a content where its operation takes it from, with the time the project's file has.
    fn put(&self, content: &Content, path: &TreePath) -> Result<(), BatchError> {
        let io = |e: io::Error| BatchError::new("io", e);
        let store = &self.shared.store;
        let mut file = File::create_new(&content.file).map_err(io)?;
        let mut from = 0;
        loop {
            let piece = store.read_blob_at(&content.blob, from, PIECE);
            let piece = piece.map_err(|e| BatchError::new("store", e))?;
            file.write_all(&piece).map_err(io)?;
            from += piece.len() as u64;
            if piece.len() < PIECE {
                break;
            }
        }
        let found = get_stamped(&*self.shared.trees, &self.project, path);
        let found = found.map_err(|e| BatchError::new("store", e))?;
        match found {
            Some((_, stamp)) => file.set_modified(time_of(stamp.mtime_ns)).map_err(io),
            None => Ok(()),
        }
    }

    /// Writes edits, and goes on beside those that cannot be.
    fn write(&mut self, edits: &[Edit]) -> Result<(), BatchError> {
        let edits: Vec<&Edit> = edits
            .iter()
            .filter(|edit| !self.is_hopeless(edit))
            .collect();
        self.halves(&edits)
    }

    fn halves(&mut self, edits: &[&Edit]) -> Result<(), BatchError> {
        let ops: Vec<MountOp> = edits.iter().map(|edit| edit.op.clone()).collect();
        if ops.is_empty() {
            return Ok(());
        }
        let Err(failure) = self.run(&ops)? else {
            return Ok(());
        };
        if let [edit] = edits {
            return self.instead(edit, failure);
        }
        let (first, second) = edits.split_at(edits.len() / 2);
        self.halves(first)?;
        let second: Vec<&Edit> = second
            .iter()
            .copied()
            .filter(|edit| !self.is_hopeless(edit))
            .collect();
        self.halves(&second)
    }

    /// Tries an edit that failed once more, in the place of what the service made of it.
    fn instead(&mut self, edit: &Edit, failure: Failure) -> Result<(), BatchError> {
        let failure = match IN_THE_WAY.contains(&failure.errno) {
            // What the service made of it goes: the host's edit is what stays.
            true => {
                let at = edit.at.clone();
                match self.run(&[MountOp::Remove { at }, edit.op.clone()])? {
                    Ok(()) => return Ok(()),
                    Err(failure) => failure,
                }
            }
            false => failure,
        };
        if FULL.contains(&failure.errno) {
            self.full = Some(failure.clone());
        }
        if NO_DIRECTORY.contains(&failure.errno)
            && let Some(above) = edit.path.parent()
            && !above.is_root()
        {
            self.blocked.insert(above, failure.clone());
        }
        self.failed.push((edit.path.clone(), failure));
        Ok(())
    }

    /// Tells, and notes, whether an edit need not be tried: it would fail as one before did.
    fn is_hopeless(&mut self, edit: &Edit) -> bool {
        let above = |(dir, _): &(&TreePath, &Failure)| edit.path.starts_with(dir);
        let blocked = self.blocked.iter().find(above).map(|(_, failure)| failure);
        let takes_room = !matches!(edit.op, MountOp::Remove { .. });
        let full = self.full.as_ref().filter(|_| takes_room);
        let Some(failure) = blocked.or(full).cloned() else {
            return false;
        };
        self.failed.push((edit.path.clone(), failure));
        true
    }

    fn run(&self, ops: &[MountOp]) -> Result<Result<(), Failure>, BatchError> {
        let (namespace, root) = (self.namespace, self.spot.merged.as_path());
        match tried_in(self.shared, namespace, root, ops, |_, _| Ok(())) {
            Ok(Err(failure)) if failure.stage != Stage::Mount => {
                Err(BatchError::new("sandbox", failure))
            }
            other => other,
        }
    }

    /// Gives what could not be written.
    pub(super) fn undone(self) -> Undone {
        let mut undone = Undone::default();
        for (path, failure) in self.failed {
            if IN_THE_WAY.contains(&failure.errno) {
                let top = self.blocked.keys().find(|dir| path.starts_with(dir));
                let top = top.unwrap_or(&path).clone();
                undone.in_the_way.insert(top, failure.errno);
            } else {
                let error = || BatchError::new("sandbox", failure).at(path.to_string());
                undone.error.get_or_insert_with(error);
            }
            undone.paths.insert(path);
        }
        undone
    }
}

fn time_of(mtime_ns: i64) -> SystemTime {
    let away = Duration::from_nanos(mtime_ns.unsigned_abs());
    let time = match mtime_ns < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(away),
        false => SystemTime::UNIX_EPOCH.checked_add(away),
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}
