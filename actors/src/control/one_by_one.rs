//! Requests that must not see half of each other's work.

use tokio::sync::{Mutex, MutexGuard};

/// Lets one request at a time go on.
#[derive(Debug, Default)]
pub struct OneByOne(Mutex<()>);

impl OneByOne {
    /// Waits until no other request has its turn; the turn ends when it is dropped.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.0.lock().await
    }
}
