//! One error for a person: what, where, and what to do about it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, SourceCode, SourceSpan};

/// Where in a file something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the file, as it was given to the parser.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Range in bytes.
    pub span: Range<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What is wrong, without its place. `Display` is one lowercase line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The text is not TOML (or, for an `env_file`, not `KEY=value`).
    #[error("{message}")]
    Syntax {
        /// What the parser expected.
        message: String,
    },
    /// A Dockerfile or Compose file says what cannot be read.
    #[error("{message}")]
    Import {
        /// What is wrong.
        message: String,
        /// What would be accepted, or empty.
        hint: String,
    },
    /// A key that no version of `hd` knows at this place.
    #[error("unknown key `{key}` in {section}")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The table, e.g. `[services.web]`.
        section: String,
        /// What was probably meant.
        hint: String,
    },
    /// A key or value of the design that this version does not carry out.
    #[error("`{what}` does not work yet")]
    NotYet {
        /// Full name, e.g. `services.web.volumes`.
        what: String,
        /// What to do until then.
        hint: String,
    },
    /// A required key is absent.
    #[error("{section} lacks `{key}`")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// The table it belongs to.
        section: String,
        /// An example.
        hint: String,
    },
    /// A value of another TOML type than the key takes.
    #[error("`{key}` takes {expected}, found {found}")]
    WrongType {
        /// Full name of the key.
        key: String,
        /// What it takes.
        expected: String,
        /// What stands there.
        found: &'static str,
        /// An example, or empty.
        hint: String,
    },
    /// A value of the right type that means nothing.
    #[error("`{key}`: {why}")]
    Invalid {
        /// Full name of the key.
        key: String,
        /// Why it is refused.
        why: String,
        /// What would be accepted, or empty.
        hint: String,
    },
    /// `[dependencies]` names a provider `hd` does not have.
    #[error("unknown provider `{name}`")]
    UnknownProvider {
        /// The name as written.
        name: String,
        /// Nearest and known providers.
        hint: String,
    },
    /// `depends_on` names a service that is not there.
    #[error("service `{service}` depends on `{name}`, which does not exist")]
    UnknownDependency {
        /// The service that depends.
        service: String,
        /// The missing one.
        name: String,
        /// Nearest and known services.
        hint: String,
    },
    /// Services wait for each other in a circle.
    #[error("services wait for each other: {}", .chain.join(" -> "))]
    Cycle {
        /// The circle; first and last are the same service.
        chain: Vec<String>,
    },
    /// Two services want the same port.
    #[error("port {port} is taken by service `{first}`, service `{second}` wants it too")]
    DuplicatePort {
        /// The port.
        port: u16,
        /// The service declared first.
        first: String,
        /// The service declared later.
        second: String,
    },
    /// A glob that does not compile.
    #[error("`{key}`: bad glob `{glob}`: {why}")]
    BadGlob {
        /// Full name of the key.
        key: String,
        /// The glob as written.
        glob: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Problem {
    /// Stable name for programs, e.g. `config.unknown_key`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "config.syntax",
            Self::Import { .. } => "config.import",
            Self::UnknownKey { .. } => "config.unknown_key",
            Self::NotYet { .. } => "config.not_yet",
            Self::MissingKey { .. } => "config.missing_key",
            Self::WrongType { .. } => "config.wrong_type",
            Self::Invalid { .. } => "config.invalid_value",
            Self::UnknownProvider { .. } => "config.unknown_provider",
            Self::UnknownDependency { .. } => "config.unknown_dependency",
            Self::Cycle { .. } => "config.cycle",
            Self::DuplicatePort { .. } => "config.duplicate_port",
            Self::BadGlob { .. } => "config.bad_glob",
        }
    }

    /// What to do about it, where there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        let hint = match self {
            Self::Syntax { .. } => "",
            Self::Import { hint, .. }
            | Self::UnknownKey { hint, .. }
            | Self::NotYet { hint, .. }
            | Self::MissingKey { hint, .. }
            | Self::WrongType { hint, .. }
            | Self::Invalid { hint, .. }
            | Self::UnknownProvider { hint, .. }
            | Self::UnknownDependency { hint, .. } => hint,
            Self::Cycle { .. } => "take one of them out of `depends_on`",
            Self::DuplicatePort { .. } => "give one of them another port",
            Self::BadGlob { .. } => {
                "globs follow gitignore: `*.log`, `/dist`, `src/**/*.ts`, `!keep.log`"
            }
        };
        (!hint.is_empty()).then_some(hint)
    }
}

/// A problem at its place. `Display` is one line: `hd.toml:12:5: unknown key …`; [`ConfigError::report`]
/// shows it with the lines around.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {}", .0.place, .0.problem)]
pub struct ConfigError(Box<Report>);

/// A [`Diagnostic`]: the text, the span and the hint as help. `Display` is the message without its
/// place, which the frame around the lines shows.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{problem}")]
pub struct Report {
    place: Place,
    text: miette::NamedSource<Arc<str>>,
    problem: Problem,
}

impl ConfigError {
    pub(crate) fn new(place: Place, text: Arc<str>, problem: Problem) -> Self {
        let text = miette::NamedSource::new(&place.file, text);
        Self(Box::new(Report {
            place,
            text,
            problem,
        }))
    }

    /// The error for miette to render.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.0
    }

    /// Stable name for programs, e.g. `config.unknown_key`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.problem.code()
    }

    /// Says what is wrong, without the place; one line.
    #[must_use]
    pub fn message(&self) -> String {
        self.0.problem.to_string()
    }

    /// Where it stands; `Display` gives `file:line:column`.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// What to do about it, where there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.problem.hint()
    }

    /// The problem itself, to match on.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// The line of the file it stands on, without line break.
    #[must_use]
    pub fn source_line(&self) -> &str {
        let line = self.0.place.line - 1;
        self.0.text.inner().lines().nth(line).unwrap_or_default()
    }
}

impl Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.problem.code()))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let hint = self.problem.hint()?;
        Some(Box::new(hint))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.text)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = SourceSpan::from(self.place.span.clone());
        let label = LabeledSpan::new_primary_with_span(None, span);
        Some(Box::new(std::iter::once(label)))
    }
}
