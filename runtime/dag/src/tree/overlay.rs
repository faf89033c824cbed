//! The common part of composing and merging: one tree laid over another, directory by directory.

use super::dir::{DirEdit, DirHead, DirIter, Stamped};
use crate::name::Name;
use crate::path::TreePath;
use crate::times::Rooted;
use crate::trees::{Recent, TreeError, Trees};

/// What becomes of a name that the upper tree has.
pub(super) enum Action {
    /// The lower one stays as it is.
    Keep,
    /// Nothing is there.
    Remove,
    /// This is there.
    Take(Stamped),
    /// A directory is there: `upper` laid over `lower`.
    Descend {
        head: DirHead,
        lower: Rooted,
        upper: Rooted,
    },
}

/// Decides on one name from its path, the lower and the upper entry.
pub(super) type Policy<'p> =
    dyn Fn(&TreePath, Option<&Stamped>, Stamped) -> Result<Action, TreeError> + 'p;

struct Frame<'t> {
    upper: DirIter<'t>,
    edit: DirEdit<'t>,
    /// Where the directory goes in the one above; none for the root.
    place: Option<(Name, DirHead, Option<Stamped>)>,
}

impl<'t> Frame<'t> {
    fn new(
        trees: &'t dyn Trees,
        lower: Rooted,
        upper: &Rooted,
        place: Option<(Name, DirHead, Option<Stamped>)>,
    ) -> Result<Self, TreeError> {
        let edit = DirEdit::new(trees, lower)?;
        let upper = DirIter::new(trees, upper)?;
        Ok(Self { upper, edit, place })
    }
}

/// Lays `upper` over `lower`; of `lower` only directories that `upper` has too are read.
pub(super) fn overlay(
    trees: &dyn Trees,
    lower: &Rooted,
    upper: &Rooted,
    policy: &Policy<'_>,
) -> Result<Rooted, TreeError> {
    let trees = &Recent::new(trees);
    let mut path = TreePath::root();
    let mut current = Frame::new(trees, *lower, upper, None)?;
    let mut above: Vec<Frame<'_>> = Vec::new();
    loop {
        if let Some((name, over)) = current.upper.next().transpose()? {
            let before = current.edit.before(&name)?;
            path.push(&name);
            match policy(&path, before.as_ref(), over)? {
                Action::Keep => {}
                Action::Remove => current.edit.set(name, before, None),
                Action::Take(now) => current.edit.set(name, before, Some(now)),
                Action::Descend { head, lower, upper } => {
                    let place = Some((name, head, before));
                    let deeper = Frame::new(trees, lower, &upper, place)?;
                    above.push(std::mem::replace(&mut current, deeper));
                    continue;
                }
            }
            path.pop();
            continue;
        }
        let content = current.edit.finish()?;
        let (Some((name, head, before)), Some(mut parent)) = (current.place, above.pop()) else {
            return Ok(content.dir);
        };
        path.pop();
        parent.edit.set(name, before, Some(head.over(content)));
        current = parent;
    }
}
