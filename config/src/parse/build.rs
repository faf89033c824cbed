//! `[build]`.

use crate::keys;
use crate::path::is_at_or_below;
use crate::project::Step;
use crate::read::{Item, Result};
use crate::slug::unique_slugs;

#[derive(Default)]
pub(super) struct Build {
    pub(super) steps: Vec<Step>,
    pub(super) cache: Vec<String>,
}

pub(super) fn read(item: &Item<'_>) -> Result<Build> {
    let section = item.section()?;
    section.check(&keys::BUILD)?;
    Ok(Build {
        steps: section.optional("steps", steps)?.unwrap_or_default(),
        cache: section.optional("cache", cache)?.unwrap_or_default(),
    })
}

fn steps(item: &Item<'_>) -> Result<Vec<Step>> {
    let commands = item.texts()?;
    let slugs = unique_slugs(commands.iter().map(String::as_str));
    let steps = commands.into_iter().zip(slugs).enumerate();
    let steps = steps.map(|(at, (run, slug))| Step {
        name: format!("step-{}", at + 1),
        slug,
        run,
    });
    Ok(steps.collect())
}

fn cache(item: &Item<'_>) -> Result<Vec<String>> {
    let mut kept: Vec<String> = Vec::new();
    for element in item.elements()? {
        if element.text()?.starts_with(['/', '~']) {
            let hint =
                "name a directory of the project; download caches are kept without being named";
            return Err(element.invalid("the path is outside the project", hint));
        }
        let dir = element.path_inside()?;
        let overlaps = |other: &&String| {
            let (dir, other) = (dir.as_bytes(), other.as_bytes());
            is_at_or_below(dir, other) || is_at_or_below(other, dir)
        };
        if let Some(other) = kept.iter().find(overlaps) {
            let why = format!("`{dir}` and `{other}` overlap");
            return Err(element.invalid(why, "name only the outer one"));
        }
        kept.push(dir);
    }
    Ok(kept)
}
