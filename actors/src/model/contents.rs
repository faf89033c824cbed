//! Contents of the project that were read and are on their way to the disk.
//!
//! A service that sees the project live follows an edit without them, and a sync of a busy disk takes longer than all
//! else that an edit costs. Whoever reads from the store, or writes down that something is in it, waits.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use hd_store::Writer;
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
    /// What nobody has begun to commit.
    waiting: Option<Writer>,
    under_way: usize,
    lost: Option<BatchError>,
}

impl State {
    fn outcome(&self) -> Option<Result<(), BatchError>> {
        let is_over = self.waiting.is_none() && self.under_way == 0;
        is_over.then(|| self.lost.clone().map_or(Ok(()), Err))
    }
}

impl Contents {
    /// Keeps what was read until somebody commits it: with the nodes that name it, if they come soon. What was kept
    /// before has to be durable, or known to be lost.
    pub fn keep(&self, writer: Writer) {
        self.lock().waiting = Some(writer);
    }

    /// Takes what waits, to commit it.
    pub fn take(self: &Arc<Self>) -> Option<(Writer, UnderWay)> {
        let mut state = self.lock();
        let writer = state.waiting.take()?;
        state.under_way += 1;
        Some((writer, UnderWay(Some(self.clone()))))
    }

    /// Waits until all that was read is durable, and commits what waits for that. Blocks.
    ///
    /// # Errors
    /// Why some of it is not. It is read again with the next edit, as is everything else.
    pub fn durable(self: &Arc<Self>) -> Result<(), BatchError> {
        loop {
            if let Some((mut writer, under_way)) = self.take() {
                let committed = writer.commit();
                under_way.ended(committed.map_err(|e| BatchError::new("store", e)));
            }
            let state = self.lock();
            if let Some(outcome) = state.outcome() {
                return outcome;
            }
            // Else more was kept meanwhile.
            if state.waiting.is_none() {
                drop(self.ended.wait(state));
            }
        }
    }

    /// Waits for the same, and leaves it to others.
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
    use hd_store::Store;

    use super::*;

    fn kept(contents: &Contents) -> (tempfile::TempDir, Store, hd_store::Id) {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(&place.path().join("cas")).unwrap();
        let mut writer = store.writer().unwrap();
        let id = writer.put_blob(b"content").unwrap();
        contents.keep(writer);
        (place, store, id)
    }

    #[test]
    fn whoever_needs_contents_first_commits_them() {
        let contents = Arc::new(Contents::default());
        contents.durable().unwrap();
        let (_place, store, id) = kept(&contents);
        assert!(!store.contains(&id).unwrap());
        contents.durable().unwrap();
        assert!(store.contains(&id).unwrap());
        assert!(contents.take().is_none());
    }

    #[test]
    fn the_others_wait_for_whoever_commits_them() {
        let contents = Arc::new(Contents::default());
        let (_place, _, _) = kept(&contents);
        let (_writer, under_way) = contents.take().unwrap();
        let waiting = contents.clone();
        let waiter = std::thread::spawn(move || waiting.durable());
        assert!(contents.lock().outcome().is_none());
        under_way.ended(Ok(()));
        waiter.join().unwrap().unwrap();
    }

    #[test]
    fn what_is_lost_is_told_until_something_was_written() {
        let contents = Arc::new(Contents::default());
        let full = BatchError::new("store", "no space");
        let outcomes = [Some(Err(full)), None, Some(Ok(()))];
        let told = outcomes.map(|outcome| {
            let (_place, _, _) = kept(&contents);
            let (_writer, under_way) = contents.take().unwrap();
            match outcome {
                Some(outcome) => under_way.ended(outcome),
                None => drop(under_way),
            }
            contents.durable().err().map(|why| why.code)
        });
        assert_eq!(told, [Some("store"), Some("gone"), None]);
    }

    #[tokio::test]
    async fn those_who_must_not_block_wait_too() {
        let contents = Arc::new(Contents::default());
        let (_place, _, _) = kept(&contents);
        let later = async {
            tokio::task::yield_now().await;
            contents.durable().unwrap();
        };
        let (settled, ()) = tokio::join!(contents.settled(), later);
        settled.unwrap();
    }
}
