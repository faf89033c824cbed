//! Steps for each file system: stages first, each with its own, then the environment.

use std::collections::{BTreeMap, BTreeSet};

use super::Options;
use super::evaluate::Evaluated;
use super::event::{Event, From, What};
use super::grounds::Grounds;
use super::place;
use super::stages::{Stage, line, origin};
use super::state::who;
use super::steps::Making;
use crate::ingest::BaseImage;
use crate::path::is_at_or_below;
use crate::step::{self, StageOrigin};

/// Where a project stands when nothing says so.
const OTHERWISE: &str = "/workspace";

/// A file system in which steps are made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Site {
    /// Name of the stage; none for the environment.
    pub(crate) stage: Option<String>,
    /// Where the project stands in it.
    pub(crate) project: String,
    /// What its image says.
    pub(crate) image: BaseImage,
    /// Whether all it does is its own, so that installs may become `[dependencies]`.
    pub(crate) alone: bool,
    /// Directories that WORKDIR asked for and nothing has made yet, with the line that asked.
    pub(crate) wanted: BTreeMap<String, usize>,
    /// Directories that steps made.
    pub(crate) made: BTreeSet<String>,
    /// Whether a RUN came already.
    pub(crate) ran: bool,
}

impl Site {
    /// Who runs its steps when they do not say it.
    pub(crate) fn user(&self) -> &str {
        who(self.image.user.as_deref().unwrap_or_default())
    }
}

/// The file systems that were made.
#[derive(Debug)]
pub(crate) struct Sites {
    /// Where the project stands in the environment.
    pub(crate) project: String,
    /// Whose the project's files were to be there.
    pub(crate) owners: BTreeSet<String>,
    /// The stages.
    pub(crate) stages: Vec<step::Stage>,
}

/// Makes the steps of all file systems, in the order of the file.
pub(crate) fn make(
    making: &mut Making<'_, '_>,
    stages: &[Stage],
    grounds: &Grounds,
    evaluated: &Evaluated,
    options: &Options<'_>,
) -> Sites {
    let of = |index: usize| {
        evaluated
            .events
            .iter()
            .filter(move |one| one.stage == index)
    };
    let around = making.around;
    let choose = |stages: &[usize]| {
        let events = stages.iter().flat_map(|at| of(*at));
        place::choose(events, &evaluated.workdirs, around)
    };
    let said = |index: usize| around.image(grounds.image(index)).unwrap_or_default();
    let project = options.project.map(str::to_owned);
    let project = project.or_else(|| choose(&grounds.line));
    let project = project.unwrap_or_else(|| OTHERWISE.to_owned());
    let mut own = Site {
        project: project.clone(),
        image: evaluated.image.clone(),
        alone: grounds
            .line
            .iter()
            .all(|at| !grounds.apart.contains_key(at)),
        ..Site::default()
    };
    let mut places = Vec::new();
    for index in 0..stages.len() {
        if let Some(name) = grounds.apart.get(&index) {
            let dir = choose(&line(stages, index)).unwrap_or_else(|| project.clone());
            let site = Site {
                stage: Some(name.clone()),
                project: dir.clone(),
                image: said(index),
                ..Site::default()
            };
            making.all(site, of(index), true);
            let above = origin(stages, index).and_then(|at| grounds.apart.get(&at));
            let image = || StageOrigin::Image(grounds.image(index).to_owned());
            places.push(step::Stage {
                name: name.clone(),
                origin: above.map_or_else(image, |name| StageOrigin::Stage(name.clone())),
                workdir: Some(dir),
            });
        }
        if grounds.line.contains(&index) {
            let last = grounds.line.last() == Some(&index);
            own = making.all(own, of(index), last);
        }
    }
    places.extend(evaluated.others.iter().map(|(name, image)| step::Stage {
        name: name.clone(),
        origin: StageOrigin::Image(image.clone()),
        workdir: None,
    }));
    let owners = owners(grounds.line.iter().flat_map(|at| of(*at)), &project);
    Sites {
        project,
        owners,
        stages: places,
    }
}

/// Whose the files of the project are said to be by --chown.
fn owners<'e>(events: impl Iterator<Item = &'e Event>, project: &str) -> BTreeSet<String> {
    let owner = |event: &Event| match &event.what {
        What::Copy(copy) if copy.from == From::Context => copy
            .owner
            .clone()
            .filter(|_| is_at_or_below(copy.dest.as_bytes(), project.as_bytes())),
        _ => None,
    };
    events.filter_map(owner).collect()
}
