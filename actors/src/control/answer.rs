//! What the control socket answers.

use std::sync::Arc;
use std::time::Duration;

use hd_supervision::{Latest, Pool, Port, Runtime, State as Doing};

use super::one_by_one::OneByOne;
use super::protocol::{Reply, Request, ServiceAction};
use super::snapshot::snapshot_of;
use crate::events::Event;
use crate::finish::{End, Finish};
use crate::messages::{
    BatchError, BringBack, DropWritten, KeepWritten, ListWritten, Rebuild, ResumeRules,
    StartService,
};
use crate::model::asked::Asked;
use crate::model::report::{ActorReport, ActorState, Report, ServiceReport, ServiceState};
use crate::model::state::{Failure, State, StateBoard};
use crate::mount_server::written::Written;
use crate::service_supervisor::board::Board;
use crate::service_supervisor::directory::Directory;
use crate::shared::Shared;

/// Time in which actors must say what they do, so that status answers within 300 ms.
const OBSERVE_WITHIN: Duration = Duration::from_millis(250);
/// How long a client waits for a rebuild or for services at most.
pub(super) const WORK_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// Everything answers are made of.
#[derive(Debug)]
pub struct Desk {
    /// Shared handles.
    pub shared: Arc<Shared>,
    /// Actors, to ask what they do.
    pub runtime: Runtime,
    /// The last published state.
    pub state: StateBoard,
    /// States of services.
    pub board: Board,
    /// How the runtime ends.
    pub finish: Finish,
    /// To the Invalidator.
    pub rebuild: Port<Rebuild>,
    /// To the MountServer.
    pub written: Port<ListWritten>,
    /// To the MountServer.
    pub forget: Port<DropWritten>,
    /// To the MountServer.
    pub keep: Port<KeepWritten>,
    /// To the MountServer.
    pub bring: Port<BringBack>,
    /// Where jobs run that may take long.
    pub slow: Pool,
    /// Held by who keeps, brings back or drops what services wrote, so that none sees half of another's work.
    pub changing: OneByOne,
    /// To the Invalidator.
    pub resume: Latest<ResumeRules>,
    /// To the services.
    pub services: Directory,
}

impl Desk {
    /// Gives the whole report, actors included.
    pub async fn report(&self) -> Report {
        let mut report = self.brief();
        let actors = self.runtime.observe_all(OBSERVE_WITHIN).await;
        report.actors = Some(actors.into_iter().map(actor).collect());
        report
    }

    fn brief(&self) -> Report {
        let mut report = self.shared.report(&self.state);
        report.services = self.board.reports();
        for service in report.services.iter_mut().filter(|one| one.pid.is_some()) {
            service.resources = self.shared.meters.read(&service.name);
        }
        report.ending = self.finish.get().is_some();
        report.watching = self.shared.pause.report();
        report.lower = self.shared.images.report();
        report
    }

    /// Answers a request.
    pub(super) async fn answer(&self, request: Request) -> Reply {
        let done = match request {
            _ if self.is_too_late_for(&request) => Err(too_late()),
            Request::Status | Request::Attach | Request::Events => {
                return Reply::Report {
                    report: Box::new(self.report().await),
                };
            }
            Request::Brief => {
                return Reply::Report {
                    report: Box::new(self.brief()),
                };
            }
            Request::Written { names } => match self.written(names).await {
                Ok(written) => return Reply::Written { written },
                Err(failure) => Err(failure),
            },
            Request::Reset { names } => self.reset(names).await,
            Request::Snapshot { name, names } => {
                return snapshot_of(self.snapshot(name, names).await);
            }
            Request::Restore { name, names } => {
                return snapshot_of(self.restore(&name, names).await);
            }
            Request::Down { now } => {
                self.finish.end(End::Asked { now });
                Ok(())
            }
            Request::Build { rerun } => self.build(rerun).await,
            Request::Service { action, names } => self.services(action, &names).await,
            Request::Scale { services } => self.scale(services).await,
            Request::Up {
                services,
                profiles,
                scale,
            } => self.up(Asked::by_up(services, profiles, scale)).await,
            Request::Watching { paused } => {
                self.watching(paused);
                Ok(())
            }
            Request::WaitReady { names } => self.wait_ready(&names).await,
        };
        match done {
            Ok(()) if self.finish.get().is_some() => Reply::Done,
            Ok(()) => Reply::Report {
                report: Box::new(self.report().await),
            },
            Err(Failure { error, exit }) => Reply::Error { error, exit },
        }
    }

    /// Tells whether whom a request is for may be gone already.
    fn is_too_late_for(&self, request: &Request) -> bool {
        let may_be_asked = matches!(
            request,
            Request::Status
                | Request::Brief
                | Request::Attach
                | Request::Events
                | Request::Down { .. }
        );
        !may_be_asked && self.finish.get().is_some()
    }

    /// Holds edits back, or lets them go and all rules hold again.
    fn watching(&self, paused: bool) {
        let pause = &self.shared.pause;
        let waiting = pause.report().map(|report| report.waiting);
        if pause.set(paused) {
            let told = match waiting {
                None => "edits are held back until `hd watch resume`".to_owned(),
                Some(Some(1)) => "edits go through again: one path was held back".to_owned(),
                Some(Some(0)) => "edits go through again; none had been held back".to_owned(),
                Some(Some(count)) => {
                    format!("edits go through again: {count} paths were held back")
                }
                Some(None) => "edits go through again: everything is looked at".to_owned(),
            };
            self.shared.events.tell(Event::Note(told));
        }
        if !paused {
            self.resume.put(ResumeRules);
        }
    }

    pub(super) async fn build(&self, rerun: Vec<String>) -> Result<(), Failure> {
        let before = self.ask_to_build(rerun).await?;
        self.built_since(before).await
    }

    /// Has everything looked at again; gives the generation before what follows from that.
    pub(super) async fn ask_to_build(&self, rerun: Vec<String>) -> Result<u64, Failure> {
        self.first_look().await?;
        let before = self.state.get().generations.0;
        let wish = self.rebuild.ask(Rebuild { rerun }, WORK_WITHIN).await;
        wish.map_err(|e| Failure::from(&BatchError::new("internal", e)))?
            .map_err(|e| Failure::from(&e))?;
        Ok(before)
    }

    /// Waits for the first look at the project: a runtime answers before, but has nothing to build on yet.
    async fn first_look(&self) -> Result<(), Failure> {
        let looked = |state: &State| state.root.is_some() || state.error.is_some();
        let state = self.state.wait_until(WORK_WITHIN, looked).await;
        let failed = state.filter(|state| state.root.is_none());
        failed.and_then(|state| state.error).map_or(Ok(()), Err)
    }

    /// Waits until a newer generation than that is done.
    pub(super) async fn built_since(&self, before: u64) -> Result<(), Failure> {
        let settled = self
            .state
            .wait_until(WORK_WITHIN, |state| {
                state.generations.0 > before && state.is_settled()
            })
            .await;
        settled.and_then(|state| state.error).map_or(Ok(()), Err)
    }

    async fn written(&self, names: Vec<String>) -> Result<Vec<Written>, Failure> {
        let services = self.meant(&names)?;
        let asked = self
            .written
            .ask(ListWritten { services }, WORK_WITHIN)
            .await;
        let told = asked.map_err(|e| Failure::from(&BatchError::new("internal", e)))?;
        told.map_err(|e| Failure::from(&e))
    }

    /// Drops what services wrote and starts them anew; one that does not run stays so.
    async fn reset(&self, names: Vec<String>) -> Result<(), Failure> {
        let services = self.meant(&names)?;
        let _one = self.changing.turn().await;
        let wish = DropWritten {
            services: services.clone(),
        };
        let asked = self.forget.ask(wish, WORK_WITHIN).await;
        let done = asked.map_err(|e| Failure::from(&BatchError::new("internal", e)))?;
        done.map_err(|e| Failure::from(&e))?;
        // Looked at only now: whatever began before in what is dropped is there, with a process or on its way
        // to one. What starts after the look finds nothing anyway.
        let mut running = self.board.reports();
        running.retain(|one| {
            matches!(one.state, ServiceState::Starting | ServiceState::Ready)
                && services.contains(&one.name)
        });
        if running.is_empty() {
            return Ok(());
        }
        let running: Vec<String> = running.into_iter().map(|service| service.name).collect();
        self.services(ServiceAction::Restart, &running).await
    }

    pub(super) async fn services(
        &self,
        action: ServiceAction,
        names: &[String],
    ) -> Result<(), Failure> {
        let chosen = self.meant(names)?;
        let restart = match action {
            ServiceAction::Stop => return self.stop(&chosen, false).await,
            ServiceAction::Kill => return self.stop(&chosen, true).await,
            ServiceAction::Start => false,
            ServiceAction::Restart => true,
        };
        for ports in chosen.iter().filter_map(|name| self.services.ports(name)) {
            let start = ports.start.ask(StartService { restart }, WORK_WITHIN);
            let gone = |e| Failure::from(&BatchError::new("internal", e));
            start.await.map_err(gone)?;
        }
        Ok(())
    }

    /// Gives the services that names mean, all when none is named; refuses a name that is no service.
    pub(super) fn meant(&self, names: &[String]) -> Result<Vec<String>, Failure> {
        self.services.meant(names).map_err(|unknown| {
            let known = self.services.meant(&[]).unwrap_or_default().join(", ");
            let error = BatchError::new("config", format!("there is no service `{unknown}`"))
                .hint(format!("services: {known}"));
            Failure::from(&error)
        })
    }

    async fn wait_ready(&self, names: &[String]) -> Result<(), Failure> {
        let names = &self.meant(names)?;
        let settled = self
            .state
            .wait_until(WORK_WITHIN, |state| state.is_settled())
            .await;
        if let Some(failure) = settled.and_then(|state| state.error) {
            return Err(failure);
        }
        let settled = self
            .board
            .wait_until(WORK_WITHIN, |board| {
                board.all_ready(names) || self.in_the_way_of(names).is_some()
            })
            .await;
        match self.in_the_way_of(names) {
            _ if self.board.all_ready(names) => Ok(()),
            Some(service) if settled => {
                let error =
                    BatchError::new("service", format!("{}: {}", service.name, service.reason))
                        .at(service.name.clone());
                Err(Failure::from(
                    &error.hint(format!("hd logs {}", service.name)),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Gives what keeps services from becoming ready: one of them that failed, or one that another waits for.
    fn in_the_way_of(&self, names: &[String]) -> Option<ServiceReport> {
        let needs = self.services.needs(&self.board.waiting(names));
        let failed = self.board.any_failed(names);
        failed.or_else(|| {
            needs
                .iter()
                .find_map(|need| self.board.any_failed(std::slice::from_ref(need)))
        })
    }
}

fn too_late() -> Failure {
    let error = BatchError::new("ending", "hd is ending its services and itself");
    Failure::from(&error.hint("`hd down` waits for that, `hd down --now` hurries it"))
}

fn actor(snapshot: hd_supervision::Snapshot) -> ActorReport {
    ActorReport {
        name: snapshot.name.to_string(),
        state: match snapshot.state {
            Doing::Alive => ActorState::Alive,
            Doing::Busy => ActorState::Busy,
            Doing::Dead => ActorState::Dead,
        },
        restarts: u64::from(snapshot.restarts),
        queued: snapshot.queued as u64,
    }
}
