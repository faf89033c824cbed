//! Two layers made side by side become one.

use super::dir::{DirHead, Stamped, below};
use super::overlay::{Action, overlay};
use crate::entry::Target;
use crate::path::TreePath;
use crate::times::{Rooted, Stamp};
use crate::trees::{TreeError, Trees};

/// A layer with the name its maker is known by.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// For the error that names who disagrees.
    pub name: &'a str,
    /// The layer.
    pub rooted: Rooted,
}

/// Merges two layers as directories; whiteouts and opaque directories stay.
///
/// Entries both have must be equal, directories in what they are themselves; else
/// [`TreeError::Conflict`] names path and makers. Of two times the later one counts, so that the
/// order of the layers does not matter.
pub fn merge_layers(
    trees: &dyn Trees,
    first: &Layer<'_>,
    second: &Layer<'_>,
) -> Result<Rooted, TreeError> {
    let policy = |path: &TreePath, lower: Option<&Stamped>, upper: Stamped| {
        decide(lower, upper).ok_or_else(|| TreeError::Conflict {
            path: path.clone(),
            first: first.name.to_owned(),
            second: second.name.to_owned(),
        })
    };
    overlay(trees, &first.rooted, &second.rooted, &policy)
}

/// Returns what becomes of a name, none on a conflict.
fn decide(lower: Option<&Stamped>, (upper, stamp): Stamped) -> Option<Action> {
    let Some((entry, other)) = lower else {
        return Some(Action::Take((upper, stamp)));
    };
    if (entry, other) == (&upper, &stamp) {
        return Some(Action::Keep);
    }
    let mtime_ns = stamp.mtime_ns.max(other.mtime_ns);
    match (below(entry, other), below(&upper, &stamp)) {
        (Some(lower), Some(content)) if !entry.differs_itself(&upper) => {
            let opaque = matches!(upper.target, Target::Dir { opaque: true, .. });
            let head = DirHead {
                meta: upper.meta,
                opaque,
                mtime_ns,
            };
            Some(Action::Descend {
                head,
                lower,
                upper: content,
            })
        }
        (None, None) if entry.id() == upper.id() => {
            let kept = entry.clone();
            Some(Action::Take((kept, Stamp::leaf(mtime_ns))))
        }
        _ => None,
    }
}
