//! How a supervisor keeps its service from running while it is held.

use hd_supervision::actix::{
    ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture,
};
use tokio::sync::oneshot;

use super::ServiceSupervisor;
use crate::messages::HoldService;
use crate::service_supervisor::lifecycle::Input;

impl ServiceSupervisor {
    /// Says what the service is held by, if it is; then it looks again as soon as that changes.
    pub(super) fn held(&mut self, ctx: &mut Context<Self>) -> Option<&'static str> {
        let holds = self.parts.directory.holds();
        // Begun before the look: no change after it is missed.
        let changed = holds.changed();
        let by = holds.by(&self.parts.service())?;
        if !std::mem::replace(&mut self.awaits_release, true) {
            ctx.spawn(changed.into_actor(self).map(|(), this, ctx| {
                this.awaits_release = false;
                this.feed(Input::DependenciesChanged, ctx);
                this.await_turn(ctx);
            }));
        }
        Some(by)
    }

    pub(super) fn is_held(&self) -> bool {
        let holds = self.parts.directory.holds();
        holds.by(&self.parts.service()).is_some()
    }
}

impl Handler<HoldService> for ServiceSupervisor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: HoldService, ctx: &mut Self::Context) -> Self::Result {
        let (gone, is_gone) = oneshot::channel();
        self.stops.push(gone);
        self.queued = None;
        let by = self.held(ctx).unwrap_or_default();
        self.feed(Input::Hold(by.to_owned()), ctx);
        let (pool, ahead) = (self.parts.pool.clone(), self.ahead.clone());
        Box::pin(async move {
            // Dropped unanswered, it went with its supervisor.
            let _ = is_gone.await;
            // A sandbox made ahead has mounted what is to be exchanged. One that was still being made is there
            // now: the pool has one thread. Closed, it makes none.
            let _ = pool.run(move || drop(ahead.take())).await;
        })
    }
}
