//! The command line as people type it. Verbs that do not work yet are in [`crate::verbs`].

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

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

/// How hd speaks.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Look {
    /// Print one JSON object (or one a line) on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub(crate) color: When,
    /// How to show progress
    #[arg(long, global = true, value_enum, value_name = "HOW", default_value_t)]
    pub(crate) progress: Progress,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How to show what happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// `tty` on a terminal, else `plain`.
    #[default]
    Auto,
    /// A few live lines below those that stay.
    Tty,
    /// Lines that stay, nothing else.
    Plain,
    /// One JSON object a line, on stderr.
    Json,
    /// Errors only.
    Quiet,
}

/// Which project is meant.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Place {
    /// Look for hd.toml in this directory, then upward
    #[arg(short = 'C', long = "directory", value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Use this file; its directory is the project
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

impl Place {
    /// Takes what is not said here from `outer`: `hd -C x up` is `hd up -C x`.
    pub(crate) fn or(self, outer: Place) -> Place {
        Place {
            directory: self.directory.or(outer.directory),
            file: self.file.or(outer.file),
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Write an hd.toml for this directory
    Init(InitArgs),
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
    /// Print what services wrote
    Logs(LogsArgs),
    /// Start services that do not run
    Start(ServicesArgs),
    /// Stop services and keep them stopped
    Stop(ServicesArgs),
    /// Stop services, then start them
    Restart(ServicesArgs),
    /// Say why a step ran or was kept
    Why(WhyArgs),
    /// Look at the environment's graph
    #[command(subcommand)]
    Dag(DagVerb),
    /// Look after the store of contents
    #[command(subcommand)]
    Cas(CasVerb),
    /// Measure what edits cost with hd, and with Docker where it answers
    Demo(DemoArgs),
    /// Print the version
    Version,
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Directory of the project [default: this one]
    #[arg(value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct UpArgs {
    /// A project (a path with `/`, or a directory with an hd.toml), else services to start
    #[arg(value_name = "PATH|SERVICE")]
    pub(crate) targets: Vec<String>,
    /// Go on in the background
    #[arg(short, long, conflicts_with = "once")]
    pub(crate) detach: bool,
    /// Go on in the background, return when every service is ready
    #[arg(long, conflicts_with = "once")]
    pub(crate) wait: bool,
    /// Build and exit; starts no service
    #[arg(long)]
    pub(crate) once: bool,
    /// Use this image instead of `base` of the file
    #[arg(long, value_name = "IMAGE")]
    pub(crate) base: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
    /// This process is the one in the background.
    #[arg(long, hide = true)]
    pub(crate) background: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// Do not let services finish: kill them
    #[arg(long)]
    pub(crate) now: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Run this step even if nothing it read changed; can be given again
    #[arg(long, value_name = "STEP")]
    pub(crate) rerun: Vec<String>,
    /// Use this image instead of `base` of the file
    #[arg(long, value_name = "IMAGE")]
    pub(crate) base: Option<String>,
    /// The project, if it is not here
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ExecArgs {
    /// Beside this service [default: the first]
    #[arg(short, long, value_name = "SERVICE")]
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
    #[arg(long, value_name = "IMAGE")]
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
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// Use this image instead of `base` of the file
    #[arg(long, value_name = "IMAGE")]
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

#[derive(Clone, Debug, Args)]
pub(crate) struct LogsArgs {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Go on as lines come, until hd ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last N lines of each service
    #[arg(short = 'n', long = "tail", value_name = "N")]
    pub(crate) tail: Option<usize>,
    /// Without the name in front
    #[arg(long, visible_alias = "no-log-prefix")]
    pub(crate) no_prefix: bool,
    /// With the time of each line
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Look for hd.toml in this directory, then upward
    #[arg(short = 'C', long = "directory", value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Use this file; its directory is the project
    #[arg(long = "file", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

impl LogsArgs {
    /// Gives the project meant; `-f` is taken here.
    pub(crate) fn place(&self) -> Place {
        Place {
            directory: self.directory.clone(),
            file: self.file.clone(),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ServicesArgs {
    /// Which [default: all]
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
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

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Build both sides on this image
    #[arg(long, value_name = "IMAGE")]
    pub(crate) base: Option<String>,
    /// Measure each phase so often; a cold start half as often
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// The project, if it is not here
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DagVerb {
    /// Print the root and what it covers
    Show(DagShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DagShowArgs {
    /// Show so many levels of directories
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) depth: usize,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CasVerb {
    /// Print sizes and counts
    Stats,
    /// Remove what no environment needs
    Gc {
        /// Say what would go, remove nothing
        #[arg(long, action = ArgAction::SetTrue)]
        dry_run: bool,
    },
    /// Read everything and compare it with its id; exit code 0 clean, 1 damage, 2 could not check
    Verify,
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
