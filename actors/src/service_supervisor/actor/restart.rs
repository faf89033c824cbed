//! How a supervisor takes up what the conductor wishes for its service.

use std::sync::Arc;

use hd_supervision::actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};

use super::ServiceSupervisor;
use crate::messages::{RestartCause, RestartFor};
use crate::service_supervisor::memory::{Wish, told};
use crate::service_supervisor::spawner::ViewSpawner;

impl Handler<RestartFor> for ServiceSupervisor {
    type Result = ();

    fn handle(&mut self, message: RestartFor, ctx: &mut Self::Context) {
        let acts = matches!(message.cause, RestartCause::Acted { .. });
        if !acts || !message.view.is_projected() {
            self.restart_for(message, ctx);
            // As long as the message waited, they did so too; not all that it may come to is news.
            return self.parts.directory.wake_dependants(&self.parts.name);
        }
        // Who is told to read a file again must find the edit in it; a start sees to that itself.
        let (shared, view) = (self.parts.shared.clone(), message.view.clone());
        let pool = self.parts.pool.clone();
        // What cannot be written is told by the one who writes for all.
        let seen = async move { pool.run(move || view.catch_up_all(&shared)).await };
        let wishes = self.wishes;
        ctx.spawn(seen.into_actor(self).map(move |_, this, ctx| {
            // What was to be started anew meanwhile reads all anew, and perhaps in another view.
            if this.wishes == wishes {
                this.restart_for(message, ctx);
            }
        }));
    }
}

impl ServiceSupervisor {
    fn restart_for(&mut self, message: RestartFor, ctx: &mut Context<Self>) {
        let RestartFor {
            origin,
            cause,
            view,
        } = message;
        if let RestartCause::Acted { actions, .. } = &cause
            && self.acted(&told(&cause), actions, ctx)
        {
            return;
        }
        self.wishes += 1;
        let spawner = ViewSpawner {
            shared: self.parts.shared.clone(),
            definition: self.parts.definition.clone(),
            view: view.clone(),
            book: self.parts.book.clone(),
        };
        self.wished(
            Wish {
                origin,
                cause,
                view: view.lower.tree,
                spawner: Arc::new(spawner),
            },
            ctx,
        );
    }
}
