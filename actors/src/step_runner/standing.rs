//! What a step stands on: base and project with the outputs of the steps it sees laid over them.

use std::collections::HashMap;

use hd_dag::{Layer, Rooted, TreeError, TreePath, Trees, compose, merge_layers, subtree};
use hd_store::Id;

use super::wanted::Wanted;
use crate::messages::BatchError;

/// A composed tree, with the project and without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    /// Base, project and outputs.
    pub(super) view: Rooted,
    /// Base and outputs: what lies below a live project.
    pub(super) lower: Rooted,
}

/// The outputs made so far and the trees they give.
pub(super) struct Standing<'a> {
    trees: &'a dyn Trees,
    steps: &'a [Wanted],
    outputs: Vec<Option<Rooted>>,
    /// Composed trees by the steps whose outputs they hold.
    known: HashMap<Vec<usize>, Stand>,
}

impl<'a> Standing<'a> {
    /// Begins with a tree that holds no output.
    pub(super) fn new(trees: &'a dyn Trees, steps: &'a [Wanted], start: Stand) -> Self {
        Self {
            trees,
            steps,
            outputs: vec![None; steps.len()],
            known: HashMap::from([(Vec::new(), start)]),
        }
    }

    /// Takes the output of a step.
    pub(super) fn add(&mut self, index: usize, output: Rooted) {
        self.outputs[index] = Some(output);
    }

    /// Gives the outputs of the steps that are done, in order.
    pub(super) fn outputs(&self) -> Vec<Rooted> {
        self.outputs.iter().flatten().copied().collect()
    }

    /// Composes what a step stands on.
    pub(super) fn below(&mut self, index: usize) -> Result<Stand, BatchError> {
        self.with(&self.steps[index].upstream.clone())
    }

    /// Composes the outputs of all steps that are done.
    pub(super) fn whole(&mut self) -> Result<Stand, BatchError> {
        let done: Vec<usize> = (0..self.steps.len())
            .filter(|index| self.outputs[*index].is_some())
            .collect();
        self.with(&done)
    }

    fn with(&mut self, steps: &[usize]) -> Result<Stand, BatchError> {
        // From the longest beginning that is known: a chain composes each output once.
        let mut from = steps.len();
        while !self.known.contains_key(&steps[..from]) {
            from -= 1;
        }
        let mut stand = self.known[&steps[..from]];
        for at in from..steps.len() {
            let Some(output) = self.outputs[steps[at]] else {
                continue;
            };
            self.agrees(steps[at], output, &steps[..at])?;
            let laid = |lower: &Rooted| compose(self.trees, lower, &output).map_err(tree_error);
            stand = Stand {
                view: laid(&stand.view)?,
                lower: laid(&stand.lower)?,
            };
            self.known.insert(steps[..=at].to_vec(), stand);
        }
        Ok(stand)
    }

    /// Checks that an output says the same as those of the steps it was made beside.
    fn agrees(&self, index: usize, output: Rooted, others: &[usize]) -> Result<(), BatchError> {
        let step = &self.steps[index];
        for other in others.iter().filter(|other| !step.upstream.contains(other)) {
            let (Some(layer), other) = (self.outputs[*other], &self.steps[*other]) else {
                continue;
            };
            let first = Layer {
                name: &other.slug,
                rooted: layer,
            };
            let second = Layer {
                name: &step.slug,
                rooted: output,
            };
            merge_layers(self.trees, &first, &second).map_err(conflict)?;
        }
        Ok(())
    }
}

/// Gives the tree of a directory as the steps below left it; none before any step is done.
pub(super) fn left_in(
    trees: &dyn Trees,
    step: &Wanted,
    stand: &Stand,
    at: &TreePath,
) -> Result<Option<Id>, BatchError> {
    if step.upstream.is_empty() {
        return Ok(None);
    }
    let found = subtree(trees, &stand.view, at).map_err(tree_error)?;
    Ok(found.map(|content| content.tree))
}

fn conflict(error: TreeError) -> BatchError {
    match error {
        TreeError::Conflict {
            path,
            first,
            second,
        } => BatchError::new(
            "step",
            format!("the steps {first} and {second} both write /{path}, and not the same"),
        )
        .at(format!("/{path}"))
        .hint(format!(
            "let {second} need {first}, or keep their outputs apart by `outputs`"
        )),
        other => tree_error(other),
    }
}

pub(super) fn tree_error(error: TreeError) -> BatchError {
    BatchError::new("store", error)
}

#[cfg(test)]
mod tests {
    use hd_dag::{Entry, MemoryTrees, Meta, build};

    use super::*;

    fn layer(trees: &MemoryTrees, files: &[(&str, &str)]) -> Rooted {
        let entries = files.iter().map(|(path, text)| {
            let path = TreePath::new(path.as_bytes()).unwrap();
            let meta = Meta {
                mode: 0o644,
                ..Meta::default()
            };
            let entry = Entry::regular(meta, Id::of(text.as_bytes()), text.len() as u64);
            (path, entry, 1)
        });
        build(trees, entries).unwrap()
    }

    fn beside(slug: &str, upstream: &[usize]) -> Wanted {
        Wanted {
            slug: slug.to_owned(),
            upstream: upstream.to_vec(),
            ..Wanted::default()
        }
    }

    fn start() -> Stand {
        Stand {
            view: Rooted::empty(),
            lower: Rooted::empty(),
        }
    }

    #[test]
    fn a_step_sees_what_it_needs_and_nothing_else() {
        let trees = MemoryTrees::new();
        let steps = [beside("a", &[]), beside("b", &[]), beside("c", &[1])];
        let mut standing = Standing::new(&trees, &steps, start());
        standing.add(0, layer(&trees, &[("x/a", "1")]));
        standing.add(1, layer(&trees, &[("x/b", "2")]));
        let below = standing.below(2).unwrap();
        assert_eq!(below.view.tree, layer(&trees, &[("x/b", "2")]).tree);
        standing.add(2, layer(&trees, &[("c", "3")]));
        let whole = standing.whole().unwrap();
        let expected = layer(&trees, &[("c", "3"), ("x/a", "1"), ("x/b", "2")]);
        assert_eq!(whole.view.tree, expected.tree);
        assert_eq!(standing.outputs().len(), 3);
    }

    #[test]
    fn two_that_disagree_are_both_named() {
        let trees = MemoryTrees::new();
        let steps = [beside("front", &[]), beside("back", &[])];
        let mut standing = Standing::new(&trees, &steps, start());
        standing.add(0, layer(&trees, &[("dist/x", "1"), ("same", "s")]));
        standing.add(1, layer(&trees, &[("dist/x", "2"), ("same", "s")]));
        let error = standing.whole().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the steps front and back both write /dist/x, and not the same"
        );
        assert_eq!((error.code, error.place.as_str()), ("step", "/dist/x"));
    }

    #[test]
    fn one_on_top_of_the_other_may_replace_it() {
        let trees = MemoryTrees::new();
        let steps = [beside("a", &[]), beside("b", &[0])];
        let mut standing = Standing::new(&trees, &steps, start());
        standing.add(0, layer(&trees, &[("x", "1")]));
        standing.add(1, layer(&trees, &[("x", "2")]));
        assert_eq!(
            standing.whole().unwrap().view.tree,
            layer(&trees, &[("x", "2")]).tree
        );
    }
}
