//! A step looked at closely, by a runtime that has made true what it can: `hd verify`, `hd debug`.

use hd_sandbox::{Sandbox, Stdio, Terminal, TtySize};

use crate::finish::End;
use crate::forecast::Forecast;
use crate::messages::BatchError;
use crate::model::report::Report;
use crate::model::state::Failure;
use crate::runtime::{Ended, Running};
use crate::step_runner::twice::Twice;
use crate::step_runner::within::Behind;

/// Makes the steps true, then runs one of them twice from nothing. Blocks.
///
/// An error is how the runtime ended instead.
pub fn recheck(running: Running, step: &str) -> Result<Twice, Box<Ended>> {
    let ended = running.work();
    let outcome = if running.reason() == Some(End::Done) {
        Forecast::on(running.shared().clone())
            .and_then(|now| now.twice(step))
            .map_err(|error| failed(ended.clone(), &error))
    } else {
        Err(Box::new(ended.clone()))
    };
    running.clean_up(&ended.report);
    outcome
}

fn failed(mut ended: Ended, error: &BatchError) -> Box<Ended> {
    let failure = Failure::from(error);
    (ended.exit, ended.report.error) = (failure.exit, Some(failure.error));
    Box::new(ended)
}

/// The view of a step that somebody looks at. [`Inspection::end`] takes it down.
#[derive(Debug)]
pub struct Inspection {
    running: Running,
    report: Report,
    behind: Behind,
}

/// A shell that was opened, and the view it is in.
#[derive(Debug)]
pub struct Opened {
    /// The sandbox it runs in.
    pub sandbox: Sandbox,
    /// Its terminal, if it was to have one.
    pub terminal: Option<Terminal>,
    /// To be ended after it.
    pub inspection: Inspection,
}

/// Makes the steps true as far as they go, then opens a shell where one of them runs. Blocks.
///
/// An error is how the runtime ended instead; that the step itself fails is none.
pub fn inspect(
    running: Running,
    step: &str,
    tty: Option<TtySize>,
    stdio: Stdio,
) -> Result<Opened, Box<Ended>> {
    let ended = running.work();
    let now = Forecast::on(running.shared().clone());
    match now.and_then(|now| now.within(step, tty, stdio)) {
        Ok(within) => Ok(Opened {
            sandbox: within.sandbox,
            terminal: within.terminal,
            inspection: Inspection {
                running,
                report: ended.report,
                behind: within.behind,
            },
        }),
        Err(error) => {
            running.clean_up(&ended.report);
            // What went wrong before says more than that there is nothing to look at.
            Err(match ended.report.error {
                Some(_) => Box::new(ended),
                None => failed(ended, &error),
            })
        }
    }
}

impl Inspection {
    /// Takes the view down and leaves nothing of it behind, no secret either in what downloads are kept in; says
    /// which was there.
    ///
    /// # Errors
    /// Where downloads are kept could not be searched.
    pub fn end(self) -> Result<Option<String>, BatchError> {
        let found = self.behind.end();
        self.running.clean_up(&self.report);
        found
    }
}
