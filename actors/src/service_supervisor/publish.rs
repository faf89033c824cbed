//! Tells everybody where a service stands: board, listeners, dependants.

use std::time::Duration;

use hd_config::Service;

use super::board::{Board, Standing};
use super::directory::Directory;
use super::lifecycle::Lifecycle;
use crate::events::{Event, Events};
use crate::messages::DependencyReady;
use crate::model::report::{Restarts, ServiceReport, ServiceState};

/// Knows what was told last.
#[derive(Debug)]
pub(crate) struct Publisher {
    board: Board,
    events: Events,
    directory: Directory,
    published: Standing,
}

/// What is left to be told elsewhere.
#[derive(Debug)]
pub(crate) struct News {
    /// For the status of the actor.
    pub(crate) status: String,
    /// For the log of the service.
    pub(crate) remark: Option<String>,
}

impl Publisher {
    /// Begins where the board stands.
    pub(crate) fn new(
        service: &Service,
        board: Board,
        events: Events,
        directory: Directory,
    ) -> Self {
        let published = board
            .standing(&service.name)
            .unwrap_or_else(|| Standing::new(service));
        Self {
            board,
            events,
            directory,
            published,
        }
    }

    /// Puts together where the service stands.
    pub(crate) fn standing(
        &self,
        service: &Service,
        life: &Lifecycle,
        pid: Option<u32>,
        watch_restarts: u64,
    ) -> Standing {
        let standing = Standing::new(service);
        let report = ServiceReport {
            state: life.state(),
            pid,
            restarts: Restarts {
                crash: life.crash_restarts(),
                watch: watch_restarts,
            },
            reason: life.reason().to_owned(),
            ..standing.report
        };
        Standing {
            report,
            oneshot: standing.oneshot,
            started: self.published.started || pid.is_some(),
            succeeded: life.succeeded(),
            unhealthy: life.unhealthy(),
            is_due: false,
            is_stopped: life.is_stopped(),
        }
    }

    /// Publishes where the service stands, if that is news.
    pub(crate) fn publish(&mut self, standing: Standing, after: Option<Duration>) -> Option<News> {
        if standing == self.published {
            return None;
        }
        let before = std::mem::replace(&mut self.published, standing.clone());
        // The board first: what follows only makes others look at it.
        self.board.publish(standing);
        let ServiceReport {
            name,
            state,
            reason,
            ..
        } = self.published.report.clone();
        let status = format!("{}: {reason}", word(state));
        let mut remark = None;
        if before.report.state != state {
            tracing::debug!(service = name, ?state, reason, ?after, "service");
            let worth_it = matches!(
                state,
                ServiceState::Stopping | ServiceState::Backoff | ServiceState::Failed
            );
            remark = worth_it.then(|| reason.clone());
            self.events.tell(Event::Service {
                name: name.clone(),
                state,
                reason,
                after,
            });
        } else if self.published.unhealthy && !before.unhealthy {
            remark = Some(format!("not healthy: {reason}"));
            self.events
                .tell(Event::Note(format!("{name} is not healthy: {reason}")));
        }
        for (dependant, port) in self.directory.dependants(&name) {
            let news = DependencyReady {
                service: name.clone(),
                state,
                succeeded: self.published.succeeded,
            };
            if let Err(refused) = port.offer(news) {
                tracing::trace!(dependant, %refused, "it looks at the board anyway");
            }
        }
        Some(News { status, remark })
    }
}

fn word(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Waiting => "waiting",
        ServiceState::Starting => "starting",
        ServiceState::Ready => "ready",
        ServiceState::Stopping => "stopping",
        ServiceState::Backoff => "backoff",
        ServiceState::Failed => "failed",
        ServiceState::Exited => "exited",
    }
}
