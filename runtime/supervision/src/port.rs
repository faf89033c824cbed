//! The only way to reach an actor: a named, bounded port that outlives its restarts.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::blocking::block_on_until;
use crate::lock;
use crate::mailbox::{Courier, Mailbox, Parcel};

/// A message that can travel between lanes; implemented for every such [`Message`].
pub trait Mail: Message<Result: Send> + Send + 'static {}

impl<M: Message<Result: Send> + Send + 'static> Mail for M {}

/// What the sender does when a port is full: each edge of the catalogue names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// The message is dropped and the receiver is told to look at everything again. For events that
    /// only say "look here"; the sender keeps a flag and offers `Rescan` until it is accepted.
    Rescan,
    /// The message is merged into the one that waits. See [`Coalesce`](crate::Coalesce) and
    /// [`InFlight`](crate::InFlight).
    Coalesce,
    /// The message replaces the one that waits: only the newest matters. See
    /// [`Latest`](crate::Latest).
    Latest,
    /// The sender waits for room: [`Port::deliver`], [`Port::deliver_blocking`], [`Port::ask`].
    Await,
}

/// A message that was not accepted, given back.
#[derive(Error, PartialEq, Eq)]
pub enum Refused<M> {
    /// The port holds as many messages as it may.
    #[error("port is full")]
    Full(M),
    /// The actor is down: not started yet, between two incarnations, or ended.
    #[error("actor is down")]
    Down(M),
}

impl<M> Refused<M> {
    /// Returns the message.
    pub fn into_inner(self) -> M {
        match self {
            Self::Full(message) | Self::Down(message) => message,
        }
    }

    /// Tells whether there was no room, as opposed to no receiver.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl<M> fmt::Debug for Refused<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() {
            "Full(..)"
        } else {
            "Down(..)"
        })
    }
}

/// Why a question got no answer. Whether the message was handled is certain only where said.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AskError {
    /// No room in time: it was never accepted.
    #[error("port {port} stayed full")]
    Full {
        /// The name of the port.
        port: Arc<str>,
    },
    /// The actor is down: it was never accepted.
    #[error("the actor behind port {port} is down")]
    Down {
        /// The name of the port.
        port: Arc<str>,
    },
    /// The actor ended after accepting it and before answering.
    #[error("the actor behind port {port} ended before it answered")]
    Died {
        /// The name of the port.
        port: Arc<str>,
    },
    /// No answer in time; if the message still waits it will not be handled any more.
    #[error("no answer from port {port} in time")]
    TimedOut {
        /// The name of the port.
        port: Arc<str>,
    },
}

struct Shared<M: Mail> {
    name: Arc<str>,
    capacity: usize,
    when_full: WhenFull,
    places: Arc<Semaphore>,
    courier: Mutex<Option<Arc<dyn Courier<M>>>>,
    born: watch::Sender<bool>,
}

/// One edge of the message graph: a stable name, a real bound, and whoever serves it at the moment.
///
/// Clones share the bound. It counts messages that were accepted and not yet taken up by a handler.
/// The port stays valid when its actor is restarted: it is bound to the new incarnation; messages the
/// old one had not handled are lost, and their askers are told so.
pub struct Port<M: Mail>(Arc<Shared<M>>);

impl<M: Mail> Port<M> {
    /// Creates a port that nobody serves yet, for at most `capacity` (at least 1) waiting messages.
    #[must_use]
    pub fn new(name: &str, capacity: usize, when_full: WhenFull) -> Self {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            name: name.into(),
            capacity,
            when_full,
            places: Arc::new(Semaphore::new(capacity)),
            courier: Mutex::new(None),
            born: watch::Sender::new(false),
        }))
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns how many messages may wait.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.capacity
    }

    /// Returns what senders do when the port is full.
    #[must_use]
    pub fn when_full(&self) -> WhenFull {
        self.0.when_full
    }

    /// Returns how many messages wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.0
            .capacity
            .saturating_sub(self.0.places.available_permits())
    }

    /// Queues `message` if there is room; never waits. From any thread.
    ///
    /// # Errors
    /// Gives the message back when the port is full or its actor is down.
    pub fn offer(&self, message: M) -> Result<(), Refused<M>> {
        let place = Arc::clone(&self.0.places).try_acquire_owned().ok();
        self.hand_over(message, None, place)
    }

    /// Queues `message`, waiting up to `within` for room. It does not wait for an actor that is down.
    ///
    /// # Errors
    /// Gives the message back when the port stayed full or its actor is down.
    pub async fn deliver(&self, message: M, within: Duration) -> Result<(), Refused<M>> {
        let room = timeout(within, self.room()).await.ok().flatten();
        self.hand_over(message, None, room)
    }

    /// Does the same as [`Port::deliver`] from a thread without a runtime.
    ///
    /// # Errors
    /// Gives the message back when the port stayed full or its actor is down.
    pub fn deliver_blocking(&self, message: M, within: Duration) -> Result<(), Refused<M>> {
        let room = block_on_until(self.room(), within).flatten();
        self.hand_over(message, None, room)
    }

    /// Queues `message`, waiting for room, and returns the answer, all within `within`.
    ///
    /// While the tree starts, it waits for the first incarnation too: that of a later child may not
    /// be there yet. It does not wait for one that is down later.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask(&self, message: M, within: Duration) -> Result<M::Result, AskError> {
        let port = || Arc::clone(&self.0.name);
        let deadline = Instant::now() + within;
        let (reply, answer) = oneshot::channel();
        // Never born in time: handing it over says so.
        let _ = timeout_at(deadline, self.birth()).await;
        let room = timeout_at(deadline, self.room()).await.ok().flatten();
        self.hand_over(message, Some(reply), room)
            .map_err(|refused| match refused {
                Refused::Full(_) => AskError::Full { port: port() },
                Refused::Down(_) => AskError::Down { port: port() },
            })?;
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(AskError::Died { port: port() }),
            Err(_) => Err(AskError::TimedOut { port: port() }),
        }
    }

    /// Lets `courier` serve the port from now on.
    pub(crate) fn bind(&self, courier: Arc<dyn Courier<M>>) {
        *lock(&self.0.courier) = Some(courier);
        self.0.born.send_replace(true);
    }

    /// Lets the mailbox of a new incarnation serve the port.
    pub(crate) fn bind_mailbox<A>(&self, mailbox: &Arc<Mailbox<A>>)
    where
        A: Actor<Context = Context<A>> + Handler<M>,
    {
        let courier: Arc<dyn Courier<M>> = Arc::clone(mailbox) as _;
        self.bind(courier);
    }

    async fn birth(&self) {
        // It fails only when the port is gone, and then nobody asks.
        let _ = self.0.born.subscribe().wait_for(|born| *born).await;
    }

    async fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.places).acquire_owned().await.ok()
    }

    fn hand_over(
        &self,
        message: M,
        reply: Option<oneshot::Sender<M::Result>>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Refused<M>> {
        let courier = lock(&self.0.courier).clone();
        let Some(courier) = courier else {
            return Err(Refused::Down(message));
        };
        let Some(place) = place else {
            return Err(Refused::Full(message));
        };
        let parcel = Parcel {
            message,
            reply,
            place,
        };
        courier.post(parcel).map_err(Refused::Down)
    }
}

impl<M: Mail> Clone for Port<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Mail> fmt::Debug for Port<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("name", &self.0.name)
            .field("capacity", &self.0.capacity)
            .field("when_full", &self.0.when_full)
            .finish_non_exhaustive()
    }
}

/// Implements [`actix::Message`] for a type: `message!(Touched)` or `message!(Apply => Result<u32, Oops>)`.
#[macro_export]
macro_rules! message {
    ($name:ty) => {
        $crate::message!($name => ());
    };
    ($name:ty => $answer:ty) => {
        impl $crate::actix::Message for $name {
            type Result = $answer;
        }
    };
}
