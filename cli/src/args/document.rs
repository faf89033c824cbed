//! What hd says about a project and about itself: `config`, `man`; and `cp`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

use super::Place;

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Only what stands at and below this key, such as services.web
    #[arg(value_name = "KEY")]
    pub(crate) key: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true)))]
pub(crate) struct WatchArgs {
    /// Hold edits back, or let them go as one batch; `resume` also lets rules hold again that were suspended
    /// because a service wrote what it watches
    #[arg(value_enum, value_name = "ACTION", group = "what")]
    pub(crate) action: Option<WatchAction>,
    /// Say what an edit of this path leads to, and by which rule
    #[arg(long, value_name = "PATH", group = "what")]
    pub(crate) explain: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// What is done about watching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WatchAction {
    /// Edits are collected and lead to nothing.
    Pause,
    /// What was collected goes through.
    Resume,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write the pages of all verbs into this directory [default: print that of hd]
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// What: a path of this machine, or SERVICE:PATH; DIR/. is what is in DIR
    #[arg(value_name = "FROM")]
    pub(crate) from: OsString,
    /// Where to: a path of the other side; into it, if it is a directory
    #[arg(value_name = "TO")]
    pub(crate) to: OsString,
    #[command(flatten)]
    pub(crate) place: Place,
}
