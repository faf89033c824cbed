//! The MountServer actor.
//!
//! - **Owns** the namespace in which views are mounted, and the mount points in the project.
//! - **Receives** `PrepareView`, `RootAdvanced`, `MountPointLost`.
//! - **Sends** `RestartFor` (a lost mount point, a lost view) to the services.
//! - **When full** the Invalidator waits (*Await*); of roots only the newest counts (*Latest*).
//! - **After restart** it goes on with the view it had: services still run in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hd_supervision::actix::fut::wrap_future;
use hd_supervision::actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, SpawnHandle,
};
use hd_supervision::{Latest, Pool, Status};

use super::held::{Held, HeldOver};
use super::mount_points::MountPoints;
use super::prepare;
use super::retire::OldViews;
use super::view::ServiceView;
use super::written::Written;
use crate::base::ids::Ids;
use crate::chunk_store::actor::job;
use crate::events::Event;
use crate::messages::{
    BatchError, BringBack, DropWritten, KeepWritten, ListWritten, MountPointLost, Origin,
    PrepareView, RestartCause, RestartFor, RootAdvanced,
};
use crate::model::snapshot::Snapshot;
use crate::service_supervisor::directory::Directory;
use crate::shared::Shared;

/// How often it looks whether the view of the services still answers.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Pause before edits that could not be written through are tried again; doubled each time.
const AGAIN_FIRST: Duration = Duration::from_millis(250);
/// Longest such pause.
const AGAIN_MAX: Duration = Duration::from_secs(10);

/// Builds views and keeps their mount points.
#[derive(Debug)]
pub struct MountServer {
    /// Shared handles.
    pub shared: Arc<Shared>,
    /// Where blocking jobs run.
    pub pool: Pool,
    /// Where jobs run that may take long and that no mount has to wait for.
    pub slow: Pool,
    /// Directories hd made in the project.
    pub points: MountPoints,
    /// The newest root.
    pub roots: Latest<RootAdvanced>,
    /// To the services.
    pub services: Directory,
    /// Where it says what it does.
    pub status: Status,
    /// What it has made, and its predecessors before a restart.
    pub held: Held,
    /// Where that outlives a restart.
    pub held_over: HeldOver,
    /// Views before the newest.
    pub old: OldViews,
    /// Views that are being built.
    pub building: usize,
    /// The next try to write edits through that could not be.
    pub again: Option<SpawnHandle>,
}

impl Actor for MountServer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.roots.clone().attach(ctx);
        ctx.run_interval(LOOK_EVERY, Self::look_after_view);
        ctx.run_interval(LOOK_EVERY, |this, ctx| this.retire_old_views(ctx));
    }
}

impl Handler<RootAdvanced> for MountServer {
    type Result = ();

    fn handle(&mut self, advanced: RootAdvanced, ctx: &mut Self::Context) {
        self.status.idle(format!("root {}", advanced.root.short()));
        self.held.project = Some(advanced.project);
        self.hold_over();
        // A live project is the host's own directory, so a new root needs no new view.
        let Some(view) = self.held.view.clone().filter(|view| view.is_projected()) else {
            return;
        };
        view.aim(advanced.project);
        self.write_through(view, 0, ctx);
    }
}

impl Handler<PrepareView> for MountServer {
    type Result = ResponseActFuture<Self, Result<Arc<ServiceView>, BatchError>>;

    fn handle(&mut self, wish: PrepareView, _: &mut Self::Context) -> Self::Result {
        let made_of = wish.clone();
        self.held.begun += 1;
        self.hold_over();
        self.building += 1;
        let (shared, pool, points) = (self.shared.clone(), self.pool.clone(), self.points.clone());
        let (number, namespace) = (self.held.begun, self.held.namespace.clone());
        let built = async move {
            job(pool
                .run(move || {
                    let ids = Ids::of(&wish.base.environment);
                    // Another base may need other ids.
                    let namespace = namespace.filter(|made| prepare::suits(made, &ids));
                    let namespace = match namespace {
                        Some(namespace) => namespace,
                        None => Arc::new(prepare::namespace(&shared, &ids)?),
                    };
                    let view = prepare::view(&shared, namespace.clone(), &points, &wish, number)?;
                    Ok((namespace, Arc::new(view)))
                })
                .await)
        };
        Box::pin(wrap_future::<_, Self>(built).map(move |built, this, _| {
            this.building -= 1;
            let (namespace, view) = built?;
            if let Some(project) = this.held.project {
                // A root may have come meanwhile.
                view.aim(project);
            }
            this.held.namespace = Some(namespace);
            if number < this.held.begun {
                // Only what is made anew for a lost one is ever overtaken.
                this.old.add(Some(view.clone()));
                return Ok(view);
            }
            this.old.add(this.held.view.replace(view.clone()));
            this.held.wish = Some(made_of);
            this.hold_over();
            this.status
                .idle(format!("view {}", view.lower.tree.short()));
            Ok(view)
        }))
    }
}

impl Handler<ListWritten> for MountServer {
    type Result = ResponseActFuture<Self, Result<Vec<Written>, BatchError>>;

    fn handle(&mut self, wish: ListWritten, _: &mut Self::Context) -> Self::Result {
        self.with_view(move |shared, view| {
            let mut written = Vec::new();
            for service in view.layered() {
                if wish.services.is_empty() || wish.services.contains(&service) {
                    written.extend(view.written(shared, &service)?);
                }
            }
            Ok(written)
        })
    }
}

impl Handler<DropWritten> for MountServer {
    type Result = ResponseActFuture<Self, Result<(), BatchError>>;

    fn handle(&mut self, wish: DropWritten, _: &mut Self::Context) -> Self::Result {
        self.with_view(move |shared, view| {
            let mut layered = view.layered();
            layered.retain(|name| wish.services.is_empty() || wish.services.contains(name));
            layered
                .iter()
                .try_for_each(|service| view.drop_layer(shared, service))
        })
    }
}

impl Handler<KeepWritten> for MountServer {
    type Result = ResponseActFuture<Self, Result<Snapshot, BatchError>>;

    fn handle(&mut self, wish: KeepWritten, _: &mut Self::Context) -> Self::Result {
        self.in_view_on(&self.slow, move |shared, view| {
            view.keep_written(shared, &wish.name, &wish.services, &wish.running)
        })
    }
}

impl Handler<BringBack> for MountServer {
    type Result = ResponseActFuture<Self, Result<(), BatchError>>;

    fn handle(&mut self, wish: BringBack, _: &mut Self::Context) -> Self::Result {
        self.in_view(move |shared, view| view.bring_back(shared, &wish.snapshot, &wish.services))
    }
}

impl Handler<MountPointLost> for MountServer {
    type Result = ();

    fn handle(&mut self, lost: MountPointLost, _: &mut Self::Context) {
        let Some(view) = self.held.view.clone() else {
            return;
        };
        if lost.path.is_root() {
            // A projected one has files of its own. Mount points that went with it are told of one by one.
            if view.is_live() {
                self.restart_all(&RestartCause::ProjectReplaced, &view);
            }
            return;
        }
        if !self.points.contains(&lost.path) {
            return;
        }
        // One mkdir and chown: shorter than a hop to the pool.
        if let Err(error) = view.points(&self.shared) {
            tracing::warn!(%error, path = %lost.path, "a mount point is gone and cannot be made again");
            return;
        }
        self.restart_all(&RestartCause::MountPoint(lost.path), &view);
    }
}

impl MountServer {
    /// Writes edits into the view that services have, again and again until it can be done: told the first time.
    fn write_through(&mut self, view: Arc<ServiceView>, failures: u32, ctx: &mut Context<Self>) {
        if let Some(before) = self.again.take() {
            ctx.cancel_future(before);
        }
        let (shared, pool, written) = (self.shared.clone(), self.pool.clone(), view.clone());
        let written = async move { job(pool.run(move || written.catch_up_all(&shared)).await) };
        ctx.spawn(
            wrap_future::<_, Self>(written).map(move |written, this, ctx| {
                let Err(error) = written else {
                    return;
                };
                if failures == 0 {
                    let note = format!("services do not see the edit yet: {error}");
                    this.shared.events.tell(Event::Note(note));
                }
                let pause = AGAIN_FIRST
                    .saturating_mul(1 << failures.min(16))
                    .min(AGAIN_MAX);
                this.again = Some(ctx.run_later(pause, move |this, ctx| {
                    let is_held = |held: &Arc<ServiceView>| Arc::ptr_eq(held, &view);
                    if this.held.view.as_ref().is_some_and(is_held) {
                        this.write_through(view, failures + 1, ctx);
                    }
                }));
            }),
        );
    }

    /// Does something blocking with the newest view; without one there is nothing to do.
    fn with_view<T: Default + Send + 'static>(
        &self,
        act: impl FnOnce(&Shared, &ServiceView) -> Result<T, BatchError> + Send + 'static,
    ) -> ResponseActFuture<Self, Result<T, BatchError>> {
        match self.held.view {
            Some(_) => self.in_view(act),
            None => Box::pin(wrap_future(std::future::ready(Ok(T::default())))),
        }
    }

    /// Does something blocking with the newest view, which there must be.
    fn in_view<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Shared, &ServiceView) -> Result<T, BatchError> + Send + 'static,
    ) -> ResponseActFuture<Self, Result<T, BatchError>> {
        self.in_view_on(&self.pool, act)
    }

    fn in_view_on<T: Send + 'static>(
        &self,
        pool: &Pool,
        act: impl FnOnce(&Shared, &ServiceView) -> Result<T, BatchError> + Send + 'static,
    ) -> ResponseActFuture<Self, Result<T, BatchError>> {
        let (shared, pool, view) = (self.shared.clone(), pool.clone(), self.held.view.clone());
        Box::pin(wrap_future::<_, Self>(async move {
            let view = view.ok_or_else(|| {
                BatchError::new("busy", "services have no view yet").hint("`hd status` says why")
            })?;
            job(pool.run(move || act(&shared, &view)).await)
        }))
    }

    fn hold_over(&self) {
        self.held_over.set(self.held.clone());
    }

    fn is_held(&self, view: &Arc<ServiceView>) -> bool {
        let held = self.held.view.as_ref();
        held.is_some_and(|held| Arc::ptr_eq(held, view))
    }

    fn restart_all(&self, cause: &RestartCause, view: &Arc<ServiceView>) {
        let origin = Origin {
            batch: 0,
            seen_at: Instant::now(),
        };
        let restart = RestartFor {
            origin,
            cause: cause.clone(),
            view: view.clone(),
        };
        let names = self.services.names().into_iter();
        let restarts = names.map(|name| (name, restart.clone()));
        self.services.restart_all(restarts.collect());
    }

    /// Detaches views that no service runs in any more.
    fn retire_old_views(&mut self, ctx: &mut Context<Self>) {
        let unused = self.old.unused();
        if unused.is_empty() {
            return;
        }
        let (shared, pool) = (self.shared.clone(), self.pool.clone());
        let retire = move || unused.into_iter().try_for_each(|view| view.retire(&shared));
        let retired = async move { job(pool.run(retire).await) };
        ctx.spawn(wrap_future::<_, Self>(retired).map(|retired, _, _| {
            if let Err(error) = retired {
                tracing::warn!(%error, "an old view stays mounted until hd ends");
            }
        }));
    }

    /// Makes the view anew when its FUSE connection has ended though nobody unmounted it.
    fn look_after_view(&mut self, ctx: &mut Context<Self>) {
        if self.building > 0 || self.held.view.as_ref().is_none_or(|view| view.is_served()) {
            return;
        }
        // Looked at again only when there is a new view; the Invalidator keeps none that is lost.
        self.old.add(self.held.view.take());
        let Some(wish) = self.held.wish.clone() else {
            return;
        };
        let note = "the view of the services was lost (its FUSE connection ended); making it anew";
        self.shared.events.tell(Event::Note(note.to_owned()));
        let made = self.handle(wish, ctx);
        ctx.spawn(made.map(|made, this, _| match made {
            Ok(view) if this.is_held(&view) => this.restart_all(&RestartCause::ViewLost, &view),
            // Whoever wanted the newer one restarts what ran in the lost one.
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "the view cannot be made anew");
                this.status.idle(format!("view lost: {error}"));
            }
        }));
    }
}
