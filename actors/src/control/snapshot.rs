//! Snapshots of what services wrote: services hold still while one is taken, and none starts meanwhile; and they are
//! held, so that none runs, while one is put in place, after all of it that takes long is done.
//!
//! What has begun goes on to its end though the client may be gone: a connection is a task of its own that
//! nobody drops, and nothing is read from it any more.

use std::time::Duration;

use futures_util::future::join_all;

use super::answer::{Desk, WORK_WITHIN};
use super::protocol::Reply;
use crate::chunk_store::actor::job;
use crate::messages::{BatchError, BringBack, DependencyReady, HoldService, KeepWritten};
use crate::model::snapshot::Snapshot;
use crate::model::state::Failure;
use crate::mount_server::snapshots::{prepare_volumes, settle_volumes, volumes_of};
use crate::service_supervisor::board::Board;
use crate::service_supervisor::hold::{Held, Hold};
use crate::service_supervisor::ports::ServicePorts;
use crate::shared::Shared;

/// What services wait for meanwhile.
const RESTORE: &str = "`hd restore`";
const SNAPSHOT: &str = "`hd snapshot`";
/// How long a start may go on that had begun before a snapshot: its commands may take any time.
const STARTED_WITHIN: Duration = Duration::from_secs(30);

/// The answer.
pub(super) fn snapshot_of(done: Result<Snapshot, Failure>) -> Reply {
    match done {
        Ok(snapshot) => Reply::Snapshot {
            snapshot: Box::new(snapshot),
        },
        Err(Failure { error, exit }) => Reply::Error { error, exit },
    }
}

impl Desk {
    pub(super) async fn snapshot(
        &self,
        name: String,
        names: Vec<String>,
    ) -> Result<Snapshot, Failure> {
        let services = self.meant(&names)?;
        if !Snapshot::is_name(&name) {
            return Err(bad_name(&name));
        }
        let _one = self.changing.turn().await;
        let together = self.sharing(&services);
        let _hold = self.none_starts(&services, &together).await?;
        let running = self.board.reports().into_iter();
        let running = running.filter(|one| together.contains(&one.name));
        let wish = KeepWritten {
            name,
            services,
            running: running.filter_map(|one| one.pid).collect(),
        };
        let kept = self.keep.ask(wish, WORK_WITHIN).await;
        let kept = kept.map_err(|e| Failure::from(&BatchError::new("internal", e)))?;
        kept.map_err(|e| Failure::from(&e))
    }

    pub(super) async fn restore(
        &self,
        name: &str,
        names: Vec<String>,
    ) -> Result<Snapshot, Failure> {
        let (mut snapshot, services) = self.wanted(name, &names)?;
        let _one = self.changing.turn().await;
        let (kept, meant, finish) = (snapshot.clone(), services.clone(), self.finish.clone());
        self.aside(move |shared| {
            prepare_volumes(shared, &kept, &meant, &|| finish.get().is_some())
        })
        .await?;
        self.put_in_place(&snapshot, &services).await?;
        let (kept, meant) = (snapshot.clone(), services.clone());
        self.aside(move |shared| settle_volumes(shared, &kept, &meant))
            .await?;
        let volumes = volumes_of(&self.shared.declared().project, &services);
        snapshot.services.retain(|one, _| services.contains(one));
        snapshot.volumes.retain(|one, _| volumes.contains(one));
        Ok(snapshot)
    }

    /// Lets nothing run that uses it meanwhile; whatever comes of it, what ran runs again.
    async fn put_in_place(&self, snapshot: &Snapshot, services: &[String]) -> Result<(), Failure> {
        let _hold = self.hold(services).await?;
        self.bring_back(snapshot, services).await
    }

    /// Keeps services from being started until the hold is dropped, once those of `together` that were being started
    /// are: what starts has no process yet that could be told to hold still.
    async fn none_starts(&self, services: &[String], together: &[String]) -> Result<Hold, Failure> {
        let hold = self.begin_hold(services, SNAPSHOT);
        // Each has looked at the hold by its answer, and has published a start that it had begun before. One that
        // gives none is between two supervisors, and nothing of it runs.
        let ports = together.iter().filter_map(|name| self.services.ports(name));
        let look = |ports: ServicePorts| async move {
            let look = DependencyReady::look();
            let _seen = ports.dependency.ask(look, STARTED_WITHIN).await;
        };
        join_all(ports.map(look)).await;
        let started = |board: &Board| board.any_on_its_way(together).is_none();
        if self.board.wait_until(STARTED_WITHIN, started).await {
            return Ok(hold);
        }
        let late = self.board.any_on_its_way(together).unwrap_or_default();
        let error = BatchError::new("busy", format!("`{late}` is still being started"));
        Err(Failure::from(&error.hint(
            "nothing can be kept of what it is about to write; `hd logs` says how far it is",
        )))
    }

    fn begin_hold(&self, services: &[String], by: &'static str) -> Hold {
        self.services.hold(Held {
            services: services.iter().cloned().collect(),
            volumes: volumes_of(&self.shared.declared().project, services),
            by,
        })
    }

    /// Ends all that uses what these services wrote, and keeps it from being started until the hold is dropped.
    ///
    /// What is asked to end is whatever is held by then, run or not: a start may be under way, or due.
    async fn hold(&self, services: &[String]) -> Result<Hold, Failure> {
        let hold = self.begin_hold(services, RESTORE);
        let held = self.services.held().into_iter();
        let gone = held.map(|ports| async move { ports.hold.ask(HoldService, WORK_WITHIN).await });
        for gone in join_all(gone).await {
            gone.map_err(|e| Failure::from(&BatchError::new("internal", e)))?;
        }
        Ok(hold)
    }

    async fn bring_back(&self, snapshot: &Snapshot, services: &[String]) -> Result<(), Failure> {
        let wish = BringBack {
            snapshot: snapshot.clone(),
            services: services.to_vec(),
        };
        let brought = self.bring.ask(wish, WORK_WITHIN).await;
        let brought = brought.map_err(|e| Failure::from(&BatchError::new("internal", e)))?;
        brought.map_err(|e| Failure::from(&e))
    }

    /// Does what blocks where no mount, start or stop waits for it.
    async fn aside(
        &self,
        act: impl FnOnce(&Shared) -> Result<(), BatchError> + Send + 'static,
    ) -> Result<(), Failure> {
        let shared = self.shared.clone();
        let done = job(self.slow.run(move || act(&shared)).await);
        done.map_err(|e| Failure::from(&e))
    }

    /// Finds a snapshot, and which services of it are meant.
    fn wanted(&self, name: &str, names: &[String]) -> Result<(Snapshot, Vec<String>), Failure> {
        let mut services = self.meant(names)?;
        let paths = &self.shared.settings.paths;
        let found = Snapshot::load(paths, name).map_err(|e| Failure::from(&e))?;
        let snapshot = found.ok_or_else(|| {
            let error = BatchError::new("config", format!("there is no snapshot `{name}`"));
            Failure::from(&error.hint("`hd snapshot ls` lists them"))
        })?;
        let has = |one: &String| snapshot.services.contains_key(one);
        let has_some = |one: &String| {
            let meant = self.services.meant(std::slice::from_ref(one));
            meant.is_ok_and(|meant| meant.iter().any(has))
        };
        if let Some(missing) = names.iter().find(|one| !has_some(one)) {
            let message = format!("the snapshot `{name}` has nothing of `{missing}`");
            let has = snapshot.services.keys().cloned().collect::<Vec<_>>();
            let error = BatchError::new("config", message);
            return Err(Failure::from(
                &error.hint(format!("it has {}", has.join(", "))),
            ));
        }
        services.retain(has);
        if services.is_empty() {
            let message = format!("no service of the snapshot `{name}` is in hd.toml any more");
            return Err(Failure::from(&BatchError::new("config", message)));
        }
        Ok((snapshot, services))
    }

    /// These services and all others that use a volume of theirs.
    fn sharing(&self, services: &[String]) -> Vec<String> {
        let project = &self.shared.declared().project;
        let volumes = volumes_of(project, services);
        let mut all = self.services.names();
        all.retain(|one| {
            let own = volumes_of(project, std::slice::from_ref(one));
            services.contains(one) || !own.is_disjoint(&volumes)
        });
        all
    }
}

fn bad_name(name: &str) -> Failure {
    let error = BatchError::new(
        "config",
        format!("`{name}` cannot be the name of a snapshot"),
    );
    Failure::from(&error.hint("letters, digits, `-`, `_` and `.`, at most 64, not `ls` or `rm`"))
}
