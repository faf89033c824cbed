//! What this process needs of the store: collections of any process leave it alone.
//!
//! At work (a batch from its first look at the disk to its pin) the process holds the store, so
//! that a collection waits for it. Otherwise, and while a step runs, which may take long, it names
//! what it needs in a lease.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use hd_dag::Rooted;
use hd_store::{Hold, Lease, Link, NodeKind, RefRecord, Store};

use crate::messages::BatchError;

/// The one session of a runtime.
#[derive(Debug)]
pub struct Session {
    store: Store,
    project: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    at_work: usize,
    hold: Option<Hold>,
    lease: Option<Lease>,
    needs: BTreeMap<u64, Vec<Link>>,
    next: u64,
    leased: Vec<Link>,
}

/// Being at work: what was found or written since the first of them began is not collected.
///
/// Travels with what was found, until that is pinned.
#[derive(Debug)]
pub struct AtWork(Arc<Session>);

/// Something that is needed for as long as this lives, at work or not.
#[derive(Debug)]
pub struct Needed {
    session: Arc<Session>,
    number: u64,
}

impl Session {
    /// Begins without needing anything.
    pub fn new(store: Store, project: String) -> Arc<Self> {
        Arc::new(Self {
            store,
            project,
            state: Mutex::default(),
        })
    }

    /// Begins to work. Never waits.
    pub fn work(self: &Arc<Self>) -> Result<Arc<AtWork>, BatchError> {
        let work = Arc::new(AtWork(self.clone()));
        self.enter().map(|()| work)
    }

    /// Needs these, which are committed, from the end of the work on.
    pub fn need(self: &Arc<Self>, trees: &[Rooted]) -> Needed {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        let links = trees.iter().copied().flat_map(links_of).collect();
        state.needs.insert(number, links);
        drop(state);
        Needed {
            session: self.clone(),
            number,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> Result<(), BatchError> {
        let mut state = self.state();
        // Counted even if it fails: whoever asked leaves in any case.
        state.at_work += 1;
        if state.hold.is_none() {
            let hold = self.store.begin();
            state.hold = Some(hold.map_err(|e| BatchError::new("store", e))?);
        }
        Ok(())
    }

    fn leave(&self) {
        let mut state = self.state();
        state.at_work = state.at_work.saturating_sub(1);
        if state.at_work > 0 {
            return;
        }
        match self.lease(&mut state) {
            Ok(()) => state.hold = None,
            // Holding on is safe: a collection gives up until the next work ends well.
            Err(error) => tracing::warn!(%error, "what hd needs could not be leased"),
        }
    }

    fn lease(&self, state: &mut State) -> Result<(), hd_store::Error> {
        let links: Vec<Link> = state.needs.values().flatten().copied().collect();
        if links == state.leased {
            return Ok(());
        }
        let lease = match &state.lease {
            Some(lease) => lease,
            None => state.lease.insert(self.store.lease()?),
        };
        lease.set(&RefRecord {
            links: links.clone(),
            project: self.project.clone(),
            at_unix_ms: unix_ms(),
        })?;
        state.leased = links;
        Ok(())
    }
}

impl AtWork {
    /// Rests from work while `run` does something long that only reads what is needed by name.
    pub fn rest<T>(&self, run: impl FnOnce() -> T) -> Result<T, BatchError> {
        self.0.leave();
        let done = run();
        self.0.enter()?;
        Ok(done)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Drop for Needed {
    fn drop(&mut self) {
        // The lease says less when the next work ends.
        self.session.state().needs.remove(&self.number);
    }
}

/// What keeps a tree and its times.
pub fn links_of(rooted: Rooted) -> [Link; 2] {
    [
        Link::Node(NodeKind::Tree, rooted.tree),
        Link::Node(NodeKind::Times, rooted.times),
    ]
}

/// The wall clock in milliseconds since 1970.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hd_dag::StoreLinks;
    use hd_store::{Error, GcOptions, Id};

    use super::*;

    fn put(store: &Store, text: &str) -> Id {
        let mut writer = store.writer().unwrap();
        let id = writer.put_blob(text.as_bytes()).unwrap();
        writer.commit().unwrap();
        id
    }

    #[test]
    fn work_keeps_a_collection_waiting_and_rest_does_not() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(place.path()).unwrap();
        let session = Session::new(store.clone(), "/p".into());
        let impatient = GcOptions {
            wait: Duration::ZERO,
            ..GcOptions::new(0)
        };
        let gc = || store.gc(&StoreLinks, &impatient);
        let work = session.work().unwrap();
        let found = put(&store, "found");
        assert!(matches!(gc(), Err(Error::Busy { .. })));
        let more = work.clone();
        drop(work);
        assert!(matches!(gc(), Err(Error::Busy { .. })));
        assert!(store.contains(&found).unwrap());
        more.rest(|| gc().unwrap()).unwrap();
        assert!(!store.contains(&found).unwrap(), "nothing named it");
        put(&store, "again");
        assert!(matches!(gc(), Err(Error::Busy { .. })));
        drop(more);
        gc().unwrap();
    }

    #[test]
    fn what_is_needed_stays_while_at_rest() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(place.path()).unwrap();
        let session = Session::new(store.clone(), "/p".into());
        let work = session.work().unwrap();
        let mut writer = store.writer().unwrap();
        let mut node = |kind: NodeKind| {
            let bytes = match kind {
                NodeKind::Tree => hd_dag::TreeNode::empty().encode(),
                _ => hd_dag::TimesNode::empty().encode(),
            };
            writer.put_node(kind, &bytes).unwrap()
        };
        let rooted = Rooted {
            tree: node(NodeKind::Tree),
            times: node(NodeKind::Times),
        };
        writer.commit().unwrap();
        drop(writer);
        let needed = session.need(&[rooted]);
        drop(work);
        store.gc(&StoreLinks, &GcOptions::new(0)).unwrap();
        assert!(store.contains(&rooted.tree).unwrap());
        drop(needed);
        drop(session.work().unwrap());
        store.gc(&StoreLinks, &GcOptions::new(0)).unwrap();
        assert!(!store.contains(&rooted.tree).unwrap());
    }
}
