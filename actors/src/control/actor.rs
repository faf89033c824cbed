//! The Control actor.
//!
//! - **Owns** the control socket.
//! - **Receives** connections; each carries one request.
//! - **Sends** `Rebuild`, `StopService`, `StartService`, `HoldService`, `ResumeRules`; ends the runtime.
//! - **When full** the listening queue of the socket holds clients back.
//! - **After restart** it binds the socket anew; a client that was cut off asks again.

use std::sync::Arc;
use std::time::Duration;

use hd_supervision::actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture,
};
use hd_supervision::{Status, fault};
use tokio::net::UnixListener;

use super::answer::Desk;
use super::{serve, socket};
use crate::events::Event;

/// Pause after a failed accept, such as for want of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Answers on the control socket.
#[derive(Debug)]
pub struct Control {
    /// What answers are made of.
    pub desk: Arc<Desk>,
    /// Where it says what it does.
    pub status: Status,
}

impl Actor for Control {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let path = self.desk.shared.settings.paths.socket();
        let bound = socket::bind(&path).and_then(|listener| {
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener)
        });
        match bound {
            Ok(listener) => self.accept(listener, ctx),
            Err(error) => {
                let note = format!("no control socket at {}: {error}", path.display());
                self.desk.shared.events.tell(Event::Note(note));
                ctx.stop();
            }
        }
    }
}

impl Control {
    fn accept(&mut self, listener: UnixListener, ctx: &mut Context<Self>) {
        self.status.idle("listening");
        let desk = self.desk.clone();
        let serving = async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        // Its messages come through the socket, which no port counts.
                        fault::point("control");
                        drop(tokio::task::spawn_local(serve::connection(
                            stream,
                            desk.clone(),
                        )));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a control connection was not accepted");
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                    }
                }
            }
        };
        ctx.spawn(serving.into_actor(self).map(|(): (), _, _| ()));
    }
}
