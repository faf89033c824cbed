//! `[options]`.

use std::num::NonZeroUsize;

use crate::keys;
use crate::project::{Options, ProjectMode};
use crate::read::{Item, Result};

pub(super) fn read(item: &Item<'_>) -> Result<Options> {
    let section = item.section()?;
    section.check(&keys::OPTIONS)?;
    let default = Options::default();
    let grace = section.optional("restart_grace", Item::duration)?;
    let project = section.optional("project", project)?;
    Ok(Options {
        restart_grace: grace.unwrap_or(default.restart_grace),
        project: project.unwrap_or(default.project),
        jobs: section.optional("jobs", jobs)?,
    })
}

fn jobs(item: &Item<'_>) -> Result<NonZeroUsize> {
    let number = item.integer()?;
    let jobs = usize::try_from(number).ok().and_then(NonZeroUsize::new);
    jobs.filter(|jobs| jobs.get() <= 1024).ok_or_else(|| {
        item.invalid(
            format!("{number} steps at a time"),
            "1 to 1024; 1 runs one after the other",
        )
    })
}

fn project(item: &Item<'_>) -> Result<ProjectMode> {
    let words = [
        ("live", ProjectMode::Live),
        ("projected", ProjectMode::Projected),
    ];
    match item.one_of(&words)? {
        ProjectMode::Live => Ok(ProjectMode::Live),
        ProjectMode::Projected => Err(item.not_yet("\"projected\"", "\"live\" works")),
    }
}
