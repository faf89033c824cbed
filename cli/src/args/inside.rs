//! Commands inside an environment: `exec`, `run`, `shell`.

use std::ffi::OsString;

use clap::Args;

use super::Place;

#[derive(Clone, Debug, Args)]
pub(crate) struct ExecArgs {
    /// Beside this service [default: the first]
    #[arg(short, long, value_name = "SERVICE", add = super::words::services())]
    pub(crate) service: Option<String>,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    #[command(flatten)]
    pub(crate) place: Place,
    /// The command and its arguments
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) command: Vec<OsString>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// Use this image instead of `base` of the file
    #[arg(long, value_name = "IMAGE", value_parser = super::base)]
    pub(crate) base: Option<String>,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    #[command(flatten)]
    pub(crate) place: Place,
    /// The command and its arguments
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) command: Vec<OsString>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ShellArgs {
    /// Beside this service [default: the first]
    #[arg(value_name = "SERVICE", add = super::words::services())]
    pub(crate) service: Option<String>,
    /// Use this image instead of `base` of the file
    #[arg(long, value_name = "IMAGE", value_parser = super::base)]
    pub(crate) base: Option<String>,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DebugArgs {
    /// `step-1`, or a name as `status` shows it
    #[arg(value_name = "STEP")]
    pub(crate) step: String,
    /// Use this image instead of `base` of the file
    #[arg(long, value_name = "IMAGE", value_parser = super::base)]
    pub(crate) base: Option<String>,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// How a command inside is run.
#[derive(Clone, Debug, Args)]
pub(crate) struct HowArgs {
    /// Set a variable, or pass yours on; can be given again
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub(crate) env: Vec<OsString>,
    /// No terminal even if this is one
    #[arg(short = 'T', long = "no-tty")]
    pub(crate) no_tty: bool,
}
