//! A kept directory of `[build] cache` as part of what a step leaves.

use hd_dag::{
    Diff, Edit, Entry, Meta, Rooted, TreeError, TreePath, Trees, apply, empty_tree, graft,
};
use hd_store::Id;

use super::above::with_above;

/// A directory and what a step found and left in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left<'a> {
    /// Where it is, from the root of the view.
    pub(super) at: &'a TreePath,
    /// What project and steps below had there.
    pub(super) before: Option<Id>,
    /// What is there now.
    pub(super) content: Rooted,
}

/// Puts the directory into the layer of a step upon `below`: whole, and with a whiteout for everything that was there
/// before.
///
/// An opaque directory would say the same of one step, but hide what a step beside it made there.
pub(super) fn laid(
    trees: &dyn Trees,
    layer: &Rooted,
    below: &Rooted,
    left: &Left<'_>,
) -> Result<Rooted, TreeError> {
    let before = left.before.unwrap_or_else(empty_tree);
    let gone = gone(trees, &before, &left.content.tree)?;
    if gone.is_empty() && left.content.tree == empty_tree() {
        return Ok(*layer);
    }
    let dir = Meta::default_dir();
    let layer = with_above(trees, layer, below, left.at)?;
    let grafted = graft(trees, &layer, left.at, &left.content, &dir, 0)?;
    let whiteouts = gone.iter().map(|path| Edit::Put {
        path: left.at.join_path(path),
        entry: Entry::whiteout(),
        mtime_ns: 0,
    });
    Ok(apply(trees, &grafted, whiteouts)?.0)
}

/// What one tree has and the other has not; of a directory that is gone only itself.
fn gone(trees: &dyn Trees, before: &Id, now: &Id) -> Result<Vec<TreePath>, TreeError> {
    let mut gone = Vec::new();
    // What lies below it went with it.
    let mut closed: Option<TreePath> = None;
    for change in Diff::new(trees, before, now)? {
        let change = change?;
        if closed
            .as_ref()
            .is_some_and(|dir| change.path.starts_with(dir))
        {
            continue;
        }
        match &change.new {
            None => {
                gone.push(change.path.clone());
                closed = Some(change.path);
            }
            Some(entry) if entry.tree().is_none() => closed = Some(change.path),
            Some(_) => {}
        }
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use hd_dag::{MemoryTrees, build, compose};

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    fn tree(trees: &MemoryTrees, files: &[&str]) -> Rooted {
        let entries = files.iter().map(|text| {
            let meta = Meta::owned(0o644, 0, 0);
            (
                path(text),
                Entry::regular(meta, Id::of(text.as_bytes()), 1),
                1,
            )
        });
        build(trees, entries).unwrap()
    }

    fn files_of(trees: &MemoryTrees, tree: &Rooted) -> Vec<String> {
        let items = hd_dag::walk(trees, tree).unwrap().map(Result::unwrap);
        let files = items.filter(|item| item.entry.tree().is_none());
        files.map(|item| item.path.to_string()).collect()
    }

    /// Lays what is left in `d` over a layer that is empty.
    fn left(trees: &MemoryTrees, before: Option<&[&str]>, now: &[&str]) -> Rooted {
        let left = Left {
            at: &path("d"),
            before: before.map(|files| tree(trees, files).tree),
            content: tree(trees, now),
        };
        laid(trees, &Rooted::empty(), &Rooted::empty(), &left).unwrap()
    }

    #[test]
    fn what_is_gone_from_it_is_gone_from_what_it_is_laid_over() {
        let trees = MemoryTrees::new();
        let before = ["a", "b/c", "b/d", "e/f/g", "h/i", "j"];
        let cases: [(&[&str], &[&str]); 4] = [
            (
                &before,
                &["d/a", "d/b/c", "d/b/d", "d/e/f/g", "d/h/i", "d/j", "x"],
            ),
            (&["b/c", "n"], &["d/b/c", "d/n", "x"]),
            // A directory became a file, a file a directory.
            (&["h", "j/k"], &["d/h", "d/j/k", "x"]),
            (&[], &["x"]),
        ];
        let below: Vec<String> = before.iter().map(|name| format!("d/{name}")).collect();
        let below: Vec<&str> = below.iter().map(String::as_str).chain(["x"]).collect();
        let below = tree(&trees, &below);
        for (now, expected) in cases {
            let layer = left(&trees, Some(&before), now);
            let composed = compose(&trees, &below, &layer).unwrap();
            let files = files_of(&trees, &composed);
            assert_eq!(files, expected, "{now:?}");
        }
    }

    #[test]
    fn nothing_that_was_nothing_is_nothing() {
        let trees = MemoryTrees::new();
        assert_eq!(left(&trees, None, &[]), Rooted::empty());
        assert_eq!(left(&trees, Some(&[]), &[]), Rooted::empty());
    }

    #[test]
    fn what_steps_beside_each_other_left_is_there_together() {
        let trees = MemoryTrees::new();
        let before = ["same"];
        let one = left(&trees, Some(&before), &["one", "same"]);
        let two = left(&trees, Some(&before), &["same", "two"]);
        let composed = compose(&trees, &one, &two).unwrap();
        let expected = ["d/one", "d/same", "d/two"];
        assert_eq!(files_of(&trees, &composed), expected);
    }
}
