//! `[options]`.

use std::num::NonZeroUsize;

use toml::de::DeValue;

use crate::keys;
use crate::project::{GcLimits, Options, ProjectMode, ViewMode};
use crate::read::{Item, Result};

pub(super) fn read(item: &Item<'_>) -> Result<Options> {
    let section = item.section()?;
    section.check(&keys::OPTIONS)?;
    let default = Options::default();
    let grace = section.optional("restart_grace", Item::duration)?;
    let project = section.optional("project", project)?;
    let view = section.optional("view", view)?;
    Ok(Options {
        restart_grace: grace.unwrap_or(default.restart_grace),
        project: project.unwrap_or(default.project),
        view: view.unwrap_or(default.view),
        jobs: section.optional("jobs", jobs)?,
        gc: section.optional("gc", gc)?.unwrap_or(default.gc),
    })
}

fn gc(item: &Item<'_>) -> Result<GcLimits> {
    if !matches!(item.value(), DeValue::Table(_)) {
        return Err(item.wrong_type("a table", "gc = { max_size = \"20GiB\", keep = \"7d\" }"));
    }
    let section = item.section()?;
    section.check(&keys::GC)?;
    let default = GcLimits::default();
    let keep = section.optional("keep", Item::duration)?;
    Ok(GcLimits {
        max_size: section
            .optional("max_size", max_size)?
            .unwrap_or(default.max_size),
        min_free: section.optional("min_free", Item::size)?,
        keep: keep.unwrap_or(default.keep),
    })
}

/// A size, or that there is no limit.
fn max_size(item: &Item<'_>) -> Result<Option<u64>> {
    match item.value() {
        DeValue::String(text) if text == "unlimited" => Ok(None),
        _ => item.size().map(Some),
    }
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
    item.one_of(&words)
}

fn view(item: &Item<'_>) -> Result<ViewMode> {
    item.one_of(&ViewMode::ALL.map(|mode| (mode.word(), mode)))
}
