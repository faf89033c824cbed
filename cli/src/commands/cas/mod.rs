//! `hd cas …`: looks after the store.

mod df;
mod gc;
mod stats;
mod verify;

use std::io::ErrorKind;
use std::time::Duration;

use hd_store::Store;

use crate::args::CasVerb;
use crate::error::{CliError, Outcome, exit};
use crate::output::Output;
use crate::project;

pub(super) use gc::{gc_json, gc_text};

/// How long a collection waits for commands that are just at work; one that runs a step is not.
pub(super) const WAIT: Duration = Duration::from_secs(30);

/// Looks after the store.
pub(crate) fn run(verb: &CasVerb, output: Output) -> Outcome {
    match verb {
        CasVerb::Stats => stats::run(output),
        CasVerb::Df => df::run(output),
        CasVerb::Gc { dry_run } => gc::run(*dry_run, output),
        CasVerb::Verify { read_data, repair } => verify::run(*read_data, *repair, output),
    }
}

pub(super) fn open() -> Result<Store, CliError> {
    let cas = project::home()?.join("cas");
    std::fs::create_dir_all(&cas).map_err(|e| CliError::io("make", &cas, &e))?;
    Store::open(&cas).map_err(|e| failed(&e).at(cas.display().to_string()))
}

pub(super) fn failed(error: &hd_store::Error) -> CliError {
    let hint = match error {
        hd_store::Error::Busy { .. } => {
            "try again when the other command is done: it pulls an image or reads a project"
        }
        hd_store::Error::Damaged { .. } => "`hd cas verify` names all that is damaged",
        hd_store::Error::DamagedRef { .. } => {
            "nothing is collected while it is there: `hd cas verify --repair` removes it"
        }
        hd_store::Error::Io { source, .. } if source.kind() == ErrorKind::StorageFull => {
            "`hd prune` gives room back; HD_HOME names another disk"
        }
        hd_store::Error::Io { .. }
        | hd_store::Error::NewerFormat { .. }
        | hd_store::Error::BadFormat { .. } => "HD_HOME names another place for all state",
        _ => "",
    };
    CliError::new("store", exit::INTERNAL, error).hint(hint)
}
