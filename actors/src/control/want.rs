//! What commands ask for beside the `hd.toml`: another `hd up`, another number of replicas.

use std::collections::BTreeMap;

use super::answer::Desk;
use super::protocol::ServiceAction;
use crate::messages::BatchError;
use crate::model::asked::{Asked, Change};
use crate::model::state::Failure;

/// Exit code of what makes the `hd.toml` invalid.
const INVALID: i32 = 2;

impl Desk {
    /// Runs so many replicas; what cannot be is refused and changes nothing.
    pub(super) async fn scale(&self, scale: BTreeMap<String, u32>) -> Result<(), Failure> {
        let wish = Asked {
            scale,
            ..Asked::default()
        };
        self.want(wish).await
    }

    /// Starts what an `hd up` asks for and is missing; what cannot be is refused and changes nothing.
    pub(super) async fn up(&self, wish: Asked) -> Result<(), Failure> {
        let names = wish.services.clone();
        // What becomes known only now starts by itself; asked again, a one-shot would run twice.
        let known = self.services.names();
        self.want(wish).await?;
        let mut missing = self.meant(&names)?;
        for needed in self.services.needs(&missing) {
            let standing = self.board.standing(&needed);
            if standing.is_none_or(|one| !one.succeeded) {
                missing.push(needed);
            }
        }
        missing.retain(|name| known.contains(name));
        match missing.is_empty() {
            true => Ok(()),
            false => self.services(ServiceAction::Start, &missing).await,
        }
    }

    /// Has the `hd.toml` read with a wish from now on, and waits until what follows from it is done.
    async fn want(&self, wish: Asked) -> Result<(), Failure> {
        // A file edited a moment ago may have it, which the watcher has not told yet.
        let is_unknown = self.meant(&wish.services).is_err();
        let change = self.read_anew(wish).await?;
        if change.is_none() && !is_unknown {
            return Ok(());
        }
        let asked = self.ask_to_build(Vec::new()).await;
        let is_read = asked.is_ok();
        let built = match asked {
            Ok(before) => self.built_since(before).await,
            Err(failure) => Err(failure),
        };
        if let (Err(failure), Some(change)) = (&built, change)
            && (!is_read || failure.exit == INVALID)
        {
            // Else it would make each later reading invalid too, or hold without having been taken over.
            self.shared.settings.reader.back(change);
            let _ = self.build(Vec::new()).await;
        }
        built
    }

    /// Reads on a thread, since that may block.
    async fn read_anew(&self, wish: Asked) -> Result<Option<Change>, Failure> {
        let reader = self.shared.settings.reader.clone();
        let read = tokio::task::spawn_blocking(move || reader.want(wish)).await;
        let read = read.map_err(|e| Failure::from(&BatchError::new("internal", e)))?;
        read.map_err(|invalid| Failure {
            error: invalid.error,
            exit: INVALID,
        })
    }
}
