//! The command line as people type it. Verbs that do not work yet are in [`crate::verbs`].

mod base;
mod beside;
mod cache;
mod cas;
mod dag;
mod demo;
mod document;
mod image;
mod ingest;
mod inside;
mod lifecycle;
mod logs;
mod look;
mod prune;
mod snapshot;
mod volume;
mod words;

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

use base::base;
pub(crate) use beside::{CompletionArgs, KillArgs, LsArgs, PortArgs, ScaleArgs, Shell, WaitArgs};
pub(crate) use cache::{CacheRmArgs, CacheVerb};
pub(crate) use cas::CasVerb;
pub(crate) use dag::{DagDiffArgs, DagVerb};
pub(crate) use demo::{DemoArgs, EngineName};
pub(crate) use document::{ConfigArgs, CopyArgs, ManArgs, WatchAction, WatchArgs};
pub(crate) use image::{ExportArgs, ImageNames, ImageVerb, LayerCompression};
pub(crate) use ingest::IngestArgs;
pub(crate) use inside::{DebugArgs, ExecArgs, HowArgs, RunArgs, ShellArgs};
pub(crate) use lifecycle::{BuildArgs, DownArgs, InitArgs, UpArgs};
pub(crate) use logs::LogsArgs;
pub(crate) use look::{Look, Place, Progress, When};
pub(crate) use prune::PruneArgs;
pub(crate) use snapshot::{RestoreArgs, SnapshotArgs, SnapshotRmArgs, SnapshotVerb};
pub(crate) use volume::{VolumeRmArgs, VolumeVerb};

/// Environments whose files, build steps and services follow every edit.
#[derive(Debug, Parser)]
#[command(
    name = "hd",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
#[command(
    after_help = "hd.toml is looked for in this directory, then upward. State is kept in HD_HOME (~/.hd)."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) look: Look,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Write an hd.toml for this directory
    Init(InitArgs),
    /// Translate a Dockerfile or compose.yaml to an hd.toml
    Ingest(IngestArgs),
    /// Build what must be built, start the services, follow every edit
    Up(UpArgs),
    /// Stop the services and end hd; leaves nothing behind
    Down(DownArgs),
    /// Show steps, services and hd itself
    Status(PlaceArgs),
    /// List the services
    Ps(PlaceArgs),
    /// Build and exit: `up --once`
    Build(BuildArgs),
    /// Run a command beside a service
    Exec(ExecArgs),
    /// Run a command in the environment
    Run(RunArgs),
    /// Open a shell in the environment
    Shell(ShellArgs),
    /// Copy files to or from what a service sees
    Cp(CopyArgs),
    /// Print what services wrote
    Logs(LogsArgs),
    /// Start services that do not run
    Start(ServicesArgs),
    /// Stop services and keep them stopped
    Stop(ServicesArgs),
    /// Stop services, then start them
    Restart(ServicesArgs),
    /// Kill services and keep them stopped, or send them a signal
    Kill(KillArgs),
    /// Run so many replicas of services from now on
    Scale(ScaleArgs),
    /// Wait until services are ready, one-shots done
    Wait(WaitArgs),
    /// Print the address a service listens on
    Port(PortArgs),
    /// Print what happens, services' lines and all, until hd ends
    Attach(PlaceArgs),
    /// Print what happens as JSON, one object a line, until hd ends
    Events(PlaceArgs),
    /// List what services wrote into their views, outside the host's own files
    Diff(ServicesArgs),
    /// Drop what services wrote into their views and restart them
    Reset(ServicesArgs),
    /// Keep what services wrote, and their volumes, under a name
    Snapshot(SnapshotArgs),
    /// Put a snapshot in the place of what services wrote and restart them
    Restore(RestoreArgs),
    /// Watch services, steps and logs on the whole screen
    Top(PlaceArgs),
    /// List the projects that run
    Ls(LsArgs),
    /// Say what `up` would run, without running it
    Plan(PlanArgs),
    /// Say why a step ran or was kept
    Why(WhyArgs),
    /// Run a step's command again, then open a shell where it ran
    Debug(DebugArgs),
    /// Run a step twice from nothing and compare what it makes; exit code 0 same, 1 different
    Verify(VerifyArgs),
    /// Say what an edit of a file leads to; hold edits back
    Watch(WatchArgs),
    /// Print every setting, and where it came from
    Config(ConfigArgs),
    /// Look at the environment's graph
    #[command(subcommand)]
    Dag(DagVerb),
    /// Look after what steps keep between their runs
    #[command(subcommand)]
    Cache(CacheVerb),
    /// Look after named volumes: data of services that `hd down` keeps
    #[command(subcommand)]
    Volume(VolumeVerb),
    /// Look after base images
    #[command(subcommand)]
    Image(ImageVerb),
    /// Make an image of the environment that runs under Docker and Podman
    Export(ExportArgs),
    /// Look after the store of contents
    #[command(subcommand)]
    Cas(CasVerb),
    /// Give room back: projects that are gone, what was not used for long, more than a size
    Prune(PruneArgs),
    /// Measure what edits cost with hd, and with Docker where it answers
    Demo(DemoArgs),
    /// Check what hd needs of this machine; exit code 7 when something is missing
    Doctor(PlaceArgs),
    /// Print the JSON Schema of hd.toml, for editors
    Schema,
    /// Print the manual page of hd, or write those of all verbs
    Man(ManArgs),
    /// Print the script that completes hd's words in a shell
    Completion(CompletionArgs),
    /// Print the version
    Version,
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct ServicesArgs {
    /// Which [default: all]
    #[arg(value_name = "SERVICE", add = words::services())]
    pub(crate) services: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Use this image instead of `base` of the file
    #[arg(long, value_name = "IMAGE", value_parser = base)]
    pub(crate) base: Option<String>,
    /// The project, if it is not here
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// `step-1`, or a name as `status` shows it
    #[arg(value_name = "STEP")]
    pub(crate) step: String,
    /// Use this image instead of `base` of the file
    #[arg(long, value_name = "IMAGE", value_parser = base)]
    pub(crate) base: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// `step-1`, or a name as `status` shows it, or a service [default: every step]
    #[arg(value_name = "STEP|SERVICE")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(line.split(' ')).unwrap()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn f_is_follow_for_logs_and_a_file_elsewhere() {
        let Verb::Logs(logs) = parse("hd -f x/hd.toml logs -f -n 5 web").verb else {
            panic!()
        };
        assert!(logs.follow && logs.tail == Some(5) && logs.services == ["web"]);
        let Verb::Up(up) = parse("hd up -f y.toml -C z").verb else {
            panic!()
        };
        assert_eq!(up.place.file, Some("y.toml".into()));
        let place = up.place.or(Place {
            directory: Some("a".into()),
            file: None,
            instance: None,
            profile: Vec::new(),
        });
        assert_eq!(place.directory, Some("z".into()));
    }

    #[test]
    fn global_flags_stand_anywhere() {
        assert!(parse("hd --json status").look.json && parse("hd status --json").look.json);
        assert_eq!(
            parse("hd up --progress plain").look.progress,
            Progress::Plain
        );
    }
}
