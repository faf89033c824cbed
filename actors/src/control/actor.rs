//! The Control actor.
//!
//! - **Owns** the control socket.
//! - **Receives** connections; each carries one request.
//! - **Sends** `Rebuild`, `StopService`, `StartService`, `HoldService`, `ResumeRules`; ends the runtime.
//! - **When full** the listening queue of the socket holds clients back.
//! - **After restart** it binds the socket anew, as often as it takes; a client that was cut off asks again.

use std::io;
use std::os::unix::net;
use std::sync::Arc;
use std::time::Duration;

use hd_supervision::actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use hd_supervision::{Status, fault};
use tokio::net::UnixListener;

use super::answer::Desk;
use super::{serve, socket};
use crate::events::Event;

/// Pause after a failed accept, such as for want of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Pause after the socket could not be bound anew.
const BIND_AGAIN: Duration = Duration::from_secs(1);

/// Answers on the control socket.
#[derive(Debug)]
pub struct Control {
    /// What answers are made of.
    pub desk: Arc<Desk>,
    /// Where it says what it does.
    pub status: Status,
    /// The socket, where it is bound already.
    pub bound: Option<net::UnixListener>,
}

impl Actor for Control {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Err(error) = self.listen(ctx) {
            let path = self.desk.shared.settings.paths.socket();
            let note = format!("no control socket at {}: {error}", path.display());
            self.desk.shared.events.tell(Event::Note(note));
            self.listen_later(ctx);
        }
    }
}

impl Control {
    fn listen(&mut self, ctx: &mut Context<Self>) -> io::Result<()> {
        let listener = match self.bound.take() {
            Some(bound) => bound,
            None => socket::bind(&self.desk.shared.settings.paths.socket())?,
        };
        listener.set_nonblocking(true)?;
        self.accept(UnixListener::from_std(listener)?, ctx);
        Ok(())
    }

    /// Tries again until it can be asked; all else goes on meanwhile.
    fn listen_later(&mut self, ctx: &mut Context<Self>) {
        self.status.idle("has no socket");
        ctx.run_later(BIND_AGAIN, |actor, ctx| {
            if let Err(error) = actor.listen(ctx) {
                tracing::debug!(%error, "still no control socket");
                actor.listen_later(ctx);
            }
        });
    }

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
