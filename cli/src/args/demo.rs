//! `hd demo`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Place;

#[derive(Debug, Args)]
#[command(after_help = "\
Beside hd, what is measured depends on the project: Dockerfile and Dockerfile.ordered, each built and
run anew for every edit; a Compose file in their place; Dockerfile.dev, whose container gets the
project mounted at /app and reloads it by itself. Each begins with `ARG BASE` and `FROM ${BASE}`.")]
pub(crate) struct DemoArgs {
    /// Build all sides on this image
    #[arg(long, value_name = "IMAGE", value_parser = super::base)]
    pub(crate) base: Option<String>,
    /// Measure each phase so often; those that take long, half as often
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// Compare with these engines only [default: all]
    #[arg(long = "engine", value_name = "NAME")]
    engines: Vec<EngineName>,
    /// Write a report with plots into this file, too
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write the plots alone into this file, as one picture
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// The project, if it is not here
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl DemoArgs {
    /// Gives the engines to compare with.
    pub(crate) fn engines(&self) -> Vec<EngineName> {
        if self.engines.is_empty() {
            vec![EngineName::Docker, EngineName::Podman]
        } else {
            self.engines.clone()
        }
    }
}

/// Engines of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    Docker,
    Podman,
}

impl EngineName {
    /// Gives the name of its command line.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}
