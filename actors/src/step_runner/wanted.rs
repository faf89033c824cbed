//! A step to make true, and what it stands on: pure.

use std::collections::BTreeMap;
use std::time::Duration;

use hd_config::{Step, StepNetwork, WatchSet};
use hd_dag::TreePath;

use crate::messages::BatchError;

/// A step to make true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `step-1`, …
    pub name: String,
    /// Short name.
    pub slug: String,
    /// The command.
    pub command: String,
    /// Run it even if a result is valid.
    pub rerun: bool,
    /// A range that the version it prints must lie in.
    pub version: Option<String>,
    /// The steps whose outputs it sees, by index, ascending.
    pub upstream: Vec<usize>,
    /// What a `[[build.step]]` says beside its command.
    pub options: Options,
}

impl Wanted {
    /// Tells whether a run of the one is a run of the other: place, names and `rerun` do not matter.
    pub fn runs_like(&self, other: &Self) -> bool {
        let of = |one: &Self| (one.command.clone(), one.version.clone());
        let options = |one: &Self| Options {
            needs: None,
            inputs: None,
            ..one.options.clone()
        };
        of(self) == of(other) && options(self) == options(other)
    }
}

/// What a `[[build.step]]` says beside its command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Slugs of `needs`, when it was given.
    pub needs: Option<Vec<String>>,
    /// Its own environment, expanded.
    pub env: BTreeMap<String, String>,
    /// What it reaches.
    pub network: StepNetwork,
    /// Time it may take.
    pub timeout: Option<Duration>,
    /// Directory it starts in, below the working directory of the project.
    pub workdir: Option<TreePath>,
    /// Project files it is expected to read.
    pub inputs: Option<WatchSet>,
    /// What of its changes is kept, below the working directory; empty keeps all.
    pub outputs: Vec<TreePath>,
    /// Names of the caches it gets.
    pub caches: Vec<String>,
    /// Names of the secrets it may read.
    pub secrets: Vec<String>,
}

impl Options {
    /// Takes over what is declared.
    pub fn of(step: &Step) -> Result<Self, BatchError> {
        let path = |text: &String| {
            TreePath::new(text.as_bytes()).map_err(|e| BatchError::new("config", e).at(&step.slug))
        };
        Ok(Self {
            needs: step.needs.clone(),
            env: step.env.clone(),
            network: step.network,
            timeout: step.timeout,
            workdir: step.workdir.as_ref().map(path).transpose()?,
            inputs: step.inputs.clone(),
            outputs: step.outputs.iter().map(path).collect::<Result<_, _>>()?,
            caches: step.caches.clone(),
            secrets: step.secrets.clone(),
        })
    }
}

/// Numbers the steps and finds what each stands on: all before it, or what it needs with all that
/// those need. The first `dependencies` steps are below every other one.
pub fn number(steps: &mut [Wanted], dependencies: usize) {
    for at in 0..steps.len() {
        let mut below = vec![false; at];
        for (index, below) in below.iter_mut().enumerate() {
            *below = match &steps[at].options.needs {
                None => true,
                Some(needs) => index < dependencies || needs.contains(&steps[index].slug),
            };
        }
        let needed: Vec<usize> = (0..at).filter(|index| below[*index]).collect();
        for index in needed {
            steps[index]
                .upstream
                .iter()
                .for_each(|up| below[*up] = true);
        }
        steps[at].name = format!("step-{}", at + 1);
        steps[at].upstream = (0..at).filter(|index| below[*index]).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(needs: &[Option<&[&str]>]) -> Vec<Wanted> {
        let names = ["a", "b", "c", "d", "e"];
        let step = |(slug, needs): (&&str, &Option<&[&str]>)| Wanted {
            slug: (*slug).to_owned(),
            options: Options {
                needs: needs.map(|needs| needs.iter().map(|name| (*name).to_owned()).collect()),
                ..Options::default()
            },
            ..Wanted::default()
        };
        names.iter().zip(needs).map(step).collect()
    }

    fn upstream(needs: &[Option<&[&str]>], dependencies: usize) -> Vec<Vec<usize>> {
        let mut steps = steps(needs);
        number(&mut steps, dependencies);
        assert_eq!(steps[0].name, "step-1");
        steps.into_iter().map(|step| step.upstream).collect()
    }

    #[test]
    fn a_chain_stands_on_all_before() {
        assert_eq!(
            upstream(&[None, None, None], 0),
            [vec![], vec![0], vec![0, 1]]
        );
    }

    #[test]
    fn needs_bring_along_what_they_need_and_dependencies_are_below_all() {
        let needs: [Option<&[&str]>; 5] = [None, Some(&[]), Some(&["b"]), Some(&["c"]), Some(&[])];
        let expected = [vec![], vec![], vec![1], vec![1, 2], vec![]];
        assert_eq!(upstream(&needs, 0), expected);
        let expected = [vec![], vec![0], vec![0, 1], vec![0, 1, 2], vec![0]];
        assert_eq!(upstream(&needs, 1), expected);
    }
}
