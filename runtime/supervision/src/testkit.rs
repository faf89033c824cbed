//! For tests: a paused clock, ports that record, and waiting for a condition without guessing a time.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::System;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::lock;
use crate::mailbox::{Courier, Parcel};
use crate::port::{Mail, Port, WhenFull};

/// How long [`until`] waits, on the clock at hand.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `test` on a clock that stands still while anything can be done, and jumps to the next timer
/// when nothing can. Use it with [`Runtime::single_lane`](crate::Runtime::single_lane) and without
/// pools: other threads do not hold the clock back.
///
/// # Panics
/// When the system refuses the event loop.
#[expect(
    clippy::expect_used,
    reason = "a test without an event loop has failed"
)]
pub fn paused<F: Future>(test: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let event_loop = builder
        .enable_all()
        .start_paused(true)
        .build()
        .expect("event loop");
    System::with_tokio_rt(|| event_loop).block_on(test)
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within 20 seconds; the message is `what`.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(waited.await.is_ok(), "never came true: {what}");
}

/// What a recording port has received; the other end of [`recorder`].
pub struct Tape<M: Mail>(Arc<Reel<M>>);

type Answer<M> = Box<dyn Fn(&M) -> <M as actix::Message>::Result + Send + Sync>;

struct Reel<M: Mail> {
    answer: Answer<M>,
    messages: Mutex<Vec<(M, OwnedSemaphorePermit)>>,
    arrived: Notify,
}

/// Creates a port that records what it accepts and answers with `answer`.
///
/// A message occupies its place until it is taken off the tape, so a bound can be reached on purpose.
pub fn recorder<M: Mail>(
    name: &str,
    capacity: usize,
    answer: impl Fn(&M) -> M::Result + Send + Sync + 'static,
) -> (Port<M>, Tape<M>) {
    let port = Port::new(name, capacity, WhenFull::Await);
    let reel = Arc::new(Reel {
        answer: Box::new(answer),
        messages: Mutex::default(),
        arrived: Notify::new(),
    });
    port.bind(Arc::clone(&reel) as _);
    (port, Tape(reel))
}

impl<M: Mail> Courier<M> for Reel<M> {
    fn post(&self, parcel: Parcel<M>) -> Result<(), M> {
        if let Some(reply) = parcel.reply {
            // The asker may have given up.
            let _ = reply.send((self.answer)(&parcel.message));
        }
        lock(&self.messages).push((parcel.message, parcel.place));
        self.arrived.notify_one();
        Ok(())
    }
}

impl<M: Mail> Tape<M> {
    /// Takes all messages, oldest first.
    #[must_use]
    pub fn take(&self) -> Vec<M> {
        let messages = std::mem::take(&mut *lock(&self.0.messages));
        messages.into_iter().map(|(message, _)| message).collect()
    }

    /// Takes the oldest message, waiting for one.
    pub async fn next(&self) -> M {
        loop {
            let arrived = self.0.arrived.notified();
            {
                let mut messages = lock(&self.0.messages);
                if !messages.is_empty() {
                    return messages.remove(0).0;
                }
            }
            arrived.await;
        }
    }

    /// Returns how many messages are on the tape.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.0.messages).len()
    }

    /// Tells whether the tape is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<M: Mail> fmt::Debug for Tape<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
