//! The queue between the ports of an actor and its handlers.
//!
//! actix's own mailbox bounds each clone of a sender for itself, does not say how long it is and never
//! yields while it drains. So mail waits here: each letter occupies a place of the port it came
//! through, and [`Pump`] hands letters to the actor inside its own context, a burst at a time.
//! Handlers, replies and `ctx.wait` behave exactly as with actix's mailbox.

use std::collections::VecDeque;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

use actix::dev::{Envelope, EnvelopeProxy};
use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context, Handler};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::fault;
use crate::lock;
use crate::port::Mail;

/// Letters handled before the actor lets its neighbours on the lane have a turn.
const BURST: usize = 64;

/// Something a port can put mail into: the mailbox of one incarnation, or a recorder of a test.
pub(crate) trait Courier<M: Mail>: Send + Sync {
    /// Queues `parcel`, or gives its message back when nobody will ever read it.
    fn post(&self, parcel: Parcel<M>) -> Result<(), M>;
}

/// A message on its way: the place it occupies is free again once the message is handled or lost.
pub(crate) struct Parcel<M: Mail> {
    pub(crate) message: M,
    pub(crate) reply: Option<oneshot::Sender<M::Result>>,
    pub(crate) place: OwnedSemaphorePermit,
}

struct Letter<A: Actor> {
    envelope: Envelope<A>,
    place: OwnedSemaphorePermit,
}

struct State<A: Actor> {
    letters: VecDeque<Letter<A>>,
    open: bool,
    reader: Option<Waker>,
}

/// The mail of one incarnation of an actor; closed for good when that incarnation ends.
pub(crate) struct Mailbox<A: Actor> {
    state: Mutex<State<A>>,
    budget: AtomicUsize,
    visited: AtomicBool,
}

impl<A: Actor> Mailbox<A> {
    /// Drops what was not read and refuses all further mail.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.open = false;
        let unread = std::mem::take(&mut state.letters);
        drop(state);
        drop(unread);
    }

    /// Grants the pump a new burst; [`Self::was_visited`] then tells whether it came to look.
    pub(crate) fn begin_turn(&self) {
        self.budget.store(BURST, Ordering::Relaxed);
        self.visited.store(false, Ordering::Relaxed);
    }

    /// Tells whether the actor read its mail this turn, rather than being inside `ctx.wait`.
    pub(crate) fn was_visited(&self) -> bool {
        self.visited.load(Ordering::Relaxed)
    }

    fn next(&self, task: &TaskContext<'_>) -> Option<Letter<A>> {
        let mut state = lock(&self.state);
        let letter = state.letters.pop_front();
        if letter.is_none() {
            state.reader = Some(task.waker().clone());
        }
        letter
    }
}

/// The mailbox as its incarnation holds it: closed when dropped.
pub(crate) struct Owner<A: Actor>(Arc<Mailbox<A>>);

impl<A: Actor> Owner<A> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mailbox {
            state: Mutex::new(State {
                letters: VecDeque::new(),
                open: true,
                reader: None,
            }),
            budget: AtomicUsize::new(BURST),
            visited: AtomicBool::new(false),
        }))
    }

    pub(crate) fn share(&self) -> Arc<Mailbox<A>> {
        Arc::clone(&self.0)
    }
}

impl<A: Actor> Deref for Owner<A> {
    type Target = Mailbox<A>;

    fn deref(&self) -> &Mailbox<A> {
        &self.0
    }
}

impl<A: Actor> Drop for Owner<A> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// How many letters wait in a mailbox, whoever it belongs to.
pub(crate) trait Depth: Send + Sync {
    fn depth(&self) -> usize;
}

impl<A: Actor> Depth for Mailbox<A> {
    fn depth(&self) -> usize {
        lock(&self.state).letters.len()
    }
}

impl<A, M> Courier<M> for Mailbox<A>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Mail,
{
    fn post(&self, parcel: Parcel<M>) -> Result<(), M> {
        let mut state = lock(&self.state);
        if !state.open {
            return Err(parcel.message);
        }
        state.letters.push_back(Letter {
            envelope: Envelope::new(parcel.message, parcel.reply),
            place: parcel.place,
        });
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }
}

/// Hands letters to the actor from inside its context, as long as it is not waiting.
pub(crate) struct Pump<A: Actor> {
    pub(crate) mailbox: Arc<Mailbox<A>>,
}

impl<A: Actor<Context = Context<A>>> ActorFuture<A> for Pump<A> {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        while !ctx.waiting() {
            self.mailbox.visited.store(true, Ordering::Relaxed);
            if self.mailbox.budget.load(Ordering::Relaxed) == 0 {
                task.waker().wake_by_ref();
                return Poll::Pending;
            }
            let Some(Letter {
                mut envelope,
                place,
            }) = self.mailbox.next(task)
            else {
                return Poll::Pending;
            };
            self.mailbox.budget.fetch_sub(1, Ordering::Relaxed);
            drop(place);
            fault::point_of_actor();
            envelope.handle(actor, ctx);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Port, Refused, WhenFull};

    struct Nobody;

    impl Actor for Nobody {
        type Context = Context<Self>;
    }

    struct Ping;
    crate::message!(Ping);

    impl Handler<Ping> for Nobody {
        type Result = ();

        fn handle(&mut self, _: Ping, _: &mut Context<Self>) {}
    }

    #[test]
    fn mail_of_an_incarnation_that_never_reached_its_lane_is_given_up() {
        let port = Port::new("ping", 2, WhenFull::Rescan);
        let owner = Owner::<Nobody>::new();
        port.bind_mailbox(&owner.share());
        assert!(port.offer(Ping).is_ok());
        assert_eq!((owner.depth(), port.queued()), (1, 1));
        drop(owner);
        assert!(matches!(port.offer(Ping), Err(Refused::Down(Ping))));
        assert_eq!(port.queued(), 0, "its places are free");
    }
}
