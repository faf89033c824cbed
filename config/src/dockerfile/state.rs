//! What is in force at a point of a stage.

use std::collections::{BTreeMap, BTreeSet};

use super::instruction::{Form, Instruction};
use super::variables;
use crate::ingest::BaseImage;
use crate::path::is_at_or_below;

/// Search path of an image that says nothing.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command with the shell that was in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// The command.
    pub(crate) form: Form,
    /// Shell of the string form.
    pub(crate) shell: Vec<String>,
    /// Line of the report; none when the image says it.
    pub(crate) line: Option<usize>,
}

/// A health check with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    /// What is tried.
    pub(crate) program: Program,
    /// Options: name, value as written.
    pub(crate) options: Vec<(String, String)>,
}

/// What is in force.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// Environment of the image and of ENV.
    pub(crate) env: BTreeMap<String, String>,
    /// Line of the report that set a variable.
    pub(crate) env_lines: BTreeMap<String, usize>,
    /// Build arguments in force.
    pub(crate) args: BTreeMap<String, String>,
    /// Directory.
    pub(crate) cwd: String,
    /// Directories that WORKDIR has made.
    pub(crate) dirs: BTreeSet<String>,
    /// User as written; empty for root.
    pub(crate) user: String,
    /// Line of the last USER.
    pub(crate) user_line: Option<usize>,
    /// STOPSIGNAL.
    pub(crate) stop_signal: Option<String>,
    /// Shell of the string form.
    pub(crate) shell: Vec<String>,
    /// ENTRYPOINT.
    pub(crate) entrypoint: Option<Program>,
    /// CMD.
    pub(crate) cmd: Option<Program>,
    /// The stage that said it; none when the image does.
    pub(crate) cmd_stage: Option<usize>,
    /// Ports: as written, line of the report.
    pub(crate) ports: Vec<(String, Option<usize>)>,
    /// HEALTHCHECK.
    pub(crate) health: Option<Health>,
    /// `HEALTHCHECK NONE` was said last.
    pub(crate) unprobed: bool,
    /// ONBUILD of this stage, for stages built upon it.
    pub(crate) on_build: Vec<Instruction>,
}

impl State {
    /// Begins with an image.
    pub(crate) fn of_image(image: &BaseImage) -> Self {
        let shell = if image.shell.is_empty() {
            vec!["/bin/sh".to_owned(), "-c".to_owned()]
        } else {
            image.shell.clone()
        };
        let program = |words: &[String]| {
            (!words.is_empty()).then(|| Program {
                form: Form::Exec(words.to_vec()),
                shell: shell.clone(),
                line: None,
            })
        };
        let mut env = image.env.clone();
        env.entry("PATH".to_owned())
            .or_insert_with(|| DEFAULT_PATH.to_owned());
        State {
            env,
            env_lines: BTreeMap::new(),
            args: BTreeMap::new(),
            cwd: image
                .workdir
                .clone()
                .filter(|dir| !dir.is_empty())
                .unwrap_or_else(|| "/".to_owned()),
            dirs: BTreeSet::new(),
            user: image.user.clone().unwrap_or_default(),
            user_line: None,
            stop_signal: None,
            entrypoint: program(&image.entrypoint),
            cmd: program(&image.cmd),
            cmd_stage: None,
            shell,
            ports: image
                .exposed
                .iter()
                .map(|port| (port.clone(), None))
                .collect(),
            health: None,
            unprobed: false,
            on_build: Vec::new(),
        }
    }

    /// A variable as instructions see it: ENV beats ARG.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        self.env.get(name).or_else(|| self.args.get(name)).cloned()
    }

    /// Expands variables and removes quotes.
    pub(crate) fn expand(&self, text: &str, escape: char) -> Result<String, String> {
        variables::word(text, escape, &|name| self.variable(name))
    }

    /// Makes a path absolute and removes `.` and `..`.
    pub(crate) fn absolute(&self, path: &str) -> String {
        absolute(&self.cwd, path)
    }

    /// Tells whether instructions so far have made a path a directory; what the image has at it is not known.
    pub(crate) fn is_dir(&self, path: &str) -> bool {
        let mut dirs = self.dirs.iter().chain([&self.cwd]);
        dirs.any(|dir| is_at_or_below(dir.as_bytes(), path.as_bytes()))
    }
}

/// What of an environment an image does not say already; its default search path counts as said.
pub(crate) fn declared(
    env: &BTreeMap<String, String>,
    image: &BaseImage,
) -> BTreeMap<String, String> {
    let said = |name: &str| match image.env.get(name) {
        None if name == "PATH" => Some(DEFAULT_PATH),
        said => said.map(String::as_str),
    };
    let own = env.iter().filter(|(name, value)| said(name) != Some(value));
    own.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A user by one name: that of root, who has several, is `root`.
pub(crate) fn who(user: &str) -> &str {
    let (name, group) = user.split_once(':').unwrap_or((user, ""));
    match (name, group) {
        ("" | "root" | "0", "" | "root" | "0") => "root",
        _ => user,
    }
}

/// Resolves a path against a directory.
pub(crate) fn absolute(cwd: &str, path: &str) -> String {
    let joined = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{cwd}/{path}")
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
