//! `[build]`.

mod caches;
mod stages;
mod step;

use crate::keys;
use crate::path::is_at_or_below;
use crate::read::{Item, Result};
use crate::secret::Secret;
use crate::slug::unique_slugs;
use crate::step::{NamedCache, Stage, Step};

#[derive(Default)]
pub(super) struct Build {
    pub(super) steps: Vec<Step>,
    pub(super) cache: Vec<String>,
    pub(super) caches: Vec<NamedCache>,
    pub(super) stages: Vec<Stage>,
}

pub(super) fn read(item: &Item<'_>, secrets: &[Secret]) -> Result<Build> {
    let section = item.section()?;
    section.check(&keys::BUILD)?;
    let short = section.get("steps");
    let long = section.get("step");
    let caches = section.optional("caches", caches::read)?;
    let caches = caches.unwrap_or_default();
    let stages = section.optional("stages", stages::read)?;
    let stages = stages.unwrap_or_default();
    let steps = match (short, long) {
        (Some(_), Some(long)) => {
            let why = "`steps` and `[[build.step]]` cannot stand side by side";
            return Err(long.invalid_key(why, "write all of them as `[[build.step]]`"));
        }
        (Some(short), None) => commands(&short)?,
        (None, Some(long)) => step::read(&long, (&caches, secrets, &stages))?,
        (None, None) => Vec::new(),
    };
    let kept = |item: &Item<'_>| cache(item, &caches);
    let cache = section.optional("cache", kept)?.unwrap_or_default();
    Ok(Build {
        steps,
        cache,
        caches,
        stages,
    })
}

/// A list of commands, each on top of those before it.
fn commands(item: &Item<'_>) -> Result<Vec<Step>> {
    let commands = item.texts()?;
    let slugs = unique_slugs(commands.iter().map(String::as_str));
    let steps = commands.into_iter().zip(slugs).enumerate();
    let steps = steps.map(|(at, (run, slug))| Step {
        name: format!("step-{}", at + 1),
        slug,
        run,
        ..Step::default()
    });
    Ok(steps.collect())
}

fn cache(item: &Item<'_>, caches: &[NamedCache]) -> Result<Vec<String>> {
    let mut kept: Vec<String> = Vec::new();
    let named: Vec<String> = caches.iter().map(|cache| cache.path.clone()).collect();
    for element in item.elements()? {
        if element.text()?.starts_with(['/', '~']) {
            let hint =
                "name a directory of the project, or a cache anywhere by `[build.caches.NAME]`";
            return Err(element.invalid("the path is outside the project", hint));
        }
        let dir = element.path_inside()?;
        let overlaps = |other: &&String| {
            let (dir, other) = (dir.as_bytes(), other.as_bytes());
            is_at_or_below(dir, other) || is_at_or_below(other, dir)
        };
        if let Some(other) = kept.iter().chain(&named).find(overlaps) {
            let why = format!("`{dir}` and `{other}` overlap");
            return Err(element.invalid(why, "name only the outer one"));
        }
        kept.push(dir);
    }
    Ok(kept)
}
