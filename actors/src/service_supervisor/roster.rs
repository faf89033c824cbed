//! Makes the supervisors of services follow the `hd.toml`: some begin, some end, the others learn what
//! their service is now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hd_config::Project;
use hd_config::order::start_order;
use hd_supervision::Branch;
use tokio::sync::Mutex;

use super::memory::starts_stopped;
use super::ports::{ServiceContext, actor_name, child};
use crate::messages::{BatchError, DependencyReady, RestartCause};
use crate::model::declared::Declared;

/// How long jobs of a supervisor that has ended may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Adds supervisors to the tree of services, and removes them.
#[derive(Debug)]
pub struct Roster {
    branch: Branch,
    context: ServiceContext,
    one_at_a_time: Mutex<()>,
    served: std::sync::Mutex<Option<Arc<Declared>>>,
}

impl Roster {
    /// A roster of the tree that was built from a context.
    pub fn new(branch: Branch, context: ServiceContext) -> Self {
        Self {
            branch,
            context,
            one_at_a_time: Mutex::default(),
            served: std::sync::Mutex::default(),
        }
    }

    /// Makes the supervisors those of a project. What is gone has stopped, dependants first, before
    /// anything new begins: it may take over a port.
    pub async fn follow(&self, project: &Project) -> Result<(), BatchError> {
        let _one = self.one_at_a_time.lock().await;
        let order = start_order(&project.services).map_err(|e| BatchError::new("config", e))?;
        let (directory, grace) = (&self.context.directory, project.options.restart_grace);
        let gone = self.gone(project);
        for service in &order {
            // Who depended on what is gone depends on it no more, and is not waited for.
            if directory.definition(&service.name).is_some() {
                directory.define(service, grace);
            }
        }
        for name in gone {
            self.retire(&name).await;
        }
        let known: BTreeSet<String> = directory.names().into_iter().collect();
        // All are listed before the first begins: it may depend on any of them.
        for service in &order {
            directory.define(service, grace);
            self.context.board.define(service);
        }
        for service in order {
            if !known.contains(&service.name) {
                let child = child(&self.context, &service.name)?;
                let added = self.branch.add(child).await;
                added.map_err(|e| BatchError::new("internal", e))?;
            } else if let Some(ports) = directory.ports(&service.name)
                && let Err(refused) = ports.dependency.offer(DependencyReady::look())
            {
                tracing::trace!(%refused, "it looks at its definition with whatever comes next");
            }
        }
        Ok(())
    }

    /// Notes what services are started for now; answers what they were started for before.
    pub fn serve(&self, declared: Arc<Declared>) -> Option<Arc<Declared>> {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.replace(declared)
    }

    /// Tells whether a service stays down though it is told of this, because a person stopped it.
    pub(crate) fn stays_down(&self, name: &str, cause: &RestartCause) -> bool {
        let standing = self.context.board.standing(name);
        standing.is_some_and(|one| one.is_stopped) && !starts_stopped(cause)
    }

    /// Publishes which services have rules suspended, and why.
    pub fn suspend(&self, words: BTreeMap<String, String>) {
        self.context.board.suspend(words);
    }

    /// Those that the project has no more, dependants first.
    fn gone(&self, project: &Project) -> Vec<String> {
        let listed = self.context.directory.services();
        let listed: Vec<_> = listed.iter().map(|one| (**one).clone()).collect();
        let order = start_order(&listed).unwrap_or_default();
        let gone = order
            .iter()
            .rev()
            .filter(|one| project.service(&one.name).is_none());
        gone.map(|service| service.name.clone()).collect()
    }

    async fn retire(&self, name: &str) {
        self.branch.remove(&actor_name(name)).await;
        self.context.directory.forget(name);
        self.context.board.forget(name);
        let runtime = &self.context.runtime;
        if !runtime.close_pool(&actor_name(name), CLOSE_WITHIN).await {
            tracing::warn!(service = name, "a job of a removed service does not end");
        }
    }
}
