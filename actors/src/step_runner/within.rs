//! A person's command in the view of a step: `hd debug`.

use std::ffi::OsString;

use hd_dag::Rooted;
use hd_sandbox::{Sandbox, Stdio, Terminal, TtySize};

use super::ahead::true_below;
use super::kept::KeptStates;
use super::purge::Purge;
use super::run::Serving;
use super::step::Job;
use super::wanted::Wanted;
use super::work_dir::WorkDir;
use super::world::Worlds;
use crate::messages::BatchError;
use crate::session::Needed;
use crate::shared::Shared;

/// Runs the command of a step again where the step ran, then a shell in what it left.
const SCRIPT: &str = r#"/bin/sh -c "$1"
code=$?
printf '%s ended with exit code %s; this shell is where it ran, and what it changes is dropped\n' "$2" "$code" >&2
if command -v bash >/dev/null; then exec bash; else exec /bin/sh; fi"#;

/// A shell in the view of a step.
#[derive(Debug)]
pub struct Within {
    /// The sandbox it runs in.
    pub sandbox: Sandbox,
    /// Its terminal, if it was to have one.
    pub terminal: Option<Terminal>,
    /// What must outlive it.
    pub behind: Behind,
}

/// The view of a step, as long as it is needed.
#[derive(Debug)]
pub struct Behind {
    serving: Serving,
    purge: Purge,
    _work: WorkDir,
    _needed: Needed,
}

impl Behind {
    /// Takes the view down, and secrets out of what stays; says which was where.
    pub fn end(self) -> Result<Option<String>, BatchError> {
        drop(self.serving);
        self.purge.done()
    }
}

/// Opens a shell in the view of a step whose steps below are true. Blocks.
pub fn within(
    shared: &Shared,
    worlds: &Worlds<'_>,
    project: Rooted,
    (wanted, index): (&[Wanted], usize),
    (tty, stdio): (Option<TtySize>, Stdio),
) -> Result<Within, BatchError> {
    let step = &wanted[index];
    let stand = true_below(shared, worlds, project, wanted, index)?;
    let (kept, _) = KeptStates::whole(shared)?;
    let job = Job::new(shared, worlds, step, project, stand, kept)?;
    let words = [
        "/bin/sh",
        "-c",
        SCRIPT,
        "hd-debug",
        &step.command,
        &step.name,
    ];
    let argv = words.map(OsString::from).to_vec();
    let (started, work, purge, needed) = job.open(argv, tty, stdio)?;
    Ok(Within {
        sandbox: started.sandbox,
        terminal: started.terminal,
        behind: Behind {
            serving: started.serving,
            purge,
            _work: work,
            _needed: needed,
        },
    })
}
