//! What a person wants: `hd.toml`, checked and typed.
//!
//! [`parse`] turns the text of an `hd.toml` into a [`Project`] whose every value was validated, or
//! into one [`ConfigError`] that names file, line, column and a way out. The rest is what those
//! values mean: which files count ([`files`]), which of them restart a service ([`watch`]), in which
//! order services start ([`order`]), how `${VAR:-x}` expands ([`expand`]).
//!
//! The crate is pure: no file, clock, environment or network is read here.

pub mod duration;
pub mod env_file;
pub mod error;
pub mod expand;
pub mod files;
mod glob;
mod keys;
pub mod order;
mod parse;
mod path;
pub mod project;
mod read;
pub mod size;
pub mod slug;
mod source;
pub mod step;
pub mod template;
pub mod version;
pub mod watch;

pub use error::{ConfigError, Place, Problem, Report};
pub use files::{DirFilter, FileFilter, Files, FilterStack, HiddenBy, Verdict};
pub use parse::parse;
pub use project::{
    Command, Condition, Dependency, DependencyKind, DependsOn, Healthcheck, Kind, Options, Probe,
    Project, ProjectMode, Provider, RestartPolicy, Service,
};
pub use step::{NamedCache, Step, StepNetwork};
pub use watch::WatchSet;
