//! Whether a step makes the same when it runs again: `hd verify`.

use crate::finish::End;
use crate::forecast::Forecast;
use crate::messages::BatchError;
use crate::model::state::Failure;
use crate::runtime::{Ended, Running};
use crate::step_runner::twice::Twice;

/// Makes the steps true, then runs one of them twice from nothing. Blocks.
///
/// An error is how the runtime ended instead.
pub fn recheck(running: Running, step: &str) -> Result<Twice, Box<Ended>> {
    let mut ended = running.work();
    let outcome = if running.reason() == Some(End::Done) {
        let again = || Forecast::on(running.shared().clone())?.twice(step);
        again().map_err(|error: BatchError| {
            let failure = Failure::from(&error);
            (ended.exit, ended.report.error) = (failure.exit, Some(failure.error));
        })
    } else {
        Err(())
    };
    running.clean_up(&ended.report);
    outcome.map_err(|()| Box::new(ended))
}
