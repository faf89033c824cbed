//! Build stages: which there are, and which the target needs.

use std::collections::BTreeSet;

use super::instruction::{Instruction, Kind};
use crate::error::{ConfigError, Problem};
use crate::keys;
use crate::source::Source;

/// One stage of a file.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// Its name in lower case, if it has one.
    pub(crate) name: Option<String>,
    /// Its FROM.
    pub(crate) from: Instruction,
    /// The image or stage it begins with, variables expanded.
    pub(crate) image: String,
    /// Its other instructions.
    pub(crate) body: Vec<Instruction>,
}

impl Stage {
    /// How people call it.
    pub(crate) fn title(&self, index: usize) -> String {
        self.name
            .clone()
            .unwrap_or_else(|| format!("stage {index}"))
    }
}

/// Expands the image of a FROM, given the ARGs before the first one.
pub(crate) type Expand<'a> =
    &'a mut dyn FnMut(&Instruction, &[Instruction]) -> Result<String, ConfigError>;

/// Splits instructions into those before the first FROM and stages; `image` expands the image of FROM.
///
/// # Errors
/// No FROM, an instruction before it, or an image that cannot be expanded.
pub(crate) fn split(
    source: &Source,
    instructions: Vec<Instruction>,
    image: Expand<'_>,
) -> Result<(Vec<Instruction>, Vec<Stage>), ConfigError> {
    let mut globals = Vec::new();
    let mut stages: Vec<Stage> = Vec::new();
    for instruction in instructions {
        if let Kind::From { name, .. } = &instruction.kind {
            let image = image(&instruction, &globals)?;
            let name = name.clone();
            stages.push(Stage {
                name,
                image,
                from: instruction,
                body: Vec::new(),
            });
        } else if let Some(stage) = stages.last_mut() {
            stage.body.push(instruction);
        } else if matches!(instruction.kind, Kind::Arg(_)) {
            globals.push(instruction);
        } else {
            let message = "only ARG may stand before the first FROM";
            return Err(wrong(
                source,
                instruction.span,
                message.to_owned(),
                "begin with `FROM IMAGE`",
            ));
        }
    }
    if stages.is_empty() {
        let hint = "begin with `FROM IMAGE`";
        return Err(wrong(source, 0..0, "the file has no FROM".to_owned(), hint));
    }
    Ok((globals, stages))
}

fn wrong(
    source: &Source,
    span: std::ops::Range<usize>,
    message: String,
    hint: &str,
) -> ConfigError {
    source.error(
        span,
        Problem::Import {
            message,
            hint: hint.to_owned(),
        },
    )
}

/// Finds a stage among the first `before` by name or number.
pub(crate) fn find(stages: &[Stage], before: usize, name: &str) -> Option<usize> {
    let name = name.to_lowercase();
    let above = stages.iter().take(before);
    let by_name = above
        .enumerate()
        .rfind(|(_, stage)| stage.name.as_deref() == Some(&name));
    let by_number = || name.parse().ok().filter(|index| *index < before);
    by_name.map(|(index, _)| index).or_else(by_number)
}

/// The stage to build: the named one, else the last.
///
/// # Errors
/// There is none of that name.
pub(crate) fn target(
    source: &Source,
    stages: &[Stage],
    name: Option<&str>,
) -> Result<usize, ConfigError> {
    let Some(name) = name else {
        return Ok(stages.len().saturating_sub(1));
    };
    find(stages, stages.len(), name).ok_or_else(|| {
        let names = stages.iter().filter_map(|stage| stage.name.as_deref());
        let hint = keys::name_advice(name, names);
        let span = stages.first().map_or(0..0, |stage| stage.from.span.clone());
        wrong(source, span, format!("there is no stage `{name}`"), &hint)
    })
}

/// The stage that a stage goes on from, if it is none of an image.
pub(crate) fn origin(stages: &[Stage], index: usize) -> Option<usize> {
    find(stages, index, &stages.get(index)?.image)
}

/// A stage and those it goes on from, in the order of the file.
pub(crate) fn line(stages: &[Stage], index: usize) -> Vec<usize> {
    let mut line: Vec<usize> =
        std::iter::successors(Some(index), |index| origin(stages, *index)).collect();
    line.reverse();
    line
}

/// Stages from which a stage takes files by `--from` or `--mount=from=`.
fn beside(stages: &[Stage], index: usize) -> Vec<usize> {
    let body = stages.get(index).map(|stage| stage.body.as_slice());
    let mut names: Vec<&str> = Vec::new();
    for instruction in body.unwrap_or_default() {
        names.extend(instruction.flag("from"));
        for mount in instruction.all("mount") {
            let mut parts = mount.split(',');
            names.extend(parts.find_map(|part| part.trim().strip_prefix("from=")));
        }
    }
    let found = names.iter().filter_map(|name| find(stages, index, name));
    found.collect()
}

/// Stages that need a file system of their own, because something is taken from them.
pub(crate) fn apart(stages: &[Stage], target: usize) -> BTreeSet<usize> {
    let mut apart = BTreeSet::new();
    let own = line(stages, target);
    let mut open: Vec<usize> = own.iter().flat_map(|at| beside(stages, *at)).collect();
    while let Some(index) = open.pop() {
        if apart.insert(index) {
            open.extend(beside(stages, index));
            open.extend(origin(stages, index));
        }
    }
    apart
}
