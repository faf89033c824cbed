//! What is known of an environment: from its runtime, else as the last one left it.

use std::io::ErrorKind;

use hd_actors::control::protocol::Request;
use hd_actors::model::report::{Report, SCHEMA};

use crate::client::PROMPT;
use crate::error::{CliError, exit};
use crate::leftovers;
use crate::project::Located;

/// How often a runtime that hangs up is asked anew.
const TRIES: u32 = 3;

/// A report and whether somebody stands behind it.
#[derive(Debug)]
pub(crate) struct Known {
    /// The state.
    pub(crate) report: Report,
    /// A runtime gave it just now.
    pub(crate) running: bool,
}

/// Asks the runtime, else reads what the last one left; `None` when the project never ran.
pub(crate) fn known(located: &Located) -> Result<Option<Known>, CliError> {
    if let Some(report) = told(located)? {
        return Ok(Some(Known {
            report,
            running: true,
        }));
    }
    let path = located.paths.state();
    let bytes = match std::fs::read(&path) {
        // Empty or full of zeros after a cut of power: what was known is gone.
        Ok(bytes) if bytes.iter().all(|byte| *byte == 0) => return Ok(None),
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(CliError::io("read", &path, &e)),
    };
    let mut report: Report = serde_json::from_slice(&bytes).map_err(|e| {
        CliError::new(
            "state",
            exit::INTERNAL,
            format!("cannot understand {}: {e}", path.display()),
        )
        .at(path.display().to_string())
        .hint("`hd up` writes it anew")
    })?;
    report.schema = SCHEMA;
    // Whatever ran then does not run now.
    report.actors = None;
    for service in &mut report.services {
        service.pid = None;
    }
    Ok(Some(Known {
        report,
        running: false,
    }))
}

/// Asks the runtime, once more where it hung up: then it ended, or what answers is being started anew.
fn told(located: &Located) -> Result<Option<Report>, CliError> {
    let mut tries = 0;
    loop {
        let Some(client) = leftovers::find(located)? else {
            return Ok(None);
        };
        match client.report(&Request::Status, Some(PROMPT)) {
            Err(error) if error.report().code == "gone" && tries < TRIES => tries += 1,
            told => return told.map(Some),
        }
    }
}

/// The same, or the error of a verb that cannot do without.
pub(crate) fn required(located: &Located) -> Result<Known, CliError> {
    known(located)?.ok_or_else(|| {
        let name = located.directory.display().to_string();
        CliError::new(
            "not_running",
            exit::USAGE,
            format!("{name} has not been built yet"),
        )
        .at(name)
        .hint("`hd up` or `hd build` does it")
    })
}
