//! Other tools' files turned into an `hd.toml`: what all importers share.
//!
//! Importers are pure: what they must know of files and images they ask of [`Surroundings`]. They
//! make a [`Draft`](draft::Draft), which is written as text and read back, so that no import gives an
//! `hd.toml` that `hd` would refuse, and one [`Line`] for each line they were given.

pub(crate) mod draft;
pub(crate) mod report;
pub(crate) mod shell;
pub(crate) mod sources;
mod text;

use std::collections::BTreeMap;

pub use report::{Line, Verdict};

/// The result of an import.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The text of the `hd.toml`.
    pub toml: String,
    /// What became of each line that was read, in order.
    pub lines: Vec<Line>,
}

impl Imported {
    /// Tells whether something is missing that the steps or services need.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self
            .lines
            .iter()
            .any(|line| line.needed && line.verdict == Verdict::NotSupported)
    }
}

/// What a file of the project is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Dir,
    /// A file; `executable` by its owner.
    File {
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A tar archive; `option` is how `tar` is told its compression: `z`, `j`, `J`, or nothing.
    Archive {
        /// Letter for `tar`.
        option: &'static str,
    },
}

/// What an image says about running it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseImage {
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Directory to start in.
    pub workdir: Option<String>,
    /// `user[:group]`, by name or number.
    pub user: Option<String>,
    /// Program to run, with leading arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// Ports as `8080/tcp`.
    pub exposed: Vec<String>,
    /// Shell of the string form of instructions; empty for the default.
    pub shell: Vec<String>,
    /// Instructions for images built upon this one.
    pub on_build: Vec<String>,
}

/// What an importer asks about the world.
pub trait Surroundings {
    /// What lies at a path of the build context, `None` when nothing does.
    fn file(&self, path: &str) -> Option<FileKind>;

    /// Names of the directories in a directory of the build context, the empty path being its root.
    fn directories(&self, path: &str) -> Vec<String>;

    /// The text of a file of the build context; `None` when there is none.
    fn read(&self, path: &str) -> Option<String>;

    /// What an image says, or why that is not known.
    ///
    /// # Errors
    /// One sentence for the report.
    fn image(&self, reference: &str) -> Result<BaseImage, String>;
}
