//! Mailboxes that hold at most one message: the newest, or the sum of all.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

use actix::dev::MessageResponse;
use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context, Handler};

use crate::fault;
use crate::lock;
use crate::port::Mail;

/// A message that can take up a newer one of its kind.
pub trait Merge {
    /// Makes this message mean what it meant before and what `newer` means.
    fn merge(&mut self, newer: Self);
}

/// The mailbox for [`WhenFull::Latest`](crate::WhenFull::Latest): a newer value replaces an older one.
///
/// It remembers its value: an actor that attaches, also after a restart, is handed the newest value
/// first, whether or not an earlier incarnation has seen it. Each attached actor sees the newest
/// value; values in between may be skipped. Clones are the same mailbox.
#[derive(Debug)]
pub struct Latest<M>(Arc<Mutex<Cell<M>>>);

/// The mailbox for [`WhenFull::Coalesce`](crate::WhenFull::Coalesce): what waits is merged into one.
///
/// A message is handed over once, to the actor attached last. Clones are the same mailbox.
#[derive(Debug)]
pub struct Coalesce<M>(Arc<Mutex<Cell<M>>>);

#[derive(Debug)]
struct Cell<M> {
    value: Option<M>,
    version: u64,
    readers: Vec<Waker>,
}

impl<M> Default for Cell<M> {
    fn default() -> Self {
        Self {
            value: None,
            version: 0,
            readers: Vec::new(),
        }
    }
}

impl<M> Cell<M> {
    fn changed(&mut self) {
        self.version += 1;
        for reader in self.readers.drain(..) {
            reader.wake();
        }
    }

    fn wait(&mut self, task: &TaskContext<'_>) {
        if !self
            .readers
            .iter()
            .any(|reader| reader.will_wake(task.waker()))
        {
            self.readers.push(task.waker().clone());
        }
    }
}

impl<M: Mail + Clone> Latest<M> {
    /// Makes `message` the newest value.
    pub fn put(&self, message: M) {
        let mut cell = lock(&self.0);
        cell.value = Some(message);
        cell.changed();
    }

    /// Returns the newest value.
    #[must_use]
    pub fn get(&self) -> Option<M> {
        lock(&self.0).value.clone()
    }

    /// Hands the newest value, and each one that is newest later, to the actor. Call it in `started`.
    pub fn attach<A>(&self, ctx: &mut Context<A>)
    where
        A: Actor<Context = Context<A>> + Handler<M>,
    {
        let cell = Arc::clone(&self.0);
        let mut seen = 0;
        ctx.spawn(Delivery(move |task: &TaskContext<'_>| {
            let mut cell = lock(&cell);
            if cell.version == seen {
                cell.wait(task);
                return None;
            }
            fault::point_of_actor();
            seen = cell.version;
            cell.value.clone()
        }));
    }
}

impl<M: Mail + Merge> Coalesce<M> {
    /// Adds `message` to what waits.
    pub fn put(&self, message: M) {
        let mut cell = lock(&self.0);
        match &mut cell.value {
            Some(waiting) => waiting.merge(message),
            empty => *empty = Some(message),
        }
        cell.changed();
    }

    /// Takes what waits.
    #[must_use]
    pub fn take(&self) -> Option<M> {
        lock(&self.0).value.take()
    }

    /// Tells whether something waits, and is of a kind.
    ///
    /// It does so until an actor takes it up: a message that nobody serves at the moment waits as well.
    #[must_use]
    pub fn waits(&self, is: impl FnOnce(&M) -> bool) -> bool {
        lock(&self.0).value.as_ref().is_some_and(is)
    }

    /// Hands what waits, and what comes later, to the actor. Call it in `started`.
    pub fn attach<A>(&self, ctx: &mut Context<A>)
    where
        A: Actor<Context = Context<A>> + Handler<M>,
    {
        let cell = Arc::clone(&self.0);
        ctx.spawn(Delivery(move |task: &TaskContext<'_>| {
            let mut cell = lock(&cell);
            if cell.value.is_none() {
                cell.wait(task);
                return None;
            }
            // Before it is taken, so that a fault does not lose it.
            fault::point_of_actor();
            cell.value.take()
        }));
    }
}

impl<M> Default for Latest<M> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<M> Clone for Latest<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> Default for Coalesce<M> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<M> Clone for Coalesce<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Feeds one handler from a slot, from inside the actor's context.
struct Delivery<F>(F);

impl<A, M, F> ActorFuture<A> for Delivery<F>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Mail,
    F: FnMut(&TaskContext<'_>) -> Option<M> + Unpin + 'static,
{
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let this = self.get_mut();
        while !ctx.waiting() {
            let Some(message) = (this.0)(task) else { break };
            actor.handle(message, ctx).handle(ctx, None);
        }
        Poll::Pending
    }
}
