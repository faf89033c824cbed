//! What a supervisor does beside its process: hooks, watch rules, remarks.

use std::time::Duration;

use hd_config::{Command, WatchAction};
use hd_supervision::actix::{AsyncContext, Context, WrapFuture};

use super::ServiceSupervisor;
use crate::events::Event;
use crate::service_supervisor::hooks::{Beside, PRE_STOP, UNHURRIED};
use crate::service_supervisor::run::Run;
use crate::service_supervisor::spawner::Process;

impl ServiceSupervisor {
    /// Sends the stop signal, after the commands that come before it.
    pub(super) fn ask_to_stop(&self) {
        let before = self.parts.service().pre_stop.clone();
        // The grace is for all of it: when it is over the sandbox is killed, and they with it.
        let within = self.parts.rules().grace;
        self.beside(PRE_STOP, before, within, |process| process.terminate());
    }

    /// Runs commands beside the process, then does the rest; at once where there is no command.
    pub(super) fn beside(
        &self,
        what: &'static str,
        commands: Vec<Command>,
        within: Duration,
        then: impl FnOnce(&dyn Process) + Send + 'static,
    ) {
        let Some(run) = &self.run else {
            return;
        };
        if commands.is_empty() {
            return then(&**run.process());
        }
        self.beside_of(what, commands, within, run).spawn(then);
    }

    fn beside_of(
        &self,
        what: &'static str,
        commands: Vec<Command>,
        within: Duration,
        run: &Run,
    ) -> Beside {
        Beside {
            what,
            service: self.parts.name.clone(),
            commands,
            process: run.process().clone(),
            log: self.parts.log.clone(),
            events: self.parts.shared.events.clone(),
            within,
            turns: None,
        }
    }

    /// Does what watch rules say; false when it takes a restart, since a start is under way that may
    /// have read the files already.
    pub(super) fn acted(
        &mut self,
        told: &str,
        actions: &[WatchAction],
        ctx: &mut Context<Self>,
    ) -> bool {
        if self.spawning.is_some() {
            return false;
        }
        let Some(run) = &self.run else {
            // What does not run has nothing to do; a later start reads all anew.
            return true;
        };
        for action in actions {
            match action {
                WatchAction::Signal(signal) => {
                    run.process().signal(*signal);
                    let text = format!("{signal} sent: {told}");
                    let note = format!("{}: {text}", self.parts.name);
                    self.parts.shared.events.tell(Event::Note(note));
                    self.remark(text, ctx);
                }
                WatchAction::Exec(command) => {
                    let turns = run.turns(command);
                    if turns.begin() {
                        let beside = self.beside_of("watch", vec![command.clone()], UNHURRIED, run);
                        let turns = Some(turns);
                        Beside { turns, ..beside }.spawn(|_| {});
                    }
                }
                WatchAction::Restart | WatchAction::None => {}
            }
        }
        true
    }

    /// Writes a remark into the log of the service, from the pool: a disk may block.
    pub(super) fn remark(&self, text: String, ctx: &mut Context<Self>) {
        let (pool, log) = (self.parts.pool.clone(), self.parts.log.clone());
        let job = async move {
            // A pool that is closed means the end of the runtime.
            let _ = pool.run(move || log.remark(&text)).await;
        };
        ctx.spawn(job.into_actor(self));
    }

    pub(super) fn answer_stops(&mut self) {
        for stop in self.stops.drain(..) {
            // Who asked may have gone.
            let _ = stop.send(());
        }
    }
}
