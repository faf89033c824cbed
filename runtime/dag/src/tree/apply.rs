//! Changing a tree: only what lies on the way to the edits is read and rewritten.

use super::diff::{Change, Diff};
use super::dir::{DirEdit, DirHead, Stamped, below};
use super::edits::{Edit, Plan, Plans, Put};
use crate::entry::{Entry, Meta, Target};
use crate::name::Name;
use crate::path::TreePath;
use crate::times::Rooted;
use crate::trees::{Recent, TreeError, Trees};

/// What a batch of edits changed, in the order of paths: equal to the `diff` of the trees.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Delta {
    /// The changes; times alone are none.
    pub changes: Vec<Change>,
}

impl Delta {
    /// Says whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Iterates over the changed paths.
    pub fn paths(&self) -> impl Iterator<Item = &TreePath> {
        self.changes.iter().map(|change| &change.path)
    }

    /// Says whether anything at or below `prefix` changed.
    pub fn touches(&self, prefix: &TreePath) -> bool {
        let from = self.changes.partition_point(|change| change.path < *prefix);
        let first = self.changes.get(from);
        first.is_some_and(|change| change.path.starts_with(prefix))
    }
}

/// An open directory on the way to the edits.
struct Frame<'t> {
    edit: DirEdit<'t>,
    /// Plans of names below that are still to be carried out.
    rest: std::collections::btree_map::IntoIter<Name, usize>,
    /// Where the directory goes in the one above; none for the root.
    place: Option<Place>,
}

struct Place {
    name: Name,
    head: DirHead,
    before: Option<Stamped>,
    /// Entries that are not named stay, so that below only what is named can change.
    continues: bool,
}

/// What becomes of one path.
enum Outcome {
    Same,
    Is(Option<Stamped>),
    Dir {
        head: DirHead,
        start: Rooted,
        continues: bool,
    },
}

/// Applies edits to a tree in O(edits × depth) nodes and says what changed.
///
/// Any grouping of the same edits into batches gives the same tree, which is the tree that
/// [`build`](super::build) makes of the result.
pub fn apply(
    trees: &dyn Trees,
    root: &Rooted,
    edits: impl IntoIterator<Item = Edit>,
) -> Result<(Rooted, Delta), TreeError> {
    let (new, changes) = run(trees, root, edits, true)?;
    let changes = match changes {
        Some(changes) => changes,
        None => super::diff(trees, &root.tree, &new.tree)?,
    };
    Ok((new, Delta { changes }))
}

/// Applies edits without saying what changed, which would list what is grafted.
pub(super) fn apply_silently(
    trees: &dyn Trees,
    root: &Rooted,
    edits: impl IntoIterator<Item = Edit>,
) -> Result<Rooted, TreeError> {
    run(trees, root, edits, false).map(|(new, _)| new)
}

/// Applies edits; the changes are missing when not asked for, or when the root was replaced.
fn run(
    trees: &dyn Trees,
    root: &Rooted,
    edits: impl IntoIterator<Item = Edit>,
    delta: bool,
) -> Result<(Rooted, Option<Vec<Change>>), TreeError> {
    let mut plans = Plans::of(edits)?;
    let top = std::mem::take(&mut plans.0[0]);
    let (start, continues) = match top.put {
        Some(Put::Graft(_, subtree)) => (subtree, false),
        _ if top.cut => (Rooted::empty(), false),
        _ => (*root, true),
    };
    let noted = delta && continues;
    let recent = Recent::new(trees);
    let mut apply = Apply {
        trees: &recent,
        plans,
        path: TreePath::root(),
        changes: Vec::new(),
        silent: usize::from(!noted),
    };
    let new = apply.run(start, top.below)?;
    apply.changes.sort_by(|a, b| a.path.cmp(&b.path));
    let changes = noted.then_some(apply.changes);
    Ok((new, changes))
}

struct Apply<'t> {
    trees: &'t dyn Trees,
    plans: Plans,
    path: TreePath,
    changes: Vec<Change>,
    /// Changes are noted at 0. Each open directory that is listed whole at its end adds 1.
    silent: usize,
}

impl<'t> Apply<'t> {
    fn run(
        &mut self,
        start: Rooted,
        rest: std::collections::BTreeMap<Name, usize>,
    ) -> Result<Rooted, TreeError> {
        let mut current = self.frame(start, rest, None)?;
        let mut above: Vec<Frame<'t>> = Vec::new();
        loop {
            if let Some((name, plan)) = current.rest.next() {
                let plan = std::mem::take(&mut self.plans.0[plan]);
                if let Some(deeper) = self.carry_out(&mut current, name, plan)? {
                    above.push(std::mem::replace(&mut current, deeper));
                }
                continue;
            }
            let content = current.edit.finish()?;
            let (Some(place), Some(mut parent)) = (current.place, above.pop()) else {
                return Ok(content.dir);
            };
            let now = Some(place.head.over(content));
            self.silent -= usize::from(!place.continues);
            self.note(place.before.as_ref(), now.as_ref(), place.continues)?;
            self.path.pop();
            parent.edit.set(place.name, place.before, now);
            current = parent;
        }
    }

    fn frame(
        &self,
        start: Rooted,
        rest: std::collections::BTreeMap<Name, usize>,
        place: Option<Place>,
    ) -> Result<Frame<'t>, TreeError> {
        let edit = DirEdit::new(self.trees, start)?;
        let rest = rest.into_iter();
        Ok(Frame { edit, rest, place })
    }

    /// Carries out the plan of one name; returns the directory to go on in, if it is one.
    fn carry_out(
        &mut self,
        frame: &mut Frame<'t>,
        name: Name,
        mut plan: Plan,
    ) -> Result<Option<Frame<'t>>, TreeError> {
        let before = frame.edit.before(&name)?;
        let rest = std::mem::take(&mut plan.below);
        match outcome(plan, before.as_ref()) {
            Outcome::Same => Ok(None),
            Outcome::Is(now) => {
                self.path.push(&name);
                self.note(before.as_ref(), now.as_ref(), false)?;
                self.path.pop();
                frame.edit.set(name, before, now);
                Ok(None)
            }
            Outcome::Dir {
                head,
                start,
                continues,
            } => {
                self.path.push(&name);
                self.silent += usize::from(!continues);
                let place = Place {
                    name,
                    head,
                    before,
                    continues,
                };
                self.frame(start, rest, Some(place)).map(Some)
            }
        }
    }

    /// Notes what changed at the current path and, unless `continues`, below it.
    fn note(
        &mut self,
        before: Option<&Stamped>,
        now: Option<&Stamped>,
        continues: bool,
    ) -> Result<(), TreeError> {
        if self.silent > 0 {
            return Ok(());
        }
        let old = before.map(|(entry, _)| entry);
        let new = now.map(|(entry, _)| entry);
        if old == new {
            return Ok(());
        }
        if !continues {
            let changes = Diff::between(self.trees, &self.path, old.cloned(), new.cloned());
            for change in changes {
                self.changes.push(change?);
            }
        } else if let (Some(old), Some(new)) = (old, new)
            && old.differs_itself(new)
        {
            self.changes.push(Change {
                path: self.path.clone(),
                old: Some(old.clone()),
                new: Some(new.clone()),
            });
        }
        Ok(())
    }
}

/// Decides what a path becomes; what lies below a directory is decided later.
fn outcome(plan: Plan, before: Option<&Stamped>) -> Outcome {
    let base = if plan.cut { None } else { before };
    let base_dir = base.and_then(|(entry, stamp)| Some((entry, stamp, below(entry, stamp)?)));
    let (head, start) = match plan.put {
        Some(Put::Leaf(entry, stamp)) => return Outcome::Is(Some((entry, stamp))),
        Some(Put::Graft(head, subtree)) => (Some(head), Some(subtree)),
        Some(Put::Dir(head)) => (Some(head), None),
        None => (None, None),
    };
    if head.is_none() && base_dir.is_none() && !plan.ensure_dir {
        return if plan.cut {
            Outcome::Is(None)
        } else {
            Outcome::Same
        };
    }
    let continues = start.is_none() && base_dir.is_some();
    let start = start.or(base_dir.map(|(_, _, content)| content));
    let inherited = base_dir.map(|(entry, stamp, _)| head_of(entry, stamp.mtime_ns));
    Outcome::Dir {
        head: head.or(inherited).unwrap_or_else(new_dir),
        start: start.unwrap_or_else(Rooted::empty),
        continues,
    }
}

fn head_of(entry: &Entry, mtime_ns: i64) -> DirHead {
    let opaque = matches!(entry.target, Target::Dir { opaque: true, .. });
    DirHead {
        meta: entry.meta.clone(),
        opaque,
        mtime_ns,
    }
}

fn new_dir() -> DirHead {
    DirHead {
        meta: Meta::default_dir(),
        opaque: false,
        mtime_ns: 0,
    }
}
