//! Stopping services that somebody names: who depends on another goes first, the others beside each other.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use tokio::sync::watch;

use super::answer::{Desk, WORK_WITHIN};
use crate::messages::{BatchError, StopService};
use crate::model::state::Failure;

impl Desk {
    /// Stops services; each waits until those of them that depend on it are down, unless all are to go `now`.
    pub(super) async fn stop(&self, chosen: &[String], now: bool) -> Result<(), Failure> {
        let down = watch::Sender::new(BTreeSet::new());
        let before = match now {
            true => Default::default(),
            false => self.services.dependants_among(chosen),
        };
        let stops = chosen.iter().map(|name| {
            let (down, before) = (&down, before.get(name));
            async move {
                let mut changes = down.subscribe();
                let are_down = |down: &BTreeSet<&String>| {
                    before.is_none_or(|names| names.iter().all(|one| down.contains(one)))
                };
                // It fails only once nobody can say so any more: the sender outlives all who wait.
                let _ = changes.wait_for(are_down).await;
                let stopped = self.stop_one(name, now).await;
                down.send_if_modified(|down| down.insert(name));
                stopped
            }
        });
        join_all(stops).await.into_iter().collect()
    }

    async fn stop_one(&self, name: &str, now: bool) -> Result<(), Failure> {
        // One that an edit of the `hd.toml` has just removed was stopped for that.
        let Some(ports) = self.services.ports(name) else {
            return Ok(());
        };
        let stopped = ports.stop.ask(StopService { now }, WORK_WITHIN).await;
        stopped.map_err(|e| Failure::from(&BatchError::new("internal", e)))
    }
}
