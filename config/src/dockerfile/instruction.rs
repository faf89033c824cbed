//! The eighteen instructions, taken apart; variables in them are not expanded yet.

use std::ops::Range;

use super::heredoc::Heredoc;

/// A command line: for the shell, or as a list of words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// For the shell; as it stands after lines were joined.
    Shell(String),
    /// Without a shell; may be empty, which resets CMD and ENTRYPOINT.
    Exec(Vec<String>),
}

/// `--name=value` before the arguments; a flag without value has `true`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flag {
    /// Name without dashes.
    pub(crate) name: String,
    /// Value as written.
    pub(crate) value: String,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// What it says.
    pub(crate) kind: Kind,
    /// Its flags, in order.
    pub(crate) flags: Vec<Flag>,
    /// Its heredocs.
    pub(crate) heredocs: Vec<Heredoc>,
    /// Places at which lines of a shell command were joined.
    pub(crate) joints: Vec<usize>,
    /// The keyword in the text.
    pub(crate) span: Range<usize>,
}

/// What an instruction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `FROM image [AS name]`.
    From { image: String, name: Option<String> },
    /// `ARG name[=default] …`.
    Arg(Vec<(String, Option<String>)>),
    /// `ENV name=value …`.
    Env(Vec<(String, String)>),
    /// `RUN`.
    Run(Form),
    /// `CMD`.
    Cmd(Form),
    /// `ENTRYPOINT`.
    Entrypoint(Form),
    /// `COPY` or `ADD`.
    Copy {
        add: bool,
        sources: Vec<String>,
        dest: String,
    },
    /// `WORKDIR`.
    Workdir(String),
    /// `USER`.
    User(String),
    /// `EXPOSE`.
    Expose(Vec<String>),
    /// `VOLUME`.
    Volume(Vec<String>),
    /// `SHELL`.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    StopSignal(String),
    /// `HEALTHCHECK CMD …`, or `NONE`.
    Healthcheck(Option<Form>),
    /// `ONBUILD instruction`.
    OnBuild(Box<Instruction>),
    /// `LABEL` or `MAINTAINER`.
    Metadata,
}

impl Instruction {
    /// The last flag of a name.
    pub(crate) fn flag(&self, name: &str) -> Option<&str> {
        let found = self.flags.iter().rev().find(|flag| flag.name == name);
        found.map(|flag| flag.value.as_str())
    }

    /// All values of a flag that can be given again.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.flags.iter().filter(move |flag| flag.name == name);
        found.map(|flag| flag.value.as_str())
    }

    /// Whether a flag without value is set.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.flag(name).is_some_and(|value| value != "false")
    }
}
