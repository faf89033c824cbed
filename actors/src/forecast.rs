//! What a project is now and what `hd up` would do to its steps, without doing it.
//!
//! The project is read and its tree computed as a runtime does it, but nothing runs, no reference
//! moves and no state is written. Beside a running instance it sees the same files.

use std::sync::Arc;

use hd_dag::{Rooted, Trees};
use hd_sandbox::{Stdio, TtySize};
use hd_store::Id;
use hd_supervision::block_on;

use crate::Settings;
use crate::base::Bases;
use crate::chunk_store::filter::ProjectFilter;
use crate::chunk_store::ingest::ingest;
use crate::dag_engine::project::advance;
use crate::dag_engine::root::environment;
use crate::events::Events;
use crate::messages::{BatchError, Paths};
use crate::mount_server::journal::Journal;
use crate::mount_server::mount_points::MountPoints;
use crate::oci_fetcher::image;
use crate::shared::Shared;
use crate::step_runner::ahead::{Expected, look_ahead};
use crate::step_runner::twice::{Twice, twice};
use crate::step_runner::wanted::Wanted;
use crate::step_runner::within::{Within, within};
use crate::step_runner::world::Worlds;

/// The project as it is now.
#[derive(Debug)]
pub struct Forecast {
    shared: Arc<Shared>,
    bases: Bases,
    wanted: Vec<Wanted>,
    project: Rooted,
    root: Id,
}

/// Reads the project. Blocks; puts the contents of changed files into the store, nothing else.
///
/// An image that was never pulled is not pulled for this: the error says so.
pub fn forecast(settings: Settings, events: Events) -> Result<Forecast, BatchError> {
    Forecast::on(Arc::new(Shared::new(settings, events)?))
}

impl Forecast {
    /// Reads the project with handles that are there already.
    pub(crate) fn on(shared: Arc<Shared>) -> Result<Self, BatchError> {
        let bases = bases(&shared)?;
        let (settings, declared) = (&shared.settings, shared.declared());
        let points = MountPoints::beside(settings);
        // A running instance has made directories of its own in the project.
        let journal = Journal::new(settings.paths.clone(), settings.project_dir.clone());
        points.set(journal.read());
        let filter = ProjectFilter::new(declared.project.file_filter(), points);
        let found = ingest(&shared, &filter, &Paths::Rescan)?.found;
        let failed = |e: hd_dag::TreeError| BatchError::new("store", e);
        let advanced = advance(&*shared.trees, None, &found).map_err(failed)?;
        let project = advanced.project.rooted;
        let (wanted, tree) = (declared.steps.to_vec(), project.tree);
        let nodes = environment(&declared.project, &declared.env, &bases, &wanted, tree)
            .map_err(|e| BatchError::new("internal", e))?;
        let root = nodes.save(&*shared.trees).map_err(failed)?;
        Ok(Forecast {
            shared,
            bases,
            wanted,
            project,
            root,
        })
    }

    /// The root of the Env node.
    pub fn root(&self) -> Id {
        self.root
    }

    /// Trees and nodes, those of [`Self::root`] among them.
    pub fn trees(&self) -> &dyn Trees {
        &*self.shared.trees
    }

    /// What each step would do, in order.
    pub fn steps(&self) -> Result<Vec<Expected>, BatchError> {
        let declared = self.shared.declared();
        let worlds = Worlds::of(&self.shared, &declared, &self.bases)?;
        look_ahead(&self.shared, &worlds, self.project, &self.wanted)
    }

    /// Opens a shell in the view of a step, by either of its names.
    pub(crate) fn within(
        &self,
        step: &str,
        tty: Option<TtySize>,
        stdio: Stdio,
    ) -> Result<Within, BatchError> {
        let index = self.index(step)?;
        let declared = self.shared.declared();
        let worlds = Worlds::of(&self.shared, &declared, &self.bases)?;
        let step = (&*self.wanted, index);
        within(&self.shared, &worlds, self.project, step, (tty, stdio))
    }

    fn index(&self, step: &str) -> Result<usize, BatchError> {
        let named = |wanted: &Wanted| wanted.name == step || wanted.slug == step;
        self.wanted.iter().position(named).ok_or_else(|| {
            BatchError::new("config", format!("there is no step `{step}`"))
                .at(step)
                .hint("`hd plan` lists them")
        })
    }

    /// Runs a step, by either of its names, twice from nothing.
    pub(crate) fn twice(&self, step: &str) -> Result<Twice, BatchError> {
        let index = self.index(step)?;
        let declared = self.shared.declared();
        let worlds = Worlds::of(&self.shared, &declared, &self.bases)?;
        twice(&self.shared, &worlds, self.project, &self.wanted, index)
    }
}

/// The bases as they were pulled before.
fn bases(shared: &Shared) -> Result<Bases, BatchError> {
    let images = shared.declared().images().of_steps();
    let known = async |reference: String| {
        image::known(shared, &reference).await?.ok_or_else(|| {
            BatchError::new("image", format!("{reference} was not pulled yet"))
                .at(reference.clone())
                .hint("`hd up` or `hd build` pulls it; every step would run")
        })
    };
    block_on(image::all(shared, &images, known)).map_err(|e| BatchError::new("io", e))?
}
