//! A command in the environment without services: `hd run`, and `hd exec` where nothing runs.
//!
//! The steps are made true first; then the view that services would have is built, and the
//! command is the only one in it.

use hd_config::{Service, WatchSet};
use hd_sandbox::{Command, Stdio};

use crate::finish::End;
use crate::messages::BatchError;
use crate::model::process_book::Entry;
use crate::model::report::Report;
use crate::model::state::Failure;
use crate::mount_server::launch::{Launched, More, NotStarted};
use crate::mount_server::view::ServiceView;
use crate::mount_server::views::Views;
use crate::runtime::{Ended, Running};

/// Name of the sandbox when it stands for no service; no service can have it.
const NAME: &str = "RUN";

/// A view for one command. [`OneOff::end`] takes it down.
#[derive(Debug)]
pub struct OneOff {
    running: Running,
    views: Views,
    report: Report,
}

/// Makes the steps true and builds the view; an error is how the runtime ended instead. Blocks.
pub fn prepare(running: Running) -> Result<OneOff, Box<Ended>> {
    let mut ended = running.work();
    let wish = running.shared().built.get();
    let built = match wish {
        Some(wish) if running.reason() == Some(End::Done) => Views::new(running.shared(), wish),
        _ => {
            running.clean_up(&ended.report);
            return Err(Box::new(ended));
        }
    };
    match built {
        Ok(views) => Ok(OneOff {
            running,
            views,
            report: ended.report,
        }),
        Err(error) => {
            let failure = Failure::from(&error);
            (ended.exit, ended.report.error) = (failure.exit, Some(failure.error));
            running.clean_up(&ended.report);
            Err(Box::new(ended))
        }
    }
}

impl OneOff {
    /// Gives the surroundings of a service, or of none, for a command that has no words yet.
    pub fn command(&self, service: Option<&str>) -> Result<Command, BatchError> {
        let shared = self.running.shared();
        let declared = shared.declared();
        let service = service.and_then(|name| declared.project.service(name));
        let none: [&str; 0] = [];
        self.view(service).command(shared, service, none)
    }

    /// Starts the command, with the volumes of a service or of none, and waits until it executes. Blocks.
    ///
    /// The entry keeps it written down for the command that finds this process killed.
    pub fn launch(
        &self,
        service: Option<&str>,
        command: Command,
        stdio: Stdio,
    ) -> Result<(Launched, Option<Entry>), NotStarted> {
        let shared = self.running.shared();
        let declared = shared.declared();
        let service = service.and_then(|name| declared.project.service(name));
        // Nothing of it is restarted, so nothing it does is witnessed.
        let service = service.map(|service| Service {
            watch: WatchSet::default(),
            ..service.clone()
        });
        let more = service.as_ref().map(More::of).unwrap_or_default();
        let launched = self
            .view(service.as_ref())
            .launch(shared, NAME, command, stdio, more)?;
        let record = launched.sandbox.record().ok();
        Ok((launched, record.map(|record| shared.book.enter(record))))
    }

    fn view(&self, service: Option<&Service>) -> &ServiceView {
        service.map_or(&self.views.main, |service| self.views.of(&service.name))
    }

    /// Takes the views down and leaves nothing of it behind.
    pub fn end(self) {
        let Self {
            running,
            views,
            report,
        } = self;
        drop(views);
        running.clean_up(&report);
    }
}
