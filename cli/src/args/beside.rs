//! Verbs beside a running instance: `kill`, `wait`, `port`, `ls`; and completion.

use clap::{Args, ValueEnum};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use super::Place;

#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// Send this signal to the main process instead; the service goes on as it takes it
    #[arg(short, long, value_name = "SIGNAL")]
    pub(crate) signal: Option<String>,
    /// Which [default: all]
    #[arg(value_name = "SERVICE", add = services())]
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
    #[arg(value_name = "SERVICE", add = services())]
    pub(crate) services: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct PortArgs {
    /// Which
    #[arg(value_name = "SERVICE", add = services())]
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

/// Completes names of services: those of the hd.toml that is found from the working directory.
pub(super) fn services() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let located = crate::project::locate(&Place::default(), None);
        let loaded = located.and_then(|located| located.load());
        // There is nobody to tell of an error while words are completed.
        let services = loaded
            .map(|loaded| loaded.project.services)
            .unwrap_or_default();
        let candidate = |service: hd_config::Service| {
            CompletionCandidate::new(service.name).help(Some(service.command.to_string().into()))
        };
        let groups = services.iter().filter_map(|one| {
            let first = one.replica.as_ref().filter(|replica| replica.number == 1)?;
            let all = CompletionCandidate::new(first.of.clone());
            Some(all.help(Some("all its replicas".into())))
        });
        let groups: Vec<CompletionCandidate> = groups.collect();
        services.into_iter().map(candidate).chain(groups).collect()
    })
}
