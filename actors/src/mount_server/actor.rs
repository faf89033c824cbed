//! The MountServer actor.
//!
//! - **Owns** the namespace in which views are mounted, and the mount points in the project.
//! - **Receives** `PrepareView`, `RootAdvanced`, `MountPointLost`.
//! - **Sends** `RestartFor` (a lost mount point, a lost view) to the services.
//! - **When full** the Invalidator waits (*Await*); of roots only the newest counts (*Latest*).
//! - **After restart** it goes on with the view it had: services still run in it.

use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hd_supervision::actix::fut::wrap_future;
use hd_supervision::actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, SpawnHandle,
};
use hd_supervision::{Latest, Pool, Status};

use super::held::{Held, HeldOver};
use super::mount_points::MountPoints;
use super::retire::OldViews;
use super::view::ServiceView;
use super::views::{Views, Workshop};
use super::written::Written;
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
    /// Those it has were lost, and could not be made anew.
    pub is_given_up: bool,
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
        let view = self.held.views.as_ref().map(|views| views.main.clone());
        let Some(view) = view.filter(|view| view.is_projected() && view.is_served()) else {
            return;
        };
        view.aim(advanced.project);
        self.write_through(view, 0, ctx);
    }
}

impl Handler<PrepareView> for MountServer {
    type Result = ResponseActFuture<Self, Result<Views, BatchError>>;

    fn handle(&mut self, wish: PrepareView, _: &mut Self::Context) -> Self::Result {
        let mut made_of = wish.clone();
        made_of.main = None;
        self.held.begun += 1;
        self.hold_over();
        self.building += 1;
        let (shared, pool, points) = (self.shared.clone(), self.pool.clone(), self.points.clone());
        let (number, namespace) = (self.held.begun, self.held.namespace.clone());
        let before = self.held.views.clone();
        let built = async move {
            job(pool
                .run(move || {
                    let workshop = Workshop {
                        shared: &shared,
                        points: &points,
                        number,
                    };
                    workshop.views(namespace, before.as_ref(), &wish)
                })
                .await)
        };
        Box::pin(wrap_future::<_, Self>(built).map(move |built, this, _| {
            this.building -= 1;
            let (namespace, views) = built?;
            if let Some(project) = this.held.project {
                // A root may have come meanwhile.
                views.main.aim(project);
            }
            this.held.namespace = Some(namespace);
            if number < this.held.begun {
                // Only what is made anew for a lost one is ever overtaken.
                this.old.add(views.without(this.held.views.as_ref()));
                return Ok(views);
            }
            let before = this.held.views.replace(views.clone());
            let left = before.map(|before| before.without(Some(&views)));
            this.old.add(left.unwrap_or_default());
            this.held.wish = Some(made_of);
            this.is_given_up = false;
            this.hold_over();
            this.status
                .idle(format!("view {}", views.main.lower.tree.short()));
            Ok(views)
        }))
    }
}

impl Handler<ListWritten> for MountServer {
    type Result = ResponseActFuture<Self, Result<Vec<Written>, BatchError>>;

    fn handle(&mut self, wish: ListWritten, _: &mut Self::Context) -> Self::Result {
        self.with_views(move |shared, views| {
            let mut written = Vec::new();
            for (view, service) in layered(views, &wish.services) {
                written.extend(view.written(shared, &service)?);
            }
            Ok(written)
        })
    }
}

impl Handler<DropWritten> for MountServer {
    type Result = ResponseActFuture<Self, Result<(), BatchError>>;

    fn handle(&mut self, wish: DropWritten, _: &mut Self::Context) -> Self::Result {
        self.with_views(move |shared, views| {
            let mut all = layered(views, &wish.services).into_iter();
            all.try_for_each(|(view, service)| view.drop_layer(shared, &service))
        })
    }
}

impl Handler<KeepWritten> for MountServer {
    type Result = ResponseActFuture<Self, Result<Snapshot, BatchError>>;

    fn handle(&mut self, wish: KeepWritten, _: &mut Self::Context) -> Self::Result {
        self.in_views_on(&self.slow, move |shared, views| {
            views.keep_written(shared, &wish.name, &wish.services, &wish.running)
        })
    }
}

impl Handler<BringBack> for MountServer {
    type Result = ResponseActFuture<Self, Result<(), BatchError>>;

    fn handle(&mut self, wish: BringBack, _: &mut Self::Context) -> Self::Result {
        self.in_views(move |shared, views| views.bring_back(shared, &wish.snapshot, &wish.services))
    }
}

impl Handler<MountPointLost> for MountServer {
    type Result = ();

    fn handle(&mut self, lost: MountPointLost, _: &mut Self::Context) {
        let views = self.held.views.clone();
        let Some(views) = views.filter(|views| views.main.is_served()) else {
            return;
        };
        let view = &views.main;
        if lost.path.is_root() {
            // A projected one has files of its own. Mount points that went with it are told of one by one.
            let mut concerned = views.binding(&self.shared.declared().project);
            concerned.extend(view.is_live().then(|| view.clone()));
            self.restart_all(&RestartCause::ProjectReplaced, &concerned, &views);
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
        self.restart_all(
            &RestartCause::MountPoint(lost.path),
            slice::from_ref(view),
            &views,
        );
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
                    let is_held = |held: &Views| Arc::ptr_eq(&held.main, &view);
                    if this.held.views.as_ref().is_some_and(is_held) {
                        this.write_through(view, failures + 1, ctx);
                    }
                }));
            }),
        );
    }

    /// Does something blocking with the newest views; without any there is nothing to do.
    fn with_views<T: Default + Send + 'static>(
        &self,
        act: impl FnOnce(&Shared, &Views) -> Result<T, BatchError> + Send + 'static,
    ) -> ResponseActFuture<Self, Result<T, BatchError>> {
        match self.held.views {
            Some(_) => self.in_views(act),
            None => Box::pin(wrap_future(std::future::ready(Ok(T::default())))),
        }
    }

    /// Does something blocking with the newest views, which there must be.
    fn in_views<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Shared, &Views) -> Result<T, BatchError> + Send + 'static,
    ) -> ResponseActFuture<Self, Result<T, BatchError>> {
        self.in_views_on(&self.pool, act)
    }

    fn in_views_on<T: Send + 'static>(
        &self,
        pool: &Pool,
        act: impl FnOnce(&Shared, &Views) -> Result<T, BatchError> + Send + 'static,
    ) -> ResponseActFuture<Self, Result<T, BatchError>> {
        let (shared, pool, views) = (self.shared.clone(), pool.clone(), self.held.views.clone());
        Box::pin(wrap_future::<_, Self>(async move {
            let views = views.ok_or_else(|| {
                BatchError::new("busy", "services have no view yet").hint("`hd status` says why")
            })?;
            job(pool.run(move || act(&shared, &views)).await)
        }))
    }

    fn hold_over(&self) {
        self.held_over.set(self.held.clone());
    }

    /// Restarts all services that are to be in one of these views.
    fn restart_all(&self, cause: &RestartCause, concerned: &[Arc<ServiceView>], views: &Views) {
        let origin = Origin {
            batch: 0,
            seen_at: Instant::now(),
        };
        let restart = |name: String| {
            let view = views.of(&name).clone();
            let is_concerned = concerned.iter().any(|one| Arc::ptr_eq(one, &view));
            is_concerned.then(|| {
                let (origin, cause) = (origin, cause.clone());
                (
                    name,
                    RestartFor {
                        origin,
                        cause,
                        view,
                    },
                )
            })
        };
        let names = self.services.names().into_iter();
        self.services
            .restart_all(names.filter_map(restart).collect());
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

    /// Makes views anew whose FUSE connection has ended though nobody unmounted them; those that answer stay.
    fn look_after_view(&mut self, ctx: &mut Context<Self>) {
        let lost = self.held.views.clone().filter(|held| !held.are_served());
        let (Some(lost), Some(mut wish), false) = (lost, self.held.wish.clone(), self.is_given_up)
        else {
            return;
        };
        if self.building > 0 {
            return;
        }
        let note = "the view of the services was lost (its FUSE connection ended); making it anew";
        self.shared.events.tell(Event::Note(note.to_owned()));
        wish.main = Some(lost.main.clone()).filter(|main| main.is_served());
        let made = self.handle(wish, ctx);
        ctx.spawn(made.map(move |made, this, _| match made {
            Ok(views) if this.are_held(&views) => {
                let anew = views.without(Some(&lost));
                this.restart_all(&RestartCause::ViewLost, &anew, &views);
            }
            // Whoever wanted the newer ones restarts what ran in the lost.
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "the view cannot be made anew");
                this.status.idle(format!("view lost: {error}"));
                // Looked at again only when others are wanted; the Invalidator keeps none that is lost.
                this.is_given_up = true;
            }
        }));
    }

    fn are_held(&self, views: &Views) -> bool {
        let held = self.held.views.as_ref();
        held.is_some_and(|held| views.without(Some(held)).is_empty())
    }
}

/// Gives the services that have a write layer, of those that are named or of all, with their views.
fn layered(views: &Views, named: &[String]) -> Vec<(Arc<ServiceView>, String)> {
    let mut all = Vec::new();
    for view in views.all() {
        let names = view.layered().into_iter();
        let names = names.filter(|name| named.is_empty() || named.contains(name));
        all.extend(names.map(|name| (view.clone(), name)));
    }
    all
}
