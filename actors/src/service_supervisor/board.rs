//! The states of all services, published by their supervisors on each transition.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hd_config::{Kind, Published, Service, ServiceNetwork, WatchSet};
use tokio::sync::watch;

use crate::model::report::{PublishedPort, ReplicaReport, ServiceReport, ServiceState};

/// What is known of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What `status` shows.
    pub report: ServiceReport,
    /// Whether it is meant to end.
    pub oneshot: bool,
    /// Whether a process of it was started since `up`.
    pub started: bool,
    /// Whether it ended with exit code 0 and stays so.
    pub succeeded: bool,
    /// Whether its probe gave up.
    pub unhealthy: bool,
    /// Whether it is to start anew when it has its turn.
    pub is_due: bool,
    /// Whether a person stopped it, and nobody has started it since.
    pub is_stopped: bool,
}

impl Standing {
    /// A service before its first start.
    pub fn new(service: &Service) -> Self {
        let report = ServiceReport {
            name: service.name.clone(),
            port: service.port,
            command: service.command.to_string(),
            watch: watched(&service.watch),
            network: network(service),
            published: published(service),
            volumes: service.volumes.iter().map(ToString::to_string).collect(),
            replica: replica(service),
            reason: "waiting for the steps".to_owned(),
            ..ServiceReport::default()
        };
        Self {
            report,
            oneshot: service.kind == Kind::Oneshot,
            ..Self::default()
        }
    }

    /// Gives it with what its service is to be now.
    fn redefined(&self, fresh: Self) -> Self {
        let report = ServiceReport {
            port: fresh.report.port,
            command: fresh.report.command,
            watch: fresh.report.watch,
            network: fresh.report.network,
            published: fresh.report.published,
            volumes: fresh.report.volumes,
            replica: fresh.report.replica,
            ..self.report.clone()
        };
        Self {
            report,
            oneshot: fresh.oneshot,
            ..self.clone()
        }
    }

    /// The name that `hd.toml` gives it.
    fn declared(&self) -> &str {
        let replica = self.report.replica.as_ref();
        replica.map_or(&self.report.name, |replica| &replica.of)
    }

    /// Tells whether nothing of it runs.
    pub fn is_down(&self) -> bool {
        use ServiceState::{Ready, Starting, Stopping};
        self.report.pid.is_none() && !matches!(self.report.state, Starting | Ready | Stopping)
    }

    /// Tells whether a start of it is under way that has no process yet.
    fn is_on_its_way(&self) -> bool {
        use ServiceState::{Starting, Stopping};
        self.report.pid.is_none() && matches!(self.report.state, Starting | Stopping)
    }

    fn is_ready(&self) -> bool {
        let serves = !self.oneshot && self.report.state == ServiceState::Ready;
        self.succeeded || (serves && !self.is_due)
    }

    fn has_failed(&self) -> bool {
        match self.report.state {
            ServiceState::Failed => true,
            ServiceState::Exited => !self.succeeded,
            ServiceState::Starting => self.unhealthy,
            _ => false,
        }
    }
}

fn replica(service: &Service) -> Option<ReplicaReport> {
    service.replica.as_ref().map(|replica| ReplicaReport {
        of: replica.of.clone(),
        number: replica.number,
    })
}

fn network(service: &Service) -> Option<String> {
    let is_said = service.network != ServiceNetwork::Host;
    is_said.then(|| service.network.as_str().to_owned())
}

fn published(service: &Service) -> Vec<PublishedPort> {
    let port = |one: &Published| {
        Some(PublishedPort {
            address: one.address.to_string(),
            port: one.port?,
            target: one.target,
        })
    };
    service.ports.iter().filter_map(port).collect()
}

/// Holder of all [`Standing`]s by name; clones are the same.
#[derive(Clone, Debug)]
pub struct Board {
    standings: Arc<Mutex<BTreeMap<String, Standing>>>,
    /// Why rules of services are suspended.
    suspended: Arc<Mutex<BTreeMap<String, String>>>,
    changed: Arc<watch::Sender<u64>>,
}

impl Default for Board {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Board {
    /// A board on which all services wait for their first start.
    pub fn new(services: &[Service]) -> Self {
        let waiting = services
            .iter()
            .map(|service| (service.name.clone(), Standing::new(service)));
        Self {
            standings: Arc::new(Mutex::new(waiting.collect())),
            suspended: Arc::default(),
            changed: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Replaces what is known of a service and wakes all who wait.
    pub fn publish(&self, standing: Standing) {
        self.lock().insert(standing.report.name.clone(), standing);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Notes what a service is to be: one that is new waits for its first start.
    pub fn define(&self, service: &Service) {
        let fresh = Standing::new(service);
        // One lock for both, so that what its supervisor publishes meanwhile is not undone.
        let mut standings = self.lock();
        let standing = match standings.get(&service.name) {
            Some(known) => known.redefined(fresh),
            None => fresh,
        };
        standings.insert(service.name.clone(), standing);
        drop(standings);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Forgets a service.
    pub fn forget(&self, service: &str) {
        self.lock().remove(service);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Gives what is known of a service.
    pub fn standing(&self, service: &str) -> Option<Standing> {
        self.lock().get(service).cloned()
    }

    /// Gives all reports by name, replicas by number.
    pub fn reports(&self) -> Vec<ServiceReport> {
        let suspended = self.suspended().clone();
        let standings = self.lock();
        let reports = standings.values().map(|standing| ServiceReport {
            suspended: suspended.get(&standing.report.name).cloned(),
            ..standing.report.clone()
        });
        let mut reports: Vec<ServiceReport> = reports.collect();
        reports.sort_by(|a, b| a.place().cmp(&b.place()));
        reports
    }

    /// Notes whose rules are suspended, and why.
    pub fn suspend(&self, words: BTreeMap<String, String>) {
        let before = std::mem::replace(&mut *self.suspended(), words.clone());
        if before != words {
            self.changed.send_modify(|version| *version += 1);
        }
    }

    /// Tells whether these services, all when none is named, are ready or have done their work.
    pub fn all_ready(&self, names: &[String]) -> bool {
        let meant = |standing: &&Standing| is_meant(names, standing);
        self.lock().values().filter(meant).all(Standing::is_ready)
    }

    /// Gives one of these services, of all when none is named, that will not become ready by itself: given up, ended,
    /// stopped, or its probe gave up.
    pub fn any_failed(&self, names: &[String]) -> Option<ServiceReport> {
        self.lock()
            .values()
            .find(|standing| is_meant(names, standing) && standing.has_failed())
            .map(|standing| standing.report.clone())
    }

    /// Gives those of the named services that wait for what they depend on.
    pub fn waiting(&self, names: &[String]) -> Vec<String> {
        let standings = self.lock();
        let waits = |name: &&String| {
            let standing = standings.get(*name);
            standing.is_some_and(|standing| standing.report.state == ServiceState::Waiting)
        };
        names.iter().filter(waits).cloned().collect()
    }

    /// Tells whether nothing of the named services runs.
    pub fn are_down(&self, services: &[String]) -> bool {
        let standings = self.lock();
        services
            .iter()
            .filter_map(|name| standings.get(name))
            .all(Standing::is_down)
    }

    /// Tells whether some service is being stopped, or waits for its turn to be. A replica of the service that asks
    /// waits for the very start that asks, so its turn does not count.
    pub fn any_on_its_way_out(&self, asking: &Service) -> bool {
        let standings = self.lock();
        let has_its_turn = |one: &Standing| one.is_due && one.declared() != asking.declared();
        let goes = |one: &Standing| one.report.state == ServiceState::Stopping || has_its_turn(one);
        standings.values().any(goes)
    }

    /// Gives one of the named services of which a start is under way that has no process yet.
    pub fn any_on_its_way(&self, services: &[String]) -> Option<String> {
        let standings = self.lock();
        let on_its_way = |name: &&String| standings.get(*name).is_some_and(Standing::is_on_its_way);
        services.iter().find(on_its_way).cloned()
    }

    /// Waits until a condition holds; false when it does not in time.
    pub async fn wait_until(&self, within: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let mut changes = self.changed.subscribe();
        let wait = async {
            while !holds(self) {
                if changes.changed().await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(within, wait).await.unwrap_or(false)
    }

    fn suspended(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.suspended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Standing>> {
        self.standings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn watched(watch: &WatchSet) -> Vec<String> {
    if watch.is_auto() {
        vec!["auto".to_owned()]
    } else {
        watch.globs().to_vec()
    }
}

fn is_meant(names: &[String], standing: &Standing) -> bool {
    names.is_empty() || names.contains(&standing.report.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hd_supervision::testkit::paused;

    fn board() -> Board {
        let mut job = Service::new("job", "true");
        job.kind = Kind::Oneshot;
        Board::new(&[Service::new("web", "serve"), job])
    }

    fn set(board: &Board, service: &str, change: impl FnOnce(&mut Standing)) {
        let mut standing = board.standing(service).unwrap();
        change(&mut standing);
        board.publish(standing);
    }

    #[test]
    fn ready_means_each_in_its_own_way() {
        let board = board();
        assert!(!board.all_ready(&[]) && board.any_failed(&[]).is_none());
        set(&board, "web", |web| web.report.state = ServiceState::Ready);
        set(&board, "job", |job| job.report.state = ServiceState::Ready);
        assert!(!board.all_ready(&[]), "a one-shot has to end");
        set(&board, "job", |job| {
            (job.report.state, job.succeeded) = (ServiceState::Exited, true)
        });
        assert!(board.all_ready(&[]) && board.any_failed(&[]).is_none());
        set(&board, "web", |web| web.report.state = ServiceState::Exited);
        assert_eq!(board.any_failed(&[]).unwrap().name, "web");
        assert!(board.are_down(&["web".to_owned(), "job".to_owned()]));
        set(&board, "web", |web| {
            (web.report.state, web.unhealthy) = (ServiceState::Starting, true)
        });
        assert_eq!(board.any_failed(&[]).unwrap().name, "web");
        assert!(!board.are_down(&["web".to_owned()]));
        let both = ["job".to_owned(), "web".to_owned()];
        assert_eq!(board.any_on_its_way(&both).as_deref(), Some("web"));
        set(&board, "web", |web| web.report.pid = Some(1));
        assert_eq!(board.any_on_its_way(&both), None);
    }

    #[test]
    fn who_waits_for_a_port_waits_for_all_that_go_but_not_for_those_that_wait_for_it() {
        let replica = |number| {
            let of = "web".to_owned();
            let mut one = Service::new(&format!("web-{number}"), "serve");
            one.replica = Some(hd_config::Replica { of, number });
            one
        };
        let (first, second, other) = (replica(1), replica(2), Service::new("api", "serve"));
        let board = Board::new(&[first.clone(), second.clone(), other.clone()]);
        let waits_for_any = || [&first, &second, &other].map(|one| board.any_on_its_way_out(one));
        assert_eq!(waits_for_any(), [false, false, false]);
        set(&board, "web-2", |one| one.is_due = true);
        assert_eq!(waits_for_any(), [false, false, true]);
        set(&board, "api", |one| one.is_due = true);
        assert_eq!(waits_for_any(), [true, true, true]);
        set(&board, "api", |one| one.is_due = false);
        set(&board, "web-2", |one| {
            one.report.state = ServiceState::Stopping
        });
        assert_eq!(waits_for_any(), [true, true, true]);
    }

    #[test]
    fn a_definition_never_undoes_what_is_published_meanwhile() {
        let board = board();
        let service = Service::new("web", "serve");
        std::thread::scope(|scope| {
            // As often, not until the other is done: a failure ends the test.
            scope.spawn(|| (0..20_000).for_each(|_| board.define(&service)));
            for round in 0..20_000 {
                let reason = format!("round {round}");
                set(&board, "web", |web| web.report.reason.clone_from(&reason));
                let standing = board.standing("web").unwrap();
                assert_eq!(standing.report.reason, reason);
            }
        });
    }

    #[test]
    fn waiting_ends_with_the_transition_or_with_the_time() {
        paused(async {
            let board = board();
            let is_ready =
                |board: &Board| board.standing("web").unwrap().report.state == ServiceState::Ready;
            assert!(!board.wait_until(Duration::from_secs(3600), is_ready).await);
            let other = board.clone();
            let publish = async {
                tokio::task::yield_now().await;
                set(&other, "web", |web| web.report.state = ServiceState::Ready);
            };
            let (came, ()) = tokio::join!(
                board.wait_until(Duration::from_secs(3600), is_ready),
                publish
            );
            assert!(came);
        });
    }
}
