//! Contents of the project that were read and are on their way to the disk.
//!
//! A service that sees the project live follows an edit without them, and a sync of a busy disk takes longer than all
//! else that an edit costs. Whoever reads from the store, or writes down that something is in it, waits.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::messages::BatchError;

/// How far the contents that were read have come.
#[derive(Debug, Default)]
pub struct Contents {
    state: Mutex<State>,
    ended: Condvar,
    told: Notify,
}

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    lost: Option<BatchError>,
}

impl State {
    fn outcome(&self) -> Option<Result<(), BatchError>> {
        (self.under_way == 0).then(|| self.lost.clone().map_or(Ok(()), Err))
    }
}

impl Contents {
    /// Says that what was read is being made durable. Nothing else is read before that has ended.
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        self.lock().under_way += 1;
        UnderWay(Some(self.clone()))
    }

    /// Waits until all that was read is durable. Blocks.
    ///
    /// # Errors
    /// Why some of it is not. It is read again with the next edit, as is everything else.
    pub fn durable(&self) -> Result<(), BatchError> {
        let mut state = self.lock();
        loop {
            if let Some(outcome) = state.outcome() {
                return outcome;
            }
            let woken = self.ended.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same for those who must not block.
    ///
    /// # Errors
    /// As [`Contents::durable`].
    pub async fn settled(&self) -> Result<(), BatchError> {
        loop {
            // Made before the look, so that no end in between is missed.
            let told = self.told.notified();
            let outcome = self.lock().outcome();
            match outcome {
                Some(outcome) => return outcome,
                None => told.await,
            }
        }
    }

    /// Tells whether something that was read is not in the store, and nothing was written since.
    pub fn is_lost(&self) -> bool {
        self.lock().lost.is_some()
    }

    fn end(&self, outcome: Result<(), BatchError>) {
        let mut state = self.lock();
        state.under_way -= 1;
        // After a loss all is read again, so whatever went well last holds of everything.
        state.lost = outcome.err();
        drop(state);
        self.ended.notify_all();
        self.told.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Replaced field by field, each right by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is being made durable; dropped without an outcome, it is lost.
#[derive(Debug)]
pub struct UnderWay(Option<Arc<Contents>>);

impl UnderWay {
    /// Says what became of it.
    pub fn ended(mut self, outcome: Result<(), BatchError>) {
        if let Some(contents) = self.0.take() {
            contents.end(outcome);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(contents) = self.0.take() {
            contents.end(Err(BatchError::new(
                "gone",
                "what was read did not come to the disk",
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_needs_contents_waits_for_them() {
        let contents = Arc::new(Contents::default());
        contents.durable().unwrap();
        let under_way = contents.begin();
        let waiting = contents.clone();
        let waiter = std::thread::spawn(move || waiting.durable());
        assert!(contents.lock().outcome().is_none());
        under_way.ended(Ok(()));
        waiter.join().unwrap().unwrap();
    }

    #[test]
    fn what_is_lost_is_told_until_something_was_written() {
        let contents = Arc::new(Contents::default());
        contents
            .begin()
            .ended(Err(BatchError::new("store", "no space")));
        assert!(contents.is_lost());
        assert_eq!(contents.durable().unwrap_err().message, "no space");
        drop(contents.begin());
        assert_eq!(contents.durable().unwrap_err().code, "gone");
        contents.begin().ended(Ok(()));
        contents.durable().unwrap();
        assert!(!contents.is_lost());
    }

    #[tokio::test]
    async fn those_who_must_not_block_wait_too() {
        let contents = Arc::new(Contents::default());
        let under_way = contents.begin();
        let later = async {
            tokio::task::yield_now().await;
            under_way.ended(Ok(()));
        };
        let (settled, ()) = tokio::join!(contents.settled(), later);
        settled.unwrap();
    }
}
