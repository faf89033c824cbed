//! How supervisors of services are reached, built and put under a tree.

use std::sync::Arc;
use std::time::Duration;

use hd_config::Service;
use hd_supervision::{
    ActorSpec, ChildSpec, Coalesce, Lane, Pool, Port, Runtime, Strategy, TreeSpec, WhenFull,
};

use super::actor::ServiceSupervisor;
use super::board::Board;
use super::common::Common;
use super::directory::{Definition, Directory};
use super::lifecycle::Rules;
use super::log::ServiceLog;
use super::memory::Memory;
use super::run::News;
use crate::messages::{
    BatchError, DependencyReady, HoldService, Probed, ProcessExited, RestartFor, StartService,
    StopService,
};
use crate::model::process_book::ProcessBook;
use crate::shared::Shared;

/// What a supervisor may take to stop beyond the grace of its process.
pub(super) const STOP_SLACK: Duration = Duration::from_secs(2);
/// Allowed beyond what its dependants may take now: later ones may take longer.
const LATER_DEPENDANTS: Duration = Duration::from_secs(60);

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
    /// From control.
    pub hold: Port<HoldService>,
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
            hold: Port::new(&name("hold"), 4, WhenFull::Await),
        }
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
    /// The services.
    pub directory: Directory,
}

/// What all incarnations of a supervisor share.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) name: String,
    /// What the service is to be, as of now.
    pub(crate) definition: Definition,
    pub(crate) directory: Directory,
    pub(crate) ports: ServicePorts,
    pub(crate) board: Board,
    pub(crate) book: ProcessBook,
    /// Where its process is started and remarks are written: one thread.
    pub(crate) pool: Pool,
    pub(crate) log: ServiceLog,
    pub(crate) memory: Memory,
    /// What it shares with other replicas.
    pub(crate) common: Common,
}

impl Parts {
    /// Gives the service as it is to be now.
    pub(crate) fn service(&self) -> Arc<Service> {
        self.definition.service()
    }

    /// Gives how it is stopped and started again.
    pub(crate) fn rules(&self) -> Rules {
        self.definition.rules()
    }

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
pub fn services(context: &ServiceContext, all: &[Service]) -> Result<TreeSpec, BatchError> {
    let order = hd_config::order::start_order(all).map_err(|e| BatchError::new("config", e))?;
    let mut tree = TreeSpec::new("services", Strategy::OneForOne).stop_together();
    for service in order {
        tree = tree.child(child(context, &service.name)?);
    }
    Ok(tree)
}

/// Builds the supervisor of a service of the directory. It serves all its ports and offers
/// `dependency` of those that depend on it.
pub fn child(context: &ServiceContext, service: &str) -> Result<ChildSpec, BatchError> {
    Ok(spec(parts(context, service)?, context.lane).into())
}

pub(crate) fn parts(context: &ServiceContext, service: &str) -> Result<Parts, BatchError> {
    let directory = &context.directory;
    let listed = directory.ports(service).zip(directory.definition(service));
    let (ports, definition) =
        listed.ok_or_else(|| BatchError::new("internal", "a service without ports").at(service))?;
    let pool = context.runtime.pool(&actor_name(service), 1, 16);
    Ok(Parts {
        shared: context.shared.clone(),
        name: service.to_owned(),
        definition,
        directory: directory.clone(),
        ports,
        board: context.board.clone(),
        book: context.book.clone(),
        pool: pool.map_err(|e| BatchError::new("internal", e))?,
        log: ServiceLog::new(
            context.shared.settings.paths.service_logs(),
            service,
            context.shared.events.clone(),
        ),
        memory: Memory::default(),
        common: directory.common(service).unwrap_or_default(),
    })
}

pub(crate) fn spec(parts: Parts, lane: Lane) -> ActorSpec<ServiceSupervisor> {
    let (name, ports) = (actor_name(&parts.name), parts.ports.clone());
    let (directory, of, definition) = (
        parts.directory.clone(),
        parts.name.clone(),
        parts.definition.clone(),
    );
    // As hd.toml has it by then, which may have been edited since.
    let within = move || {
        let dependants = directory.dependants_grace(&of);
        dependants + definition.rules().grace + STOP_SLACK + LATER_DEPENDANTS
    };
    ChildSpec::actor(&name, move |birth| {
        ServiceSupervisor::new(parts.clone(), birth.status.clone())
    })
    .serves(&ports.exited)
    .serves(&ports.probed)
    .serves(&ports.dependency)
    .serves(&ports.stop)
    .serves(&ports.start)
    .serves(&ports.hold)
    .lane(lane)
    .grace(within)
}
