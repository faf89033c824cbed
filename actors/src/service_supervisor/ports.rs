//! How supervisors of services are reached, built and put under a tree.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hd_config::{Kind, Service};
use hd_supervision::{
    ActorSpec, ChildSpec, Coalesce, Lane, Pool, Port, Runtime, Strategy, TreeSpec, WhenFull,
};

use super::actor::ServiceSupervisor;
use super::board::Board;
use super::lifecycle::Rules;
use super::log::ServiceLog;
use super::memory::Memory;
use super::run::News;
use crate::messages::{
    BatchError, DependencyReady, Probed, ProcessExited, RestartFor, StartService, StopService,
};
use crate::model::process_book::ProcessBook;
use crate::shared::Shared;

/// What a supervisor may take to stop beyond the grace of its process.
const STOP_SLACK: Duration = Duration::from_secs(2);

/// Every way to speak to the supervisor of one service.
#[derive(Clone, Debug)]
pub struct ServicePorts {
    /// From the Invalidator and the MountServer.
    pub restart: Coalesce<RestartFor>,
    /// From the thread that waits for its process.
    pub exited: Port<ProcessExited>,
    /// From the thread that probes it.
    pub probed: Port<Probed>,
    /// From the supervisors of what it depends on.
    pub dependency: Port<DependencyReady>,
    /// From control.
    pub stop: Port<StopService>,
    /// From control.
    pub start: Port<StartService>,
}

impl ServicePorts {
    /// Makes the ports of a service.
    pub fn new(service: &str) -> Self {
        let name = |edge: &str| format!("{}.{edge}", actor_name(service));
        Self {
            restart: Coalesce::default(),
            exited: Port::new(&name("exited"), 8, WhenFull::Await),
            probed: Port::new(&name("probed"), 8, WhenFull::Await),
            dependency: Port::new(&name("dependency"), 16, WhenFull::Await),
            stop: Port::new(&name("stop"), 4, WhenFull::Await),
            start: Port::new(&name("start"), 4, WhenFull::Await),
        }
    }

    /// Makes the ports of all services, by name.
    pub fn all(services: &[Service]) -> BTreeMap<String, Self> {
        services
            .iter()
            .map(|service| (service.name.clone(), Self::new(&service.name)))
            .collect()
    }
}

/// What supervisors are built from.
#[derive(Clone, Debug)]
pub struct ServiceContext {
    /// Shared handles.
    pub shared: Arc<Shared>,
    /// For a thread per service that starts processes.
    pub runtime: Runtime,
    /// Where they run.
    pub lane: Lane,
    /// Where states are published; made with [`Board::new`] of all services.
    pub board: Board,
    /// Where running sandboxes are written down; one for all of the instance.
    pub book: ProcessBook,
    /// The ports of all services.
    pub ports: BTreeMap<String, ServicePorts>,
}

/// What all incarnations of a supervisor share.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) service: Arc<Service>,
    pub(crate) ports: ServicePorts,
    /// Who depends on it.
    pub(crate) dependants: Vec<(String, Port<DependencyReady>)>,
    /// How long they may take to be gone when all stop.
    pub(crate) dependants_grace: Duration,
    pub(crate) board: Board,
    pub(crate) book: ProcessBook,
    /// Where its process is started and remarks are written: one thread.
    pub(crate) pool: Pool,
    pub(crate) log: ServiceLog,
    pub(crate) memory: Memory,
    pub(crate) rules: Rules,
}

impl Parts {
    /// Gives where news of a run goes.
    pub(crate) fn news(&self) -> News {
        let (exited, probed) = (self.ports.exited.clone(), self.ports.probed.clone());
        News {
            exited,
            probed,
            log: self.log.clone(),
        }
    }
}

/// Gives the name of a service's supervisor in trees, status and faults.
pub fn actor_name(service: &str) -> String {
    format!("service_supervisor.{service}")
}

/// Builds the tree of all services: one_for_one, started in order of dependency; when it stops,
/// each service waits for its dependants to be gone.
pub fn services(context: &ServiceContext) -> Result<TreeSpec, BatchError> {
    let services = &context.shared.settings.project.services;
    let order =
        hd_config::order::start_order(services).map_err(|e| BatchError::new("config", e))?;
    let mut tree = TreeSpec::new("services", Strategy::OneForOne).stop_together();
    for service in order {
        tree = tree.child(child(context, service)?);
    }
    Ok(tree)
}

/// Builds the supervisor of one service. It serves all its ports and offers `dependency` of those
/// that depend on it.
pub fn child(context: &ServiceContext, service: &Service) -> Result<ChildSpec, BatchError> {
    Ok(spec(parts(context, service)?, context.lane).into())
}

pub(crate) fn parts(context: &ServiceContext, service: &Service) -> Result<Parts, BatchError> {
    let settings = &context.shared.settings;
    let all = &settings.project.services;
    let ports = context.ports.get(&service.name).cloned();
    let ports = ports
        .ok_or_else(|| BatchError::new("internal", "a service without ports").at(&*service.name))?;
    let grace = settings.project.options.restart_grace;
    let pool = context.runtime.pool(&actor_name(&service.name), 1, 16);
    Ok(Parts {
        shared: context.shared.clone(),
        service: Arc::new(service.clone()),
        ports,
        dependants: dependants(all, &service.name)
            .filter_map(|one| {
                Some((
                    one.name.clone(),
                    context.ports.get(&one.name)?.dependency.clone(),
                ))
            })
            .collect(),
        dependants_grace: dependants_grace(all, &service.name, grace),
        board: context.board.clone(),
        book: context.book.clone(),
        pool: pool.map_err(|e| BatchError::new("internal", e))?,
        log: ServiceLog::new(
            settings.paths.service_logs(),
            &service.name,
            context.shared.events.clone(),
        ),
        memory: Memory::default(),
        rules: rules(service, grace),
    })
}

pub(crate) fn spec(parts: Parts, lane: Lane) -> ActorSpec<ServiceSupervisor> {
    let (name, ports) = (actor_name(&parts.service.name), parts.ports.clone());
    let within = parts.dependants_grace + parts.rules.grace + STOP_SLACK;
    ChildSpec::actor(&name, move |birth| {
        ServiceSupervisor::new(parts.clone(), birth.status.clone())
    })
    .serves(&ports.exited)
    .serves(&ports.probed)
    .serves(&ports.dependency)
    .serves(&ports.stop)
    .serves(&ports.start)
    .lane(lane)
    .grace(within)
}

fn rules(service: &Service, grace: Duration) -> Rules {
    Rules {
        policy: service.restart,
        oneshot: service.kind == Kind::Oneshot,
        grace: service.stop_grace.unwrap_or(grace),
        backoff: service.backoff.clone(),
    }
}

fn dependants<'a>(all: &'a [Service], service: &'a str) -> impl Iterator<Item = &'a Service> {
    all.iter()
        .filter(move |one| one.depends_on.iter().any(|need| need.service == service))
}

/// Adds up what the slowest chain of dependants may take; the parser has refused cycles.
fn dependants_grace(all: &[Service], service: &str, default: Duration) -> Duration {
    dependants(all, service)
        .map(|one| {
            let own = one.stop_grace.unwrap_or(default) + STOP_SLACK;
            own + dependants_grace(all, &one.name, default)
        })
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hd_config::{Condition, DependsOn};

    #[test]
    fn a_service_waits_for_the_slowest_chain_of_its_dependants() {
        let service = |name: &str, needs: &[&str]| {
            let mut service = Service::new(name, "true");
            let need = |need: &&str| DependsOn {
                service: (*need).to_owned(),
                condition: Condition::Healthy,
            };
            service.depends_on = needs.iter().map(need).collect();
            service
        };
        let mut all = [
            service("db", &[]),
            service("web", &["db", "job"]),
            service("job", &["db"]),
        ];
        all[2].stop_grace = Some(Duration::from_secs(9));
        let graces = ["db", "job", "web"]
            .map(|name| dependants_grace(&all, name, Duration::from_secs(1)).as_secs());
        // Each has its own grace and two seconds more.
        assert_eq!(graces, [3 + 11, 3, 0]);
    }
}
