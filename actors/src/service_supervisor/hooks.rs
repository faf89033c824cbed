//! Commands around the life of a process: `pre_start`, `post_start`, `pre_stop`, and those of
//! watch rules.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use hd_config::Command;

use super::lifecycle::{Action, describe};
use super::log::ServiceLog;
use super::spawner::{Process, Spawner};
use crate::events::{Event, Events};
use crate::messages::Ended;

/// How long a command beside a service may take when nothing says less.
pub(crate) const UNHURRIED: Duration = Duration::from_secs(24 * 3600);

/// What commands are called that come before the stop signal.
pub(crate) const PRE_STOP: &str = "pre_stop";

/// How long the last words of a command may take to the log.
const DRAIN_WITHIN: Duration = Duration::from_secs(1);

/// What is to happen to a start that is under way; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meanwhile(Arc<Mutex<Wanted>>);

#[derive(Debug, Default)]
struct Wanted {
    /// How it was ended.
    ended: Option<Action>,
    process: Option<Arc<dyn Process>>,
}

impl Meanwhile {
    /// Ends the command that runs before the start, and keeps further ones from being run.
    pub(crate) fn end(&self, action: Action) {
        let mut wanted = self.lock();
        if wanted.ended != Some(Action::Kill) {
            wanted.ended = Some(action);
        }
        match (&wanted.process, action) {
            (Some(process), Action::Kill) => process.kill(),
            (Some(process), _) => process.terminate(),
            (None, _) => {}
        }
    }

    /// Tells whether the start is not wanted any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// Takes a process that runs before the start; answers what is to be done to it if it is not wanted any more.
    fn runs(&self, process: Option<&Arc<dyn Process>>) -> Option<Action> {
        let mut wanted = self.lock();
        wanted.process = process.cloned();
        wanted.ended
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the commands before a start, each to its end; the first that fails is the error. Blocks.
pub(crate) fn before_start(
    commands: &[Command],
    spawner: &dyn Spawner,
    log: &ServiceLog,
    meanwhile: &Meanwhile,
) -> Result<(), String> {
    for command in commands {
        log.remark(&format!("pre_start: {command}"));
        let failed = |why: String| format!("pre_start `{command}` {why}");
        let (output, drained) = log
            .pipes(&Default::default())
            .map_err(|e| failed(e.to_string()))?;
        if meanwhile.runs(None).is_some() {
            return Err("stopped before its start".to_owned());
        }
        let process = spawner
            .before(command, output)
            .map_err(|e| failed(e.to_string()))?;
        match meanwhile.runs(Some(&process)) {
            Some(Action::Kill) => process.kill(),
            Some(_) => process.terminate(),
            None => {}
        }
        let ended = process.wait(None);
        meanwhile.runs(None);
        // Its last words come before those of the service, if they come soon.
        drained.wait(DRAIN_WITHIN);
        match ended {
            Some(Ended::Code(0)) => {}
            Some(ended) => return Err(failed(describe(ended))),
            None => return Err(failed("cannot be waited for".to_owned())),
        }
    }
    Ok(())
}

/// Commands to be run beside a process.
#[derive(Debug)]
pub(crate) struct Beside {
    /// What they are called: `post_start`, `pre_stop`, `watch`.
    pub(crate) what: &'static str,
    pub(crate) service: String,
    pub(crate) commands: Vec<Command>,
    pub(crate) process: Arc<dyn Process>,
    pub(crate) log: ServiceLog,
    pub(crate) events: Events,
    /// How long each may take.
    pub(crate) within: Duration,
    /// Whether it is to be done again, if it is never to run beside itself.
    pub(crate) turns: Option<Turns>,
}

/// Keeps a command from running beside itself: it runs, and once more for all that was wanted of it meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<Doing>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Doing {
    #[default]
    Nothing,
    Once,
    OnceMore,
}

impl Turns {
    /// Wants it run; tells whether the one who asks has to see to that.
    pub(crate) fn begin(&self) -> bool {
        let mut doing = self.lock();
        let is_idle = *doing == Doing::Nothing;
        *doing = if is_idle {
            Doing::Once
        } else {
            Doing::OnceMore
        };
        is_idle
    }

    /// Says that it has run; tells whether it is to run again.
    fn goes_again(&self) -> bool {
        let mut doing = self.lock();
        let again = *doing == Doing::OnceMore;
        *doing = if again { Doing::Once } else { Doing::Nothing };
        again
    }

    fn lock(&self) -> MutexGuard<'_, Doing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beside {
    /// Runs them on a thread one after the other, up to the first that fails, then does the rest.
    pub(crate) fn spawn(self, then: impl FnOnce(&dyn Process) + Send + 'static) {
        let (process, what, turns) = (self.process.clone(), self.what, self.turns.clone());
        let name = format!("{what} {}", self.service);
        let started = thread::Builder::new().name(name).spawn(move || {
            self.run();
            while self.turns.as_ref().is_some_and(Turns::goes_again) {
                self.run();
            }
            then(&*self.process);
        });
        if let Err(error) = started {
            tracing::error!(%error, "no thread for commands beside a service");
            if let Some(turns) = turns {
                *turns.lock() = Doing::Nothing;
            }
            if what == PRE_STOP {
                // Whoever waits for its end must not wait for ever.
                process.terminate();
            }
        }
    }

    fn run(&self) {
        for command in &self.commands {
            self.log.remark(&format!("{}: {command}", self.what));
            let done = self
                .log
                .pipes(&Default::default())
                .map_err(|e| e.to_string());
            let done = done.and_then(|(output, _drained)| {
                self.process.beside(command, Some(output), self.within)
            });
            if let Err(why) = done {
                let text = format!("{} `{command}` {why}", self.what);
                self.log.remark(&text);
                let note = format!("{}: {text}", self.service);
                self.events.tell(Event::Note(note));
                return;
            }
        }
    }
}
