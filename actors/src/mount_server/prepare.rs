//! Builds a view for services: outputs sorted, mount points made, the lower mounted once; or that of one image.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use hd_config::ProjectMode;
use hd_dag::{Rooted, TreePath};
use hd_projection::Owner;
use hd_sandbox::MountNamespace;

use super::edits::taken_away;
use super::follow::Follow;
use super::images::Wanted;
use super::journal::Journal;
use super::layers::Layers;
use super::lower::{Session, Spot};
use super::mount_points::MountPoints;
use super::outputs::{LiveOutputs, live_outputs};
use super::view::ServiceView;
use crate::base::account::Account;
use crate::base::ids::Ids;
use crate::base::{Base, skeleton};
use crate::events::Event;
use crate::messages::{BatchError, PrepareView};
use crate::model::declared::Declared;
use crate::session::Needed;
use crate::shared::{Shared, give};
use crate::step_runner::plan::Plan;
use crate::step_runner::{accounts, prepare};

/// Makes the namespace in which all views of the runtime are mounted. Blocks.
pub fn namespace(shared: &Shared, ids: &Ids) -> Result<MountNamespace, BatchError> {
    let paths = &shared.settings.paths;
    for dir in [paths.shared_stage(), paths.service_stage()] {
        std::fs::create_dir_all(&dir)
            .map_err(|e| BatchError::new("io", e).at(dir.display().to_string()))?;
    }
    shared
        .launcher()?
        .mount_namespace(&paths.shared_stage(), ids.user_namespace().as_ref())
        .map_err(|e| {
            BatchError::new("sandbox", e)
                .hint("hd needs root or user namespaces, /dev/fuse and overlayfs")
        })
}

/// Tells whether a namespace has the ids that views need.
pub fn suits(namespace: &MountNamespace, ids: &Ids) -> bool {
    namespace.has_user_namespace() == ids.user_namespace().is_some()
}

/// Builds view number `number`. Blocks.
pub fn view(
    shared: &Shared,
    namespace: Arc<MountNamespace>,
    points: &MountPoints,
    wish: &PrepareView,
    number: u64,
) -> Result<ServiceView, BatchError> {
    let ground = &wish.base.environment;
    let plan = prepare::plan(shared, &wish.declared, ground)?;
    let lower = wish.outcome.lower;
    let account = accounts::service_account(shared, &wish.declared, (ground, lower), &plan)?;
    let is_live = wish.declared.project.options.project == ProjectMode::Live;
    let (outputs, seen) = if is_live {
        (over_the_project(shared, wish, &plan)?, lower)
    } else {
        (LiveOutputs::default(), wish.outcome.view)
    };
    for (_, name) in &plan.downloads {
        own(
            &shared.settings.paths.download_cache(name),
            plan.ids.outside((plan.account.uid, plan.account.gid)),
        )?;
    }
    let follow = match is_live {
        true => None,
        false => Some(follow(shared, wish, &plan)?),
    };
    let made = Made {
        // Edits are told from the project that it began with.
        needed: shared.session.need(&[lower, seen, wish.outcome.project]),
        dir: format!("view-{number}"),
        base: ground.clone(),
        is_apart: false,
        lower,
        seen,
        plan,
        account,
        outputs,
        follow,
    };
    let view = made.shown(shared, (namespace, points), &wish.declared)?;
    if let Err(error) = view.points(shared) {
        // It is mounted and served already.
        retire_unused(shared, view);
        return Err(error);
    }
    view.aim(wish.project);
    Ok(view)
}

/// Builds the view of a service that stands on a base of its own, called `dir` in the stage of its namespace. Blocks.
pub fn apart(
    shared: &Shared,
    namespace: Arc<MountNamespace>,
    points: &MountPoints,
    declared: &Arc<Declared>,
    (base, dir): (&Base, String),
) -> Result<ServiceView, BatchError> {
    let plan = prepare::apart_plan(shared, declared, base)?;
    let below = base.tree().unwrap_or_else(Rooted::empty);
    let lower = skeleton::ensure(&*shared.trees, base, below, &plan.needed());
    let lower = lower.map_err(|e| BatchError::new("store", e))?;
    shared.flush()?;
    let made = Made {
        needed: shared.session.need(&[lower]),
        dir,
        base: base.clone(),
        is_apart: true,
        lower,
        seen: lower,
        account: plan.account.clone(),
        plan,
        outputs: LiveOutputs::default(),
        follow: None,
    };
    made.shown(shared, (namespace, points), declared)
}

/// Takes away a view that nobody uses.
pub(super) fn retire_unused(shared: &Shared, view: ServiceView) {
    let dir = view.dir.clone();
    if let Err(error) = view.retire(shared) {
        tracing::warn!(%error, dir, "a view that nobody uses stays until hd ends");
    }
}

/// A view but for its mounts.
struct Made {
    needed: Needed,
    dir: String,
    base: Base,
    is_apart: bool,
    lower: Rooted,
    seen: Rooted,
    plan: Plan,
    account: Account,
    outputs: LiveOutputs,
    follow: Option<Follow>,
}

impl Made {
    /// Mounts its lower.
    fn shown(
        self,
        shared: &Shared,
        (namespace, points): (Arc<MountNamespace>, &MountPoints),
        declared: &Arc<Declared>,
    ) -> Result<ServiceView, BatchError> {
        let spot = Spot {
            shared,
            namespace: &namespace,
            ids: &self.plan.ids,
            dir: &self.dir,
        };
        let owners = owners(&self.plan, &self.account, self.is_apart);
        let wanted = Wanted::new(self.seen, owners, self.plan.ids.shown());
        let shown = spot.show(declared.project.options.view, &wanted)?;
        if !self.is_apart {
            shared.images.note(shown.back_end.clone());
        }
        let (namespace, lower_at) = match &shown.session {
            Session::Own(_) => (namespace, Path::new(&self.dir).join("lower")),
            Session::Shared(shown) => (shown.namespace().clone(), shown.staged(0)),
        };
        Ok(ServiceView {
            lower: self.lower,
            seen: self.seen,
            declared: declared.clone(),
            plan: self.plan,
            account: self.account,
            outputs: self.outputs,
            base: self.base,
            is_apart: self.is_apart,
            namespace,
            mount_points: points.clone(),
            dir: self.dir,
            lower_at,
            layers: Layers::default(),
            session: shown.session,
            data: shown.data,
            follow: self.follow,
            _needed: self.needed,
        })
    }
}

fn follow(shared: &Shared, wish: &PrepareView, plan: &Plan) -> Result<Follow, BatchError> {
    let outputs = &wish.outcome.outputs;
    let gone = taken_away(&*shared.trees, outputs, &plan.workdir_path);
    let gone = gone.map_err(|e| BatchError::new("store", e))?;
    Ok(Follow::new(wish.outcome.project, gone))
}

/// Unowned files of the project and of the home are those of who services run as; apart from the project all are
/// as the image has them.
fn owners(plan: &Plan, account: &Account, is_apart: bool) -> Vec<Owner> {
    if is_apart {
        return Vec::new();
    }
    let places = [&plan.workdir_path, &plan.home_path];
    let owner = |at: &TreePath| Owner {
        at: at.clone(),
        uid: account.uid,
        gid: account.gid,
    };
    places.map(owner).to_vec()
}

impl ServiceView {
    /// Gives whose unowned files are in it.
    pub(super) fn owners(&self) -> Vec<Owner> {
        owners(&self.plan, &self.account, self.is_apart)
    }
}

/// Finds the outputs that can be mounted over the live project, and names the others.
fn over_the_project(
    shared: &Shared,
    wish: &PrepareView,
    plan: &Plan,
) -> Result<LiveOutputs, BatchError> {
    let tree = |e: hd_dag::TreeError| BatchError::new("store", e);
    let (trees, ground) = (&*shared.trees, &wish.base.environment);
    let base = ground.tree().unwrap_or_else(Rooted::empty);
    let below = skeleton::ensure(trees, ground, base, &plan.needed()).map_err(tree)?;
    let (lower, workdir) = (wish.outcome.lower, &plan.workdir_path);
    let outputs = live_outputs(trees, below, lower, wish.project, workdir).map_err(tree)?;
    for path in &outputs.hidden {
        let note =
            format!("{path} is an output that cannot be shown over the live project; steps see it");
        shared.events.tell(Event::Note(note));
    }
    Ok(outputs)
}

/// Makes the mount points of a view, known to scan and watcher before they appear.
pub fn make_points(
    shared: &Shared,
    points: &MountPoints,
    wanted: &[hd_dag::TreePath],
) -> Result<(), BatchError> {
    let project = &shared.settings.project_dir;
    let owner = shared.project_owner();
    let _alone = points.alone();
    points.set(wanted.iter().cloned());
    let journal = journal(shared);
    points.set_others(journal.others());
    journal.make(wanted, owner).map_err(|e| {
        let error = BatchError::new("io", format!("making mount points: {e}"))
            .at(project.display().to_string());
        match e.kind() {
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => error.hint(
                "`[options] project = \"projected\"` shows what steps made without writing into the project",
            ),
            ErrorKind::AlreadyExists => error.hint(
                "a directory of that name is an output of a step: remove what is there, or set `[options] project = \"projected\"`",
            ),
            _ => error,
        }
    })
}

/// Gives the journal of the instance.
pub fn journal(shared: &Shared) -> Journal {
    Journal::new(
        shared.settings.paths.clone(),
        shared.settings.project_dir.clone(),
    )
}

fn own(dir: &std::path::Path, owner: (u32, u32)) -> Result<(), BatchError> {
    std::fs::create_dir_all(dir)
        .and_then(|()| give(dir, owner))
        .map_err(|e| BatchError::new("io", e).at(dir.display().to_string()))
}
