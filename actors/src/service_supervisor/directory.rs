//! The services there are: how each is reached, and what its `hd.toml` says of it now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use hd_config::order::start_order;
use hd_config::{Kind, Service};
use hd_supervision::{Coalesce, Port};

use super::common::Common;
use super::hold::{Held, Hold, Holds};
use super::lifecycle::Rules;
use super::ports::{STOP_SLACK, ServicePorts};
use crate::messages::{DependencyReady, RestartCause, RestartFor};

/// What a service is to be; exchanged whole when the `hd.toml` changes. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Definition(Arc<RwLock<(Arc<Service>, Duration)>>);

impl Definition {
    /// Begins with a service; `grace` is that of `[options]`.
    pub(crate) fn new(service: Service, grace: Duration) -> Self {
        Self(Arc::new(RwLock::new((Arc::new(service), grace))))
    }

    /// Gives the service.
    pub(crate) fn service(&self) -> Arc<Service> {
        self.read().0.clone()
    }

    /// Gives how it is stopped and started again.
    pub(crate) fn rules(&self) -> Rules {
        let (service, grace) = &*self.read();
        Rules {
            policy: service.restart,
            oneshot: service.kind == Kind::Oneshot,
            grace: service.stop_grace.unwrap_or(*grace),
            backoff: service.backoff.clone(),
        }
    }

    fn grace(&self) -> Duration {
        let (service, grace) = &*self.read();
        service.stop_grace.unwrap_or(*grace)
    }

    fn exchange(&self, service: Service, grace: Duration) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *held = (Arc::new(service), grace);
    }

    fn read(&self) -> RwLockReadGuard<'_, (Arc<Service>, Duration)> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All services by name; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    listed: Arc<RwLock<BTreeMap<String, Listed>>>,
    holds: Holds,
}

#[derive(Clone, Debug)]
struct Listed {
    ports: ServicePorts,
    definition: Definition,
    common: Common,
}

impl Directory {
    /// Lists services; `grace` is that of `[options]`.
    pub fn new(services: &[Service], grace: Duration) -> Self {
        let directory = Self::default();
        for service in services {
            directory.define(service, grace);
        }
        directory
    }

    /// Lists a service, or exchanges what it is to be.
    pub fn define(&self, service: &Service, grace: Duration) {
        let mut all = self.write();
        match all.get(&service.name) {
            Some(listed) => listed.definition.exchange(service.clone(), grace),
            None => {
                let listed = Listed {
                    ports: ServicePorts::new(&service.name),
                    definition: Definition::new(service.clone(), grace),
                    common: of_replicas(&all, service).unwrap_or_default(),
                };
                all.insert(service.name.clone(), listed);
            }
        }
    }

    /// Strikes a service off.
    pub fn forget(&self, name: &str) {
        if let Some(listed) = self.write().remove(name) {
            listed.common.release(name);
        }
    }

    /// Gives the services that names mean, replicas in the order of their numbers; all when there is no
    /// name.
    ///
    /// # Errors
    /// The first name that means none.
    pub fn meant(&self, names: &[String]) -> Result<Vec<String>, String> {
        let mut services = self.services();
        services.sort_by_key(|one| {
            let number = one.replica.as_ref().map_or(0, |replica| replica.number);
            (one.declared().to_owned(), number)
        });
        let means = |name: &String| services.iter().any(|one| one.is_named(name));
        if let Some(unknown) = names.iter().find(|name| !means(name)) {
            return Err(unknown.clone());
        }
        services.retain(|one| names.is_empty() || names.iter().any(|name| one.is_named(name)));
        Ok(services.iter().map(|one| one.name.clone()).collect())
    }

    /// Gives the names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.read().keys().cloned().collect()
    }

    /// Gives the services as they are listed.
    pub fn services(&self) -> Vec<Arc<Service>> {
        let all = self.read();
        all.values().map(|one| one.definition.service()).collect()
    }

    /// Gives what services depend on, directly or not, beside themselves.
    pub fn needs(&self, names: &[String]) -> Vec<String> {
        needs_of(&self.read(), names)
    }

    /// Gives of each of these services those of them that depend on it, directly or not.
    pub fn dependants_among(&self, names: &[String]) -> BTreeMap<String, BTreeSet<String>> {
        let all = self.read();
        let mut found = BTreeMap::<String, BTreeSet<String>>::new();
        for dependant in names {
            let needs = needs_of(&all, std::slice::from_ref(dependant));
            for need in needs.into_iter().filter(|need| names.contains(need)) {
                // While an edit of the `hd.toml` is taken over service by service, it may look like a circle.
                if !needs_of(&all, std::slice::from_ref(&need)).contains(dependant) {
                    found.entry(need).or_default().insert(dependant.clone());
                }
            }
        }
        found
    }

    /// Gives the ports of a service.
    pub fn ports(&self, name: &str) -> Option<ServicePorts> {
        self.read().get(name).map(|listed| listed.ports.clone())
    }

    /// Puts restarts down for services, for each after what it depends on; names of none are passed over.
    pub fn restart_all(&self, mut restarts: Vec<(String, RestartFor)>) {
        let services = self.services();
        let services: Vec<Service> = services.iter().map(|one| (**one).clone()).collect();
        // While an edit of the `hd.toml` is taken over service by service, it may look like a circle.
        let order = start_order(&services).unwrap_or_default();
        restarts.sort_by_key(|(name, _)| order.iter().position(|one| one.name == *name));
        for (name, restart) in restarts {
            if let Some(port) = self.restart(&name) {
                port.put(restart);
            }
        }
    }

    /// Tells whether a service is to start anew and has not taken that up yet.
    pub(crate) fn is_due(&self, name: &str) -> bool {
        let restarts = |wish: &RestartFor| !matches!(wish.cause, RestartCause::Acted { .. });
        self.restart(name).is_some_and(|port| port.waits(restarts))
    }

    /// Tells those that depend on a service to look at it again.
    pub(crate) fn wake_dependants(&self, name: &str) {
        for (dependant, port) in self.dependants(name) {
            if let Err(refused) = port.offer(DependencyReady::look()) {
                tracing::trace!(dependant, %refused, "it looks at the board anyway");
            }
        }
    }

    fn restart(&self, name: &str) -> Option<Coalesce<RestartFor>> {
        let all = self.read();
        all.get(name).map(|listed| listed.ports.restart.clone())
    }

    /// Keeps services from being started until what is given is dropped; one at a time does.
    pub fn hold(&self, held: Held) -> Hold {
        self.holds.begin(held)
    }

    /// Gives the ports of those that are held.
    pub fn held(&self) -> Vec<ServicePorts> {
        let all = self.read();
        let held = all.values().filter(|one| {
            let service = one.definition.service();
            self.holds.by(&service).is_some()
        });
        held.map(|one| one.ports.clone()).collect()
    }

    pub(crate) fn holds(&self) -> &Holds {
        &self.holds
    }

    pub(crate) fn definition(&self, name: &str) -> Option<Definition> {
        self.read()
            .get(name)
            .map(|listed| listed.definition.clone())
    }

    pub(crate) fn common(&self, name: &str) -> Option<Common> {
        self.read().get(name).map(|listed| listed.common.clone())
    }

    /// Gives who depends on a service, and how they hear of it.
    pub(crate) fn dependants(&self, name: &str) -> Vec<(String, Port<DependencyReady>)> {
        let all = self.read();
        let dependants = all.iter().filter(|(_, one)| needs(one, name));
        dependants
            .map(|(name, one)| (name.clone(), one.ports.dependency.clone()))
            .collect()
    }

    /// Adds up what the slowest chain of dependants may take to stop; the parser has refused cycles.
    pub(crate) fn dependants_grace(&self, name: &str) -> Duration {
        grace_of(&self.read(), name, &mut BTreeMap::new())
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Listed>> {
        self.listed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Listed>> {
        self.listed.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a new replica has in common with those that are listed.
fn of_replicas(all: &BTreeMap<String, Listed>, service: &Service) -> Option<Common> {
    let of = &service.replica.as_ref()?.of;
    let is_one = |listed: &&Listed| {
        let listed = listed.definition.service();
        listed.replica.as_ref().is_some_and(|one| one.of == *of)
    };
    Some(all.values().find(is_one)?.common.clone())
}

fn needs_of(all: &BTreeMap<String, Listed>, names: &[String]) -> Vec<String> {
    let mut found = names.to_vec();
    let mut at = 0;
    while let Some(listed) = found.get(at).map(|name| all.get(name)) {
        let needs = listed.map(|one| one.definition.service().depends_on.clone());
        for need in needs.unwrap_or_default() {
            if !found.contains(&need.service) {
                found.push(need.service);
            }
        }
        at += 1;
    }
    found.split_off(names.len())
}

fn needs(listed: &Listed, name: &str) -> bool {
    let service = listed.definition.service();
    service.depends_on.iter().any(|need| need.service == name)
}

/// How long the dependants of a service may take; `known` are those of others. Each is worked out once, for there may
/// be very many ways through the graph.
fn grace_of<'a>(
    all: &'a BTreeMap<String, Listed>,
    name: &'a str,
    known: &mut BTreeMap<&'a str, Duration>,
) -> Duration {
    if let Some(grace) = known.get(name) {
        return *grace;
    }
    let dependants = all.iter().filter(|(_, one)| needs(one, name));
    let grace = dependants
        .map(|(name, one)| one.definition.grace() + STOP_SLACK + grace_of(all, name, known))
        .max()
        .unwrap_or_default();
    known.insert(name, grace);
    grace
}

#[cfg(test)]
mod tests {
    use super::*;
    use hd_config::{Condition, DependsOn};

    fn service(name: &str, needs: &[&str]) -> Service {
        let mut service = Service::new(name, "true");
        let need = |need: &&str| DependsOn {
            service: (*need).to_owned(),
            condition: Condition::Healthy,
        };
        service.depends_on = needs.iter().map(need).collect();
        service
    }

    #[test]
    fn a_service_waits_for_the_slowest_chain_of_its_dependants() {
        let mut all = [
            service("db", &[]),
            service("web", &["db", "job"]),
            service("job", &["db"]),
        ];
        all[2].stop_grace = Some(Duration::from_secs(9));
        let directory = Directory::new(&all, Duration::from_secs(1));
        let graces = ["db", "job", "web"].map(|name| directory.dependants_grace(name).as_secs());
        // Each has its own grace and two seconds more.
        assert_eq!(graces, [3 + 11, 3, 0]);
    }

    #[test]
    fn many_ways_through_the_dependants_cost_no_more_than_their_number() {
        let names: Vec<String> = (0..60).map(|number| format!("s{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let all = (0..60).map(|number| service(names[number], &names[..number]));
        let all: Vec<Service> = all.collect();
        let directory = Directory::new(&all, Duration::from_secs(1));
        assert_eq!(directory.dependants_grace("s0").as_secs(), 59 * 3);
    }

    #[test]
    fn what_services_need_is_found_through_others_and_once() {
        let all = [
            service("web", &["api", "db"]),
            service("api", &["db", "cache"]),
            service("db", &[]),
            service("cache", &[]),
            service("job", &["db"]),
        ];
        let directory = Directory::new(&all, Duration::ZERO);
        let needs = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            directory.needs(&names)
        };
        assert_eq!(needs(&["web"]), ["api", "db", "cache"]);
        assert_eq!(needs(&["web", "db"]), ["api", "cache"]);
        assert_eq!(needs(&["cache", "gone"]), [""; 0]);
        // `api` is none of them, but what makes one wait for the other.
        let names = ["db", "job", "web"].map(str::to_owned);
        let dependants = directory.dependants_among(&names);
        let of_db = BTreeSet::from(["job".to_owned(), "web".to_owned()]);
        assert_eq!(dependants, BTreeMap::from([("db".to_owned(), of_db)]));
    }

    #[test]
    fn a_definition_is_exchanged_for_all_who_hold_it_and_the_ports_stay() {
        let directory = Directory::new(&[service("web", &[])], Duration::from_secs(1));
        let (held, ports) = (
            directory.definition("web").unwrap(),
            directory.ports("web").unwrap(),
        );
        let mut changed = service("web", &["db"]);
        changed.stop_grace = Some(Duration::from_secs(7));
        directory.define(&changed, Duration::from_secs(1));
        directory.define(&service("db", &[]), Duration::from_secs(1));
        assert_eq!(held.service().depends_on.len(), 1);
        assert_eq!(held.rules().grace.as_secs(), 7);
        let same = directory.ports("web").unwrap();
        ports.dependency.offer(DependencyReady::look()).unwrap_err();
        assert_eq!(ports.dependency.name(), same.dependency.name());
        assert_eq!(directory.dependants("db")[0].0, "web");
        let mut replicas = [1, 2, 10].map(|number| {
            let mut one = service(&format!("api-{number}"), &[]);
            let of = "api".to_owned();
            one.replica = Some(hd_config::Replica { of, number });
            one
        });
        replicas.reverse();
        for one in &replicas {
            directory.define(one, Duration::from_secs(1));
        }
        let meant = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            directory.meant(&names)
        };
        assert_eq!(meant(&["api"]).unwrap(), ["api-1", "api-2", "api-10"]);
        assert_eq!(meant(&["web", "api-2"]).unwrap(), ["api-2", "web"]);
        assert_eq!(meant(&["db", "api-3"]), Err("api-3".to_owned()));
        assert_eq!(meant(&[]).unwrap().len(), 5);
        for name in ["web", "api-1", "api-2", "api-10"] {
            directory.forget(name);
        }
        assert_eq!(directory.names(), ["db"]);
        assert!(directory.dependants("db").is_empty());
    }
}
