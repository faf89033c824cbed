//! What steps made in the project, written into the project directory of this machine.
//!
//! A live project shows services an output only where it is a whole directory that the project has not; this
//! is for the others, and for people who want the files themselves. Nothing of theirs is replaced: a path
//! that is there and was not written by an earlier export stays as it is, and is named. What an earlier one wrote
//! and no step makes any more goes, if it is no part of the project. Nothing is ever written that this machine
//! would act on by itself: git runs the hooks of a `.git`, hd what an `hd.toml` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::fchown;
use std::path::{Path, PathBuf};

use hd_dag::{Entry, Rooted, Target, TreePath, get_stamped, subtree};
use hd_projection::checkout;
use hd_store::Id;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, chownat, fchmod, futimens,
    mkdirat, openat, openat2, readlinkat, renameat, statat, symlinkat, unlinkat,
};

use super::gone;
use crate::base::skeleton;
use crate::finish::End;
use crate::messages::{BatchError, PrepareView};
use crate::model::files;
use crate::model::report::Report;
use crate::model::state::Failure;
use crate::runtime::{Ended, Running};
use crate::shared::Shared;
use crate::step_runner::prepare;

/// Name of a file that is not complete yet.
const UNFINISHED: &str = ".hd-export-unfinished";

/// Names that no export writes, nor anything below them.
const NEVER: [&[u8]; 2] = [b".git", b"hd.toml"];

/// What became of the outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Files and links that are new or changed.
    pub written: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files and links that were there already, the same.
    pub same: u64,
    /// Files and links that an earlier export wrote and no step makes any more.
    pub removed: u64,
    /// What is the person's own and other than what a step made, relative to the project, sorted.
    pub kept: Vec<String>,
    /// What steps made and no export writes, relative to the project, sorted.
    pub left_out: Vec<String>,
}

/// Makes the steps true, then writes what they made at or below these paths of the project; all they made in
/// it when none is given. An error is how the runtime ended instead. Blocks.
pub fn write_out(running: Running, wanted: &[TreePath]) -> Result<(Written, Report), Box<Ended>> {
    let mut ended = running.work();
    let built = running.shared().built.get();
    let built = built.filter(|_| running.reason() == Some(End::Done));
    let done = built.map(|built| outputs(running.shared(), built, wanted));
    running.clean_up(&ended.report);
    match done {
        Some(Ok(written)) => Ok((written, ended.report)),
        None => Err(Box::new(ended)),
        Some(Err(error)) => {
            let failure = Failure::from(&error);
            (ended.exit, ended.report.error) = (failure.exit, Some(failure.error));
            Err(Box::new(ended))
        }
    }
}

fn outputs(
    shared: &Shared,
    built: &PrepareView,
    wanted: &[TreePath],
) -> Result<Written, BatchError> {
    let (made, left_out) = made(shared, built)?;
    let is_wanted =
        |path: &TreePath| wanted.is_empty() || wanted.iter().any(|one| meets(path, one));
    let journal = shared.settings.paths.exports();
    let before = read_journal(&journal);
    let was = |one: &TreePath| {
        let mut keys = before.keys();
        keys.any(|key| gone::path(key).is_some_and(|path| path.starts_with(one)))
    };
    for one in wanted {
        let is_made = made.iter().any(|made| made.path.starts_with(one));
        let is_left_out = left_out.iter().any(|path| meets(path, one));
        if !is_made && !is_left_out && !was(one) {
            let message = format!("no step makes {one} in the project");
            return Err(BatchError::new("config", message)
                .at(shared.settings.project_dir.display().to_string())
                .hint("`hd dag show` lists what is in the environment"));
        }
    }
    let mut hand = Hand {
        shared,
        project: directory(&shared.settings.project_dir)?,
        tree: built.project,
        before,
        done: Written::default(),
    };
    let mut after = hand.before.clone();
    let mut put = || {
        let at = shared.settings.project_dir.display().to_string();
        let cleared = hand.clear(&made, is_wanted);
        for key in cleared.map_err(|e| BatchError::new("io", e).at(at))? {
            after.remove(&key);
        }
        for one in made.iter().filter(|one| is_wanted(&one.path)) {
            if let Some(digest) = hand.one(one).map_err(|error| one.failed(shared, error))? {
                after.insert(gone::key(one), digest);
            }
        }
        Ok(())
    };
    let done = put();
    // After an error too, else the next export took what this one wrote for the person's own.
    write_journal(&journal, &after)?;
    done?;
    hand.done.kept.sort();
    let left_out = left_out.iter().filter(|path| is_wanted(path));
    hand.done.left_out = left_out.map(TreePath::to_string).collect();
    Ok(hand.done)
}

/// Tells whether one is the other or lies in it.
fn meets(path: &TreePath, other: &TreePath) -> bool {
    path.starts_with(other) || other.starts_with(path)
}

/// Something that a step made, relative to the project.
pub(super) struct Made {
    pub(super) path: TreePath,
    pub(super) entry: Entry,
    mtime_ns: i64,
}

impl Made {
    fn failed(&self, shared: &Shared, error: io::Error) -> BatchError {
        let place = shared.settings.project_dir.join(self.path.to_string());
        BatchError::new("io", error).at(place.display().to_string())
    }
}

/// What lies in the working directory of base and outputs, but not of the base alone; parents first. The second
/// is what of it is not to be written.
fn made(
    shared: &Shared,
    built: &PrepareView,
) -> Result<(Vec<Made>, BTreeSet<TreePath>), BatchError> {
    let (mut made, mut left_out) = (Vec::new(), BTreeSet::new());
    let failed = |e: hd_dag::TreeError| BatchError::new("store", e);
    let (trees, ground) = (&*shared.trees, &built.base.environment);
    let plan = prepare::plan(shared, &built.declared, ground)?;
    let base = ground.tree().unwrap_or_else(Rooted::empty);
    let below = skeleton::ensure(trees, ground, base, &plan.needed()).map_err(failed)?;
    let within = |root| subtree(trees, root, &plan.workdir_path);
    let Some(with) = within(&built.outcome.lower).map_err(failed)? else {
        return Ok((made, left_out));
    };
    let without = within(&below).map_err(failed)?;
    let without = without.unwrap_or_else(Rooted::empty);
    let changes = hd_dag::diff(trees, &without.tree, &with.tree).map_err(failed)?;
    for change in changes {
        let Some(entry) = change.new else { continue };
        if let Some(top) = refused(&change.path) {
            left_out.insert(top);
            continue;
        }
        let stamped = get_stamped(trees, &with, &change.path).map_err(failed)?;
        made.push(Made {
            path: change.path,
            entry,
            mtime_ns: stamped.map_or(0, |(_, stamp)| stamp.mtime_ns),
        });
    }
    Ok((made, left_out))
}

/// Gives the topmost of a path and what it lies in that is not to be written.
fn refused(path: &TreePath) -> Option<TreePath> {
    let mut at = TreePath::root();
    path.names().find_map(|name| {
        at.push(&name);
        NEVER.contains(&name.as_bytes()).then(|| at.clone())
    })
}

/// Writes into the project.
pub(super) struct Hand<'a> {
    pub(super) shared: &'a Shared,
    project: OwnedFd,
    /// The project as the steps found it.
    pub(super) tree: Rooted,
    /// What was written before, by [`gone::key`]: digest of the content or of the target of a link.
    pub(super) before: BTreeMap<String, Id>,
    pub(super) done: Written,
}

impl Hand<'_> {
    /// Writes one thing; gives its digest if it is now what the step made and hd's.
    fn one(&mut self, made: &Made) -> io::Result<Option<Id>> {
        let name = made.path.file_name().unwrap_or_default();
        let dir = match self.parent(&made.path) {
            Ok(dir) => dir,
            // A link or a file of the person's stands where a step has a directory.
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR | rustix::io::Errno::NOENT) => {
                return Ok(self.keeps(&made.path));
            }
            Err(error) => return Err(error.into()),
        };
        let there = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let kind = there.map(|status| FileType::from_raw_mode(status.st_mode));
        let digest = match &made.entry.target {
            Target::Dir { .. } if kind == Some(FileType::Directory) => {
                return Ok(self.before.get(&gone::key(made)).copied());
            }
            Target::Dir { .. } if kind.is_none() => {
                mkdirat(
                    &dir,
                    name,
                    Mode::from_raw_mode(made.entry.meta.mode & 0o777),
                )?;
                self.give(&dir, name)?;
                return Ok(Some(gone::directory()));
            }
            Target::Regular { blob, .. } => *blob,
            Target::Symlink { target } => Id::of(target),
            Target::Dir { .. } => return Ok(self.keeps(&made.path)),
            // Pipes and devices belong to who makes them.
            _ => return Ok(None),
        };
        let standing = match kind {
            None => None,
            Some(_) => Some(standing(&dir, name, kind)?),
        };
        match standing {
            Some(Some(found)) if found == digest => {
                self.done.same += 1;
                return Ok(self.before.get(&made.path.to_string()).map(|_| digest));
            }
            Some(found)
                if found.is_none() || found.as_ref() != self.before.get(&made.path.to_string()) =>
            {
                return Ok(self.keeps(&made.path));
            }
            _ => {}
        }
        self.put(&dir, name, made)?;
        Ok(Some(digest))
    }

    fn keeps(&mut self, path: &TreePath) -> Option<Id> {
        self.done.kept.push(path.to_string());
        None
    }

    /// Opens the directory that a path lies in, through no link.
    pub(super) fn parent(&self, path: &TreePath) -> Result<OwnedFd, rustix::io::Errno> {
        let parent = path.parent().unwrap_or_else(TreePath::root);
        let at: &[u8] = if parent.is_root() {
            b"."
        } else {
            parent.as_bytes()
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(&self.project, at, flags, Mode::empty(), resolve)
    }

    /// Puts a file or link in its place in one step: who reads it finds the old one or the new one.
    fn put(&mut self, dir: &OwnedFd, name: &[u8], made: &Made) -> io::Result<()> {
        let _unfinished = unlinkat(dir, UNFINISHED, AtFlags::empty());
        match &made.entry.target {
            Target::Regular { blob, size, .. } => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let file = openat(dir, UNFINISHED, flags, Mode::RUSR | Mode::WUSR)?;
                checkout::write(&self.shared.store, blob, &file, &made.path)
                    .map_err(io::Error::other)?;
                self.dress(&file, made)?;
                self.done.bytes += size;
            }
            Target::Symlink { target } => {
                symlinkat(target.as_slice(), dir, UNFINISHED)?;
                self.give(dir, UNFINISHED.as_bytes())?;
            }
            _ => return Ok(()),
        }
        self.done.written += 1;
        Ok(renameat(dir, UNFINISHED, dir, name)?)
    }

    fn dress(&self, file: &OwnedFd, made: &Made) -> io::Result<()> {
        let (user, group) = self.shared.project_owner();
        fchown(file, Some(user), Some(group))?;
        fchmod(file, Mode::from_raw_mode(made.entry.meta.mode & 0o777))?;
        let time = Timespec {
            tv_sec: made.mtime_ns.div_euclid(1_000_000_000),
            tv_nsec: made.mtime_ns.rem_euclid(1_000_000_000) as _,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        Ok(futimens(file, &times)?)
    }

    fn give(&self, dir: &OwnedFd, name: &[u8]) -> io::Result<()> {
        let (user, group) = self.shared.project_owner();
        let (user, group) = (
            rustix::fs::Uid::from_raw(user),
            rustix::fs::Gid::from_raw(group),
        );
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(chownat(dir, name, Some(user), Some(group), flags)?)
    }
}

/// The digest of what is there; nothing for what is neither a file nor a link.
pub(super) fn standing(
    dir: &OwnedFd,
    name: &[u8],
    kind: Option<FileType>,
) -> io::Result<Option<Id>> {
    match kind {
        Some(FileType::Symlink) => {
            let target = readlinkat(dir, name, Vec::new())?;
            Ok(Some(Id::of(target.as_bytes())))
        }
        Some(FileType::RegularFile) => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let mut file = File::from(openat(dir, name, flags, Mode::empty())?);
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut file, &mut bytes)?;
            Ok(Some(Id::of(&bytes)))
        }
        _ => Ok(None),
    }
}

fn directory(path: &Path) -> Result<OwnedFd, BatchError> {
    let opened = File::open(path).map(OwnedFd::from);
    opened.map_err(|e| BatchError::new("io", e).at(path.display().to_string()))
}

/// One that is damaged says nothing: then what stands there counts as the person's own.
fn read_journal(path: &PathBuf) -> BTreeMap<String, Id> {
    let bytes = fs::read(path).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn write_journal(path: &Path, written: &BTreeMap<String, Id>) -> Result<(), BatchError> {
    let bytes = serde_json::to_vec(written).map_err(|e| BatchError::new("internal", e))?;
    let failed = |e: io::Error| BatchError::new("io", e).at(path.display().to_string());
    files::replace(path, &bytes).map_err(failed)
}
