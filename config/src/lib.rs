//! What a person wants: `hd.toml`, checked and typed.
//!
//! [`parse`] turns the text of an `hd.toml` into a [`Project`] whose every value was validated, or
//! into one [`ConfigError`] that names file, line, column and a way out. The rest is what those
//! values mean: which files count ([`files`]), which of them restart a service ([`watch`]), in which
//! order services start ([`order`]), how `${VAR:-x}` expands ([`expand`]).
//!
//! The crate is pure: no file, clock, environment or network is read here.

pub mod change;
pub mod compose;
pub mod dockerfile;
pub mod duration;
pub mod env_file;
pub mod error;
pub mod expand;
pub mod files;
mod glob;
pub mod image_defaults;
pub mod ingest;
mod keys;
pub mod network;
pub mod order;
mod parse;
mod path;
pub mod project;
mod read;
pub mod replica;
pub mod schema;
pub mod secret;
pub mod service;
mod shell_line;
pub mod signal;
pub mod size;
pub mod slug;
mod source;
pub mod step;
pub mod template;
pub mod version;
pub mod volume;
pub mod watch;

pub use error::{ConfigError, Place, Problem, Report};
pub use files::{DirFilter, FileFilter, Files, FilterStack, HiddenBy, Verdict};
pub use image_defaults::ImageDefaults;
pub use network::{Published, ServiceNetwork};
pub use parse::{Caller, parse, parse_for, parse_with};
pub use project::{
    Dependency, DependencyKind, GcLimits, Options, Project, ProjectMode, Provider, ViewMode,
};
pub use replica::Replica;
pub use secret::{Secret, SecretSource};
pub use service::{
    Backoff, Command, Condition, DependsOn, Healthcheck, Kind, Probe, Resources, RestartPolicy,
    Service,
};
pub use signal::Signal;
pub use step::{NamedCache, Stage, StageOrigin, Step, StepNetwork};
pub use volume::{Volume, VolumeSource};
pub use watch::{WatchAction, WatchRule, WatchSet};
