//! Layers as OCI stacks them (image-spec, layer.md, "Whiteouts").

use super::dir::{DirHead, Stamped, below};
use super::overlay::{Action, overlay};
use crate::entry::{Entry, Target};
use crate::map::empty_tree;
use crate::path::TreePath;
use crate::times::Rooted;
use crate::trees::{TreeError, Trees};

/// Lays a layer over a tree: whiteouts remove, opaque directories hide, directories of both join,
/// anything else of the layer replaces.
///
/// The result has neither whiteouts nor opaque directories if `lower` has none. Subtrees that only
/// one side has are shared unread, as long as the layer's hold no markers; hard-link groups and
/// times come along with their entries.
pub fn compose(trees: &dyn Trees, lower: &Rooted, layer: &Rooted) -> Result<Rooted, TreeError> {
    overlay(trees, lower, layer, &decide)
}

fn decide(
    _: &TreePath,
    lower: Option<&Stamped>,
    (upper, stamp): Stamped,
) -> Result<Action, TreeError> {
    let (opaque, marked) = match upper.target {
        Target::Whiteout => return Ok(Action::Remove),
        Target::Dir { opaque, marked, .. } => (opaque, marked),
        _ => return Ok(Action::Take((upper, stamp))),
    };
    let Some(content) = below(&upper, &stamp) else {
        return Ok(Action::Keep);
    };
    let shown = if opaque { None } else { lower };
    let shown = shown.and_then(|(entry, stamp)| below(entry, stamp));
    // Where only the layer has entries, or both have the same, there is nothing to join. The project in
    // the place that the environment keeps for it, an empty directory, is such a layer at every edit.
    let joins = shown.is_some_and(|shown| shown.tree != content.tree && shown.tree != empty_tree());
    if !joins && !marked {
        let plain = Entry::dir_of(upper.meta, content.tree);
        return Ok(Action::Take((plain, stamp)));
    }
    let head = DirHead {
        meta: upper.meta,
        opaque: false,
        mtime_ns: stamp.mtime_ns,
    };
    Ok(Action::Descend {
        head,
        // Alone, the layer's directory is laid over itself: only its markers go.
        lower: shown.filter(|_| joins).unwrap_or(content),
        upper: content,
    })
}
