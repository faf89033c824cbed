//! What a stage does to the file system, with everything that was in force at that point.

use std::collections::BTreeMap;

use super::heredoc::Heredoc;
use super::instruction::Form;

/// Where a COPY takes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum From {
    /// The build context, which is the project.
    Context,
    /// Another stage or image, by its name in `hd.toml`.
    Stage(String),
}

/// One source of a COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A path: relative to the project, or absolute in the stage it is taken from.
    Path(String),
    /// A file given by heredoc: name and content.
    Inline { name: String, content: String },
    /// Something to download.
    Url(String),
}

/// A COPY or ADD with its variables expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copy {
    /// From where.
    pub(crate) from: From,
    /// What.
    pub(crate) items: Vec<Item>,
    /// Absolute destination without a slash at its end.
    pub(crate) dest: String,
    /// Whether the destination is said to be a directory.
    pub(crate) into: bool,
    /// `--chown`.
    pub(crate) owner: Option<String>,
    /// `--chmod`.
    pub(crate) mode: Option<String>,
    /// `--exclude`.
    pub(crate) exclude: Vec<String>,
    /// `--parents`.
    pub(crate) parents: bool,
    /// Whether archives are unpacked (ADD).
    pub(crate) unpack: bool,
    /// `--checksum`.
    pub(crate) checksum: Option<String>,
}

/// A RUN with its surroundings.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// The command.
    pub(crate) form: Form,
    /// Its heredocs.
    pub(crate) heredocs: Vec<Heredoc>,
    /// Places at which lines of a shell command were joined.
    pub(crate) joints: Vec<usize>,
    /// Whether the network is cut off.
    pub(crate) offline: bool,
    /// `--mount`, variables expanded.
    pub(crate) mounts: Vec<String>,
    /// What their `from` is called in `hd.toml`.
    pub(crate) sources: BTreeMap<String, String>,
    /// Whole environment without build arguments.
    pub(crate) env: BTreeMap<String, String>,
    /// Build arguments in force.
    pub(crate) args: BTreeMap<String, String>,
    /// Directory.
    pub(crate) cwd: String,
    /// Where the build context is in the project; empty where it is all of it.
    pub(crate) context: String,
    /// User as written; empty for root.
    pub(crate) user: String,
    /// Shell of the string form.
    pub(crate) shell: Vec<String>,
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// A command.
    Run(Box<Run>),
    /// Files.
    Copy(Box<Copy>),
    /// A directory that must be there.
    Mkdir(String),
}

/// One thing that happens, and the line of the report it came from.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Line of the report.
    pub(crate) line: usize,
    /// Stage it belongs to.
    pub(crate) stage: usize,
    /// What happens.
    pub(crate) what: What,
}
