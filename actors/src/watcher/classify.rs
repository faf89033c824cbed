//! What an event means: pure.

use hd_dag::TreePath;
use notify::EventKind;
use notify::event::{
    AccessKind, AccessMode, CreateKind, MetadataKind, ModifyKind, RemoveKind, RenameMode,
};

use super::rules::Rules;

/// What happened to a path, as far as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that changes a file: it was opened, read, closed.
    Nothing,
    /// Bytes were written.
    Content,
    /// Mode, owner, times or links changed.
    Attributes,
    /// A name came into being; whether of a directory, if said.
    Appeared(Option<bool>),
    /// A name went; whether of a directory, if said.
    Vanished(Option<bool>),
}

impl Change {
    /// Reads an event of notify's inotify back-end.
    ///
    /// A rename arrives as its two halves, then once more as both: the repetition says nothing new.
    /// A file closed after it was open for writing may have been written through a mapping, which
    /// is reported in no other way.
    pub fn of(kind: &EventKind) -> Self {
        match kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Self::Content,
            EventKind::Access(_) | EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {
                Self::Nothing
            }
            EventKind::Create(CreateKind::Folder) => Self::Appeared(Some(true)),
            EventKind::Create(CreateKind::File) => Self::Appeared(Some(false)),
            EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                Self::Appeared(None)
            }
            EventKind::Remove(RemoveKind::Folder) => Self::Vanished(Some(true)),
            EventKind::Remove(RemoveKind::File) => Self::Vanished(Some(false)),
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => Self::Vanished(None),
            EventKind::Modify(ModifyKind::Metadata(
                MetadataKind::Any
                | MetadataKind::Permissions
                | MetadataKind::Ownership
                | MetadataKind::Extended
                | MetadataKind::WriteTime
                | MetadataKind::Other,
            )) => Self::Attributes,
            EventKind::Modify(ModifyKind::Metadata(MetadataKind::AccessTime)) => Self::Nothing,
            EventKind::Modify(_) | EventKind::Any | EventKind::Other => Self::Content,
        }
    }

    /// Tells whether the kernel did not say if it is a directory, and it matters.
    pub fn wants_stat(self) -> bool {
        matches!(self, Self::Attributes | Self::Appeared(None))
    }
}

/// What is to be done about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Pass the path on.
    Touched(TreePath),
    /// Set the watches at and below a path anew, then pass it on: a directory may have come, gone or
    /// be another one now.
    Renew(TreePath),
    /// What is hidden below this directory has changed.
    Refilter(TreePath),
    /// hd's own directory is gone.
    MountPointLost(TreePath),
    /// The project directory itself is gone or another one.
    RootReplaced,
    /// Look at everything.
    Rescan,
}

/// What is known of the path an event is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// A directory is there now; looked at only if [`Change::wants_stat`].
    pub is_dir: bool,
    /// It is a directory that is watched.
    pub is_watched: bool,
}

/// Decides what is to be done; nothing for most.
pub fn classify(change: Change, path: &TreePath, known: Known, rules: &Rules) -> Vec<Verdict> {
    if change == Change::Nothing {
        return Vec::new();
    }
    if path.is_root() {
        return match change {
            Change::Appeared(_) | Change::Vanished(_) => vec![Verdict::RootReplaced],
            _ => vec![Verdict::Rescan],
        };
    }
    if let Some(point) = rules.points().covering(path) {
        let lost = point == *path && matches!(change, Change::Vanished(_));
        return if lost {
            vec![Verdict::MountPointLost(point)]
        } else {
            Vec::new()
        };
    }
    match change {
        Change::Nothing => Vec::new(),
        Change::Appeared(is_dir) => appeared(path, is_dir.unwrap_or(known.is_dir), known, rules),
        Change::Attributes if known.is_dir && !known.is_watched => {
            appeared(path, true, known, rules)
        }
        Change::Content | Change::Attributes => touched(path, known.is_dir, rules),
        Change::Vanished(is_dir) => vanished(path, is_dir, known, rules),
    }
}

fn touched(path: &TreePath, is_dir: bool, rules: &Rules) -> Vec<Verdict> {
    let refilter = refilter(path, rules);
    // An ignore file counts even if it hides itself, as one with `*` does.
    if refilter.is_none() && !rules.keeps(path, is_dir) {
        return Vec::new();
    }
    let mut verdicts = vec![Verdict::Touched(path.clone())];
    verdicts.extend(refilter);
    verdicts
}

/// A directory is passed on only when it is watched, so that nothing falls in between.
fn appeared(path: &TreePath, is_dir: bool, known: Known, rules: &Rules) -> Vec<Verdict> {
    if is_dir && rules.keeps(path, true) {
        return vec![Verdict::Renew(path.clone())];
    }
    let mut verdicts = touched(path, is_dir, rules);
    if known.is_watched {
        verdicts.push(Verdict::Renew(path.clone()));
    }
    verdicts
}

fn vanished(path: &TreePath, is_dir: Option<bool>, known: Known, rules: &Rules) -> Vec<Verdict> {
    let points = rules.points().get();
    let below = points.into_iter().filter(|point| point.starts_with(path));
    let mut verdicts: Vec<Verdict> = below.map(Verdict::MountPointLost).collect();
    let kept = match is_dir {
        Some(is_dir) => rules.keeps(path, is_dir),
        None => rules.keeps(path, false) || rules.keeps(path, true),
    };
    let refilter = refilter(path, rules);
    if kept || known.is_watched || refilter.is_some() {
        verdicts.push(Verdict::Touched(path.clone()));
        verdicts.extend(refilter);
    }
    if known.is_watched {
        verdicts.push(Verdict::Renew(path.clone()));
    }
    verdicts
}

/// A changed ignore file changes what counts everywhere below its directory.
fn refilter(path: &TreePath, rules: &Rules) -> Option<Verdict> {
    let name = path.file_name()?;
    let is_ignore_file = rules
        .ignore_file_names()
        .iter()
        .any(|ignore| ignore.as_bytes() == name);
    is_ignore_file
        .then(|| path.parent().map(Verdict::Refilter))
        .flatten()
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
