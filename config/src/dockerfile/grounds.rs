//! File systems of a target: its own, and one for each stage that something is taken from.

use std::collections::{BTreeMap, BTreeSet};

use super::Options;
use super::stages::{Stage, apart, line};
use crate::error::{ConfigError, Problem};
use crate::ingest::draft::plain_name;
use crate::source::Source;

/// Image without any file.
pub(crate) const SCRATCH: &str = "scratch";

/// Which file systems there are, and what they stand on.
#[derive(Debug)]
pub(crate) struct Grounds {
    /// The target and the stages it goes on from, in the order of the file.
    pub(crate) line: Vec<usize>,
    /// Stages with a file system of their own, and their names in `hd.toml`.
    pub(crate) apart: BTreeMap<usize, String>,
    /// Image of the environment.
    pub(crate) base: String,
    images: BTreeMap<usize, String>,
}

impl Grounds {
    /// Tells whether the target needs a stage.
    pub(crate) fn needs(&self, index: usize) -> bool {
        self.images.contains_key(&index)
    }

    /// The image a needed stage stands on.
    pub(crate) fn image(&self, index: usize) -> &str {
        self.images.get(&index).unwrap_or(&self.base)
    }
}

/// Finds the file systems of a target.
///
/// # Errors
/// No stage begins with an image.
pub(crate) fn lay(
    source: &Source,
    stages: &[Stage],
    target: usize,
    options: &Options<'_>,
) -> Result<Grounds, ConfigError> {
    let own = line(stages, target);
    let apart = apart(stages, target);
    let needed: BTreeSet<usize> = own.iter().chain(&apart).copied().collect();
    let root = |index: usize| {
        let first = line(stages, index).first().copied();
        let image = first
            .and_then(|at| stages.get(at))
            .map(|stage| &*stage.image);
        image.filter(|image| *image != SCRATCH)
    };
    // A target of scratch gets the image that stands nearest: steps need a shell.
    let nearest = || needed.iter().rev().find_map(|index| root(*index));
    let base = options.base.or_else(|| root(target)).or_else(nearest);
    let base = base.ok_or_else(|| without_image(source, stages))?;
    let image = |index: usize| options.base.or_else(|| root(index)).unwrap_or(base);
    let images = needed.iter().map(|at| (*at, image(*at).to_owned()));
    let mut taken = BTreeSet::new();
    Ok(Grounds {
        line: own,
        images: images.collect(),
        base: base.to_owned(),
        apart: apart
            .into_iter()
            .map(|at| (at, unused(&title(stages, at), &mut taken)))
            .collect(),
    })
}

fn title(stages: &[Stage], index: usize) -> String {
    let title = stages.get(index).map(|stage| stage.title(index));
    plain_name(&title.unwrap_or_default(), "stage")
}

/// A name that is not taken yet; takes it.
pub(crate) fn unused(name: &str, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    let found = names.find(|name| taken.insert(name.clone()));
    found.unwrap_or_default()
}

fn without_image(source: &Source, stages: &[Stage]) -> ConfigError {
    let span = stages.first().map_or(0..0, |stage| stage.from.span.clone());
    let message = "every stage begins with scratch, and an environment needs a base".to_owned();
    let hint = "`--base IMAGE` names one".to_owned();
    source.error(span, Problem::Import { message, hint })
}
