//! Verbs beside a running instance: `kill`, `wait`, `port`, `ls`; and `completion`.

use clap::{Args, ValueEnum};

use super::Place;

#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// Send this signal to the main process instead; the service goes on as it takes it
    #[arg(short, long, value_name = "SIGNAL")]
    pub(crate) signal: Option<String>,
    /// Which [default: all]
    #[arg(value_name = "SERVICE", add = super::words::services())]
    pub(crate) services: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    /// How many of which; holds until hd ends, then `replicas` of hd.toml
    #[arg(value_name = "SERVICE=N", required = true, value_parser = super::lifecycle::scale)]
    pub(crate) counts: Vec<(String, u32)>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Give up after this time (`30s`, `2m`) with exit code 5
    #[arg(short, long, value_name = "TIME")]
    pub(crate) timeout: Option<String>,
    /// Which [default: all]
    #[arg(value_name = "SERVICE", add = super::words::services())]
    pub(crate) services: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct PortArgs {
    /// Which
    #[arg(value_name = "SERVICE", add = super::words::services())]
    pub(crate) service: String,
    /// Only where this port of it is reached
    #[arg(value_name = "PORT")]
    pub(crate) target: Option<u16>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Those that do not run too
    #[arg(short, long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// Of which shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Shells that can complete.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    /// Put `source <(hd completion bash)` into ~/.bashrc.
    Bash,
    /// Put `source <(hd completion zsh)` into ~/.zshrc.
    Zsh,
    /// Put `hd completion fish | source` into ~/.config/fish/config.fish.
    Fish,
}
