//! What a step stands on: base and project with the outputs of the steps it sees laid over them.

use std::collections::{BTreeMap, HashMap};

use hd_config::step::STAGES;
use hd_dag::{
    Layer, Meta, Rooted, TreeError, TreePath, Trees, compose, graft, merge_layers, retime, subtree,
    walk,
};
use hd_store::Id;

use super::made::Output;
use super::wanted::Wanted;
use crate::base::tree_path;
use crate::messages::BatchError;

/// A composed tree, with the project and without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    /// Base, project and outputs.
    pub(super) view: Rooted,
    /// Base and outputs: what lies below a live project.
    pub(super) lower: Rooted,
}

/// What is composed in a file system: the stage's name, or none for the environment's own.
type Place = Option<String>;

/// The outputs made so far and the trees they give.
pub(super) struct Standing<'a> {
    trees: &'a dyn Trees,
    steps: &'a [Wanted],
    outputs: Vec<Option<Output>>,
    /// Composed trees by the steps whose outputs they hold.
    known: HashMap<(Place, Vec<usize>), Stand>,
}

impl<'a> Standing<'a> {
    /// Begins with trees that hold no output.
    pub(super) fn new(
        trees: &'a dyn Trees,
        steps: &'a [Wanted],
        starts: BTreeMap<Place, Stand>,
    ) -> Self {
        let starts = starts.into_iter();
        Self {
            trees,
            steps,
            outputs: vec![None; steps.len()],
            known: starts
                .map(|(place, stand)| ((place, Vec::new()), stand))
                .collect(),
        }
    }

    /// Takes the output of a step.
    pub(super) fn add(&mut self, index: usize, output: Output) {
        self.outputs[index] = Some(output);
    }

    /// Gives the layers of the steps that are done, in order.
    pub(super) fn outputs(&self) -> Vec<Rooted> {
        let done = self.outputs.iter().flatten();
        done.map(|output| output.layer).collect()
    }

    /// Composes what a step stands on, with the stages it sees in it.
    pub(super) fn below(&mut self, index: usize) -> Result<Stand, BatchError> {
        let step = &self.steps[index];
        let mut stand = self.with(step.options.stage.clone(), &step.upstream)?;
        for (name, steps) in step.options.from.iter().zip(&step.seen) {
            let stage = self.with(Some(name.clone()), steps)?;
            let place = format!("{STAGES}/{name}");
            let at = tree_path(&place).ok_or_else(|| BatchError::new("config", &place))?;
            let dir = Meta::default_dir();
            let shown = |root: &Rooted| graft(self.trees, root, &at, &stage.view, &dir, 0);
            stand = Stand {
                view: shown(&stand.view).map_err(tree_error)?,
                ..stand
            };
        }
        Ok(stand)
    }

    /// Composes the outputs of all steps that are done, but those in stages.
    pub(super) fn whole(&mut self) -> Result<Stand, BatchError> {
        let is_done = |index: &usize| self.outputs[*index].is_some();
        let done: Vec<usize> = (0..self.steps.len())
            .filter(|index| self.steps[*index].options.stage.is_none() && is_done(index))
            .collect();
        self.with(None, &done)
    }

    fn with(&mut self, place: Place, steps: &[usize]) -> Result<Stand, BatchError> {
        // From the longest beginning that is known: a chain composes each output once.
        let known = |length: usize| self.known.get(&(place.clone(), steps[..length].to_vec()));
        let longest = (0..=steps.len())
            .rev()
            .find_map(|length| Some((length, *known(length)?)));
        let (from, mut stand) =
            longest.ok_or_else(|| BatchError::new("internal", "a stage without a beginning"))?;
        for at in from..steps.len() {
            let Some(output) = self.outputs[steps[at]] else {
                continue;
            };
            self.agrees(steps[at], output.layer, &steps[..at])?;
            let laid = |lower: &Rooted| laid(self.trees, lower, output).map_err(tree_error);
            stand = Stand {
                view: laid(&stand.view)?,
                lower: laid(&stand.lower)?,
            };
            let key = (place.clone(), steps[..=at].to_vec());
            self.known.insert(key, stand);
        }
        Ok(stand)
    }

    /// Checks that an output says the same as those of the steps it was made beside.
    fn agrees(&self, index: usize, output: Rooted, others: &[usize]) -> Result<(), BatchError> {
        let step = &self.steps[index];
        for other in others.iter().filter(|other| !step.upstream.contains(other)) {
            let (Some(beside), other) = (self.outputs[*other], &self.steps[*other]) else {
                continue;
            };
            let first = Layer {
                name: &other.slug,
                rooted: beside.layer,
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

/// Lays what a step leaves over a tree. A file that was only touched is what the step found, so it says nothing
/// against a step beside it that wrote something else there: then the other's stands, with its own time.
fn laid(trees: &dyn Trees, lower: &Rooted, output: Output) -> Result<Rooted, TreeError> {
    let composed = compose(trees, lower, &output.layer)?;
    let Some(touched) = &output.touched else {
        return Ok(composed);
    };
    let files = walk(trees, touched)?;
    let files = files.filter(|item| !item.as_ref().is_ok_and(|item| item.entry.tree().is_some()));
    retime(trees, &composed, files)
}

/// Gives the tree of a directory as the project and the steps below left it; none where there is none.
pub(super) fn left_in(
    trees: &dyn Trees,
    stand: &Stand,
    at: &TreePath,
) -> Result<Option<Id>, BatchError> {
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
        layer_at(trees, files, 1)
    }

    fn layer_at(trees: &MemoryTrees, files: &[(&str, &str)], time: i64) -> Rooted {
        let entries = files.iter().map(|(path, text)| {
            let path = TreePath::new(path.as_bytes()).unwrap();
            let meta = Meta {
                mode: 0o644,
                ..Meta::default()
            };
            let entry = Entry::regular(meta, Id::of(text.as_bytes()), text.len() as u64);
            (path, entry, time)
        });
        build(trees, entries).unwrap()
    }

    fn made(trees: &MemoryTrees, files: &[(&str, &str)]) -> Output {
        Output {
            layer: layer(trees, files),
            touched: None,
        }
    }

    fn beside(slug: &str, upstream: &[usize]) -> Wanted {
        Wanted {
            slug: slug.to_owned(),
            upstream: upstream.to_vec(),
            ..Wanted::default()
        }
    }

    fn start() -> BTreeMap<Place, Stand> {
        let empty = Stand {
            view: Rooted::empty(),
            lower: Rooted::empty(),
        };
        BTreeMap::from([(None, empty)])
    }

    #[test]
    fn a_step_sees_what_it_needs_and_nothing_else() {
        let trees = MemoryTrees::new();
        let steps = [beside("a", &[]), beside("b", &[]), beside("c", &[1])];
        let mut standing = Standing::new(&trees, &steps, start());
        standing.add(0, made(&trees, &[("x/a", "1")]));
        standing.add(1, made(&trees, &[("x/b", "2")]));
        let below = standing.below(2).unwrap();
        assert_eq!(below.view.tree, layer(&trees, &[("x/b", "2")]).tree);
        standing.add(2, made(&trees, &[("c", "3")]));
        let whole = standing.whole().unwrap();
        let expected = layer(&trees, &[("c", "3"), ("x/a", "1"), ("x/b", "2")]);
        assert_eq!(whole.view.tree, expected.tree);
        assert_eq!(standing.outputs().len(), 3);
    }

    #[test]
    fn a_stage_is_seen_at_its_place_and_is_no_part_of_the_environment() {
        let trees = MemoryTrees::new();
        let mut steps = [beside("built", &[]), beside("taken", &[])];
        steps[0].options.stage = Some("build".to_owned());
        steps[1].options.from = vec!["build".to_owned()];
        steps[1].seen = vec![vec![0]];
        let stage = Stand {
            view: layer(&trees, &[("bin/cc", "c")]),
            lower: Rooted::empty(),
        };
        let mut starts = start();
        starts.insert(Some("build".to_owned()), stage);
        let mut standing = Standing::new(&trees, &steps, starts);
        assert_eq!(standing.below(0).unwrap(), stage);
        standing.add(0, made(&trees, &[("out", "o")]));
        let below = standing.below(1).unwrap();
        let expected = [("stages/build/bin/cc", "c"), ("stages/build/out", "o")];
        assert_eq!(below.view.tree, layer(&trees, &expected).tree);
        assert_eq!(below.lower, Rooted::empty());
        standing.add(1, made(&trees, &[("app", "o")]));
        let whole = standing.whole().unwrap();
        assert_eq!(whole.view.tree, layer(&trees, &[("app", "o")]).tree);
        assert_eq!(standing.outputs().len(), 2);
    }

    #[test]
    fn two_that_disagree_are_both_named() {
        let trees = MemoryTrees::new();
        let steps = [beside("front", &[]), beside("back", &[])];
        let mut standing = Standing::new(&trees, &steps, start());
        standing.add(0, made(&trees, &[("dist/x", "1"), ("same", "s")]));
        standing.add(1, made(&trees, &[("dist/x", "2"), ("same", "s")]));
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
        standing.add(0, made(&trees, &[("x", "1")]));
        standing.add(1, made(&trees, &[("x", "2")]));
        assert_eq!(
            standing.whole().unwrap().view.tree,
            layer(&trees, &[("x", "2")]).tree
        );
    }
    #[test]
    fn what_one_only_touched_is_the_other_ones_where_that_wrote_it() {
        let trees = MemoryTrees::new();
        let steps = [beside("writes", &[]), beside("touches", &[])];
        let found = layer(&trees, &[("d/x", "1"), ("d/y", "1")]);
        let stand = Stand {
            view: found,
            lower: Rooted::empty(),
        };
        let mut standing = Standing::new(&trees, &steps, BTreeMap::from([(None, stand)]));
        standing.add(0, made(&trees, &[("d/x", "2")]));
        let touches = Output {
            layer: Rooted::empty(),
            touched: Some(layer_at(&trees, &[("d/x", "1"), ("d/y", "1")], 7)),
        };
        standing.add(1, touches);
        let whole = standing.whole().unwrap();
        let expected = layer(&trees, &[("d/x", "2"), ("d/y", "1")]);
        assert_eq!(whole.view.tree, expected.tree);
        assert_eq!(whole.lower.tree, layer(&trees, &[("d/x", "2")]).tree);
        for (name, time) in [("d/x", 1), ("d/y", 7)] {
            let path = TreePath::new(name.as_bytes()).unwrap();
            let (_, stamp) = hd_dag::get_stamped(&trees, &whole.view, &path)
                .unwrap()
                .unwrap();
            assert_eq!(stamp.mtime_ns, time, "{name}");
        }
    }
}
