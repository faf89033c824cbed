//! Whose turn it is: an instance is run by one hd at a time, and the others ask that one.

use std::time::Duration;

use hd_actors::control::protocol::Request;
use hd_actors::hold::Hold;

use crate::client::{self, Client, PROMPT};
use crate::error::{CliError, exit};
use crate::holder;
use crate::leftovers;
use crate::output::Output;
use crate::project::Located;

/// Time between two looks at who has the instance.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Who runs the instance of a project now.
#[derive(Debug)]
pub(crate) enum Turn {
    /// This process.
    Ours(Hold),
    /// A runtime that answers.
    Theirs(Client),
}

/// Takes the instance, or finds the runtime that has it.
///
/// A command, and a build, has an instance without answering: it is waited for. A runtime that has just begun does not
/// answer yet, but will. One that is ending answers, and is waited for.
pub(crate) fn take(located: &Located, output: Output) -> Result<Turn, CliError> {
    let mut told = false;
    loop {
        if !is_ending(located)?
            && let Some(client) = leftovers::find(located)?
        {
            return Ok(Turn::Theirs(client));
        }
        if let Some(hold) = Hold::take(&located.paths, &located.directory)? {
            return Ok(Turn::Ours(hold));
        }
        if !told {
            let which =
                holder::pid(located).map_or_else(String::new, |pid| format!(" (pid {pid})"));
            output.talk(&format!(
                "waiting for another hd that builds, runs a command or ends in this project{which}"
            ));
            told = true;
        }
        client::pause(LOOK_EVERY);
    }
}

/// Tells whether a runtime has the instance that takes no more orders.
fn is_ending(located: &Located) -> Result<bool, CliError> {
    let Some(client) = leftovers::find(located)? else {
        return Ok(false);
    };
    match client.report(&Request::Brief, Some(PROMPT)) {
        Ok(report) => Ok(report.ending),
        // It has ended on the way.
        Err(error) if error.report().code == "gone" => Ok(true),
        Err(error) => Err(error),
    }
}

/// The same for what cannot be done beside a runtime; `hint` says what can be done instead.
pub(crate) fn take_alone(located: &Located, output: Output, hint: &str) -> Result<Hold, CliError> {
    match take(located, output)? {
        Turn::Ours(hold) => Ok(hold),
        Turn::Theirs(_) => {
            Err(
                CliError::new("running", exit::USAGE, "another hd runs this project")
                    .at(located.directory.display().to_string())
                    .hint(hint),
            )
        }
    }
}
