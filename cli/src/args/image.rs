//! `hd image` and `hd export`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Place;

#[derive(Debug, Subcommand)]
pub(crate) enum ImageVerb {
    /// List the images that were pulled
    Ls,
    /// Pull images, or bring them up to date: asks what the name stands for now
    Pull(ImageNames),
    /// Forget images; `hd cas gc` then gives back what no environment uses
    Rm(ImageNames),
    /// Print what an image says about running it, its layers and digests, as JSON
    Inspect(ImageNames),
}

#[derive(Debug, Args)]
pub(crate) struct ImageNames {
    /// python:3.11-slim, oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE or docker-daemon:NAME
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) names: Vec<String>,
    /// For another platform, as linux/arm64 [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LayerCompression {
    /// What every engine reads
    Gzip,
    /// Smaller and faster; Docker reads it from version 23
    Zstd,
    /// Not compressed
    None,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// oci:DIR[:TAG], docker-archive:FILE[:NAME] or REGISTRY/REPOSITORY[:TAG]
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
    /// The project, if it is not here
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    /// The service whose command, ports and user the image has [default: the first]
    #[arg(long, value_name = "SERVICE", add = super::words::services())]
    pub(crate) service: Option<String>,
    /// Use this image instead of `base` of the file
    #[arg(long, value_name = "IMAGE", value_parser = super::base)]
    pub(crate) base: Option<String>,
    /// How new layers are compressed; an archive's are not
    #[arg(long, value_name = "HOW", default_value = "gzip")]
    pub(crate) compression: LayerCompression,
    /// Add a label; can be given again
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}
