//! Flags of every verb: how hd speaks and which project is meant.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
    /// This instance of the project, one beside others, with ports and state of its own [default:
    /// HD_INSTANCE]
    #[arg(short = 'p', long = "instance", value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// With this profile; can be given again [default: HD_PROFILE]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Vec<String>,
}

impl Place {
    /// Takes what is not said here from `outer`: `hd -C x up` is `hd up -C x`.
    pub(crate) fn or(self, outer: Place) -> Place {
        Place {
            directory: self.directory.or(outer.directory),
            file: self.file.or(outer.file),
            instance: self.instance.or(outer.instance),
            profile: [outer.profile, self.profile].concat(),
        }
    }
}
