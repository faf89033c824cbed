//! A step to make true, and what it stands on: pure.

use std::collections::BTreeMap;
use std::time::Duration;

use hd_config::step::lineage;
use hd_config::{Stage, Step, StepNetwork, WatchSet};
use hd_dag::TreePath;

use crate::messages::BatchError;

/// A step to make true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `step-1`, …
    pub name: String,
    /// Short name.
    pub slug: String,
    /// Its slug is a name of a person's, not made from its command or place.
    pub is_named: bool,
    /// The command.
    pub command: String,
    /// Run it even if a result is valid.
    pub rerun: bool,
    /// A range that the version it prints must lie in.
    pub version: Option<String>,
    /// The steps whose outputs it stands on, by index, ascending.
    pub upstream: Vec<usize>,
    /// The steps of the stages it sees, for each of `from` in its order, by index, ascending.
    pub seen: Vec<Vec<usize>>,
    /// What a `[[build.step]]` says beside its command.
    pub options: Options,
}

impl Wanted {
    /// Tells whether a person means it by that: `step-1`, or its slug.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.slug == name
    }

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

    /// Gives the steps that have to be done before it begins, by index.
    pub fn after(&self) -> impl Iterator<Item = usize> {
        self.upstream
            .iter()
            .chain(self.seen.iter().flatten())
            .copied()
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
    /// It reaches the SSH agent of who runs hd.
    pub ssh: bool,
    /// The stage it builds in.
    pub stage: Option<String>,
    /// Stages it sees.
    pub from: Vec<String>,
    /// Who runs it.
    pub user: Option<String>,
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
            ssh: step.ssh,
            stage: step.stage.clone(),
            from: step.from.clone(),
            user: step.user.clone(),
        })
    }
}

/// Numbers the steps and finds what each stands on and sees.
///
/// It stands on all before it in the same file system, or on what it needs with all that those
/// need. The first `dependencies` steps are below every other one of the environment.
pub fn number(steps: &mut [Wanted], dependencies: usize, stages: &[Stage]) {
    for at in 0..steps.len() {
        let (above, rest) = steps.split_at_mut(at);
        let Some(step) = rest.first_mut() else { return };
        let shares = shared_with(above, step.options.stage.as_deref(), stages);
        let mut below = vec![false; at];
        for (index, below) in below.iter_mut().enumerate() {
            *below = shares[index]
                && match &step.options.needs {
                    None => true,
                    Some(needs) => index < dependencies || needs.contains(&above[index].slug),
                };
        }
        let needed: Vec<usize> = (0..at).filter(|index| below[*index]).collect();
        for index in needed {
            above[index]
                .upstream
                .iter()
                .for_each(|up| below[*up] = true);
        }
        step.name = format!("step-{}", at + 1);
        step.upstream = (0..at).filter(|index| below[*index]).collect();
        let of_stage = |name: &String| {
            let shares = shared_with(above, Some(name), stages);
            (0..at).filter(|index| shares[*index]).collect()
        };
        step.seen = step.options.from.iter().map(of_stage).collect();
    }
}

/// Which steps build the file system of a stage, or of the environment.
fn shared_with(steps: &[Wanted], stage: Option<&str>, stages: &[Stage]) -> Vec<bool> {
    let line = stage.map(|name| lineage(stages, name));
    let builds = |step: &Wanted| match (&line, &step.options.stage) {
        (None, None) => true,
        (Some(line), Some(stage)) => line.iter().any(|one| one.name == *stage),
        _ => false,
    };
    steps.iter().map(builds).collect()
}

#[cfg(test)]
mod tests {
    use hd_config::StageOrigin;

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
        number(&mut steps, dependencies, &[]);
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

    #[test]
    fn stages_stand_on_their_own_steps_and_show_them() {
        let stage = |name: &str, origin| Stage {
            name: name.to_owned(),
            origin,
            workdir: None,
        };
        let stages = [
            stage("base", StageOrigin::Image("x:1".to_owned())),
            stage("child", StageOrigin::Stage("base".to_owned())),
        ];
        let step = |stage: Option<&str>, from: &[&str]| Wanted {
            options: Options {
                stage: stage.map(str::to_owned),
                from: from.iter().map(|name| (*name).to_owned()).collect(),
                ..Options::default()
            },
            ..Wanted::default()
        };
        let mut steps = [
            step(Some("base"), &[]),
            step(None, &[]),
            step(Some("child"), &["base"]),
            step(None, &["child", "base"]),
            step(Some("base"), &[]),
        ];
        number(&mut steps, 0, &stages);
        let upstream = steps.each_ref().map(|step| step.upstream.clone());
        assert_eq!(upstream, [vec![], vec![], vec![0], vec![1], vec![0]]);
        assert_eq!(steps[2].seen, [vec![0]]);
        assert_eq!(
            steps[3].seen,
            [vec![0, 2], vec![0]],
            "as of the steps above"
        );
    }
}
