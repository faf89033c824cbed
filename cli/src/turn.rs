//! Whose turn it is: an instance is run by one hd at a time, and the others ask that one.

use std::time::Duration;

use hd_actors::hold::Hold;

use crate::client::{self, Client};
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
/// answer yet, but will.
pub(crate) fn take(located: &Located, output: Output) -> Result<Turn, CliError> {
    let mut told = false;
    loop {
        if let Some(client) = leftovers::find(located)? {
            return Ok(Turn::Theirs(client));
        }
        if let Some(hold) = Hold::take(&located.paths, &located.directory)? {
            return Ok(Turn::Ours(hold));
        }
        if !told {
            let which =
                holder::pid(located).map_or_else(String::new, |pid| format!(" (pid {pid})"));
            output.talk(&format!(
                "waiting for another hd that builds or runs a command in this project{which}"
            ));
            told = true;
        }
        client::pause(LOOK_EVERY);
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
