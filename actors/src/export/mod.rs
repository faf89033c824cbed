//! The environment as an OCI image: the steps made true first, then its trees become layers; or what the steps
//! made as files of this machine.

mod gone;
pub mod outputs;
pub mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hd_dag::{Rooted, TreeError, compose};
use hd_oci::{Base as ExportBase, Exported, OnExport, Recipe, Stage, Target, Workshop};
use hd_supervision::block_on;
use tokio::sync::Notify;

use crate::base::{Base, ImageBase, skeleton};
use crate::finish::End;
use crate::messages::{BatchError, PrepareView};
use crate::model::report::Report;
use crate::model::state::Failure;
use crate::oci_fetcher::image;
use crate::runtime::{Ended, Running};
use crate::shared::Shared;
use crate::step_runner::plan::Plan;
use crate::step_runner::{accounts, prepare};

/// Layers that steps become at most; engines stop at about 120 for the whole image.
const STEP_LAYERS: usize = 64;

/// Names of variables, by service; those of the environment stand at "".
pub type Variables = BTreeMap<String, BTreeSet<String>>;

/// What is to be exported, and where to.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where the image goes.
    pub target: Target,
    /// The service whose command is the image's; none leaves the choice to hd.
    pub service: Option<String>,
    /// Variables that `hd.toml` itself sets.
    pub own_env: Variables,
    /// Variables that `hd.toml` makes of what an `env_file` sets: none of [`Wish::own_env`].
    pub env_of_files: Variables,
    /// More labels.
    pub labels: BTreeMap<String, String>,
    /// `SOURCE_DATE_EPOCH`, in seconds since 1970.
    pub epoch: Option<i64>,
    /// How new layers are compressed.
    pub compression: hd_oci::Compression,
}

/// How an export ended.
#[derive(Debug)]
pub struct Done {
    /// The image.
    pub exported: Exported,
    /// What of the environment an image cannot say, for the person.
    pub notes: Vec<String>,
    /// The state of the environment.
    pub report: Report,
}

/// Asks a running export to stop; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<Notify>);

impl Interrupt {
    /// Asks, now or for later.
    pub fn stop(&self) {
        self.0.notify_one();
    }
}

/// Makes the steps true and exports; an error is how the runtime ended instead. Blocks.
pub fn export(
    running: Running,
    wish: &Wish,
    interrupt: &Interrupt,
    told: OnExport,
) -> Result<Done, Box<Ended>> {
    let mut ended = running.work();
    let done = match running.shared().built.get() {
        Some(built) if running.reason() == Some(End::Done) => {
            finish(running.shared(), built, wish, interrupt, told)
        }
        _ => {
            running.clean_up(&ended.report);
            return Err(Box::new(ended));
        }
    };
    running.clean_up(&ended.report);
    match done {
        Ok((exported, notes)) => Ok(Done {
            exported,
            notes,
            report: ended.report,
        }),
        Err(error) => {
            let failure = Failure::from(&error);
            (ended.exit, ended.report.error) = (failure.exit, Some(failure.error));
            Err(Box::new(ended))
        }
    }
}

fn finish(
    shared: &Shared,
    built: &PrepareView,
    wish: &Wish,
    interrupt: &Interrupt,
    told: OnExport,
) -> Result<(Exported, Vec<String>), BatchError> {
    let Base::Image(base) = &built.base.environment else {
        return Err(BatchError::new(
            "config",
            "an image needs a base image: this environment stands on this machine's own system",
        )
        .at(shared.settings.config_path.display().to_string())
        .hint("name one: `base = \"IMAGE\"` in [environment], or --base IMAGE"));
    };
    let plan = prepare::plan(shared, &built.declared, &built.base.environment)?;
    let owners = accounts::owners_in(shared, &built.declared, base, &plan, built.outcome.lower)?;
    let stages = stages(shared, built, &plan)?;
    // While the image is on its way a collection may run, but not over these.
    let trees: Vec<Rooted> = stages.iter().map(|stage| stage.tree).collect();
    let work = shared.session.work()?;
    let _needed = shared.session.need(&[trees, vec![base.rooted]].concat());
    shared.flush()?;
    drop(work);
    let (run, notes) = run::config(&built.declared, &built.base.environment, wish)?;
    let directory = shared.settings.paths.works();
    std::fs::create_dir_all(&directory)
        .map_err(|e| BatchError::new("io", e).at(directory.display().to_string()))?;
    let exporting = async {
        let (client, source, image) = known(shared, base).await?;
        let workshop = Workshop {
            client,
            store: shared.store.clone(),
            trees: shared.trees.clone(),
            directory,
        };
        let recipe = Recipe {
            base: ExportBase { source, image },
            stages,
            owners,
            run,
            epoch: wish.epoch,
            compression: wish.compression,
        };
        let export = hd_oci::export(&workshop, &recipe, &wish.target, told);
        tokio::select! {
            done = export => done.map_err(|e| failed(wish, e)),
            () = interrupt.0.notified() => Err(BatchError::new("interrupted", "stopped before the image was complete")
                .at(wish.target.to_string())),
        }
    };
    let exported = block_on(exporting).map_err(|e| BatchError::new("internal", e))??;
    Ok((exported, notes))
}

fn failed(wish: &Wish, error: hd_oci::ExportError) -> BatchError {
    BatchError::new("export", error)
        .at(wish.target.to_string())
        .hint("the name stands for what it stood for before; what is complete is not sent again")
}

/// The base as it was pulled.
async fn known(
    shared: &Shared,
    base: &ImageBase,
) -> Result<(hd_oci::Client, hd_oci::Source, hd_oci::Image), BatchError> {
    let (client, source) = image::client(&shared.settings, &base.reference)?;
    let found = client.last_pulled(&source, &shared.store, drop).await;
    let found = found.map_err(|e| BatchError::new("image", e).at(&base.reference))?;
    let same = found.filter(|found| found.rooted.tree == base.rooted.tree);
    let image = same.ok_or_else(|| {
        BatchError::new("image", "the base was changed while the image was built")
            .at(&base.reference)
            .hint("run it again")
    })?;
    Ok((client, source, image))
}

/// A layer for each step, and the project last, so that an edit of it changes only that one.
fn stages(shared: &Shared, built: &PrepareView, plan: &Plan) -> Result<Vec<Stage>, BatchError> {
    let tree = |e: TreeError| BatchError::new("store", e);
    let trees = &*shared.trees;
    let base = built.base.environment.tree().unwrap_or_else(Rooted::empty);
    let mut laid =
        skeleton::ensure(trees, &built.base.environment, base, &plan.needed()).map_err(tree)?;
    let outcome = &built.outcome;
    let mut stages: Vec<Stage> = Vec::new();
    // What steps of other stages made is in the image only where a step has copied it.
    let wanted = built.declared.steps.iter();
    let done = wanted.zip(outcome.outputs.iter().zip(&outcome.steps));
    let own = done.filter(|(wanted, _)| wanted.options.stage.is_none());
    for (output, step) in own.map(|(_, done)| done) {
        laid = compose(trees, &laid, output).map_err(tree)?;
        let made_by = format!("hd {}: {}", step.name, step.command);
        let full = stages.len() == STEP_LAYERS;
        match stages.last_mut() {
            Some(last) if full => last.tree = laid,
            _ => stages.push(Stage {
                made_by,
                tree: laid,
            }),
        }
    }
    let name = &built.declared.project.name;
    stages.push(Stage {
        made_by: format!("hd project {name}"),
        tree: outcome.view,
    });
    Ok(stages)
}
