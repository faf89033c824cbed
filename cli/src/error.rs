//! The one error of the command line: what failed, where, what to do, which exit code.

use std::fmt;

use hd_actors::messages::BatchError;
use hd_actors::model::report::{ErrorReport, Report, SCHEMA};
use hd_actors::model::state::Failure;
use hd_config::ConfigError;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

/// Exit codes.
pub(crate) mod exit {
    /// Something went wrong inside hd.
    pub(crate) const INTERNAL: i32 = 1;
    /// The command line or hd.toml is wrong.
    pub(crate) const USAGE: i32 = 2;
    /// A service failed, or was not ready in time.
    pub(crate) const SERVICE: i32 = 5;
    /// The machine lacks something.
    pub(crate) const MACHINE: i32 = 7;
    /// Something took too long.
    pub(crate) const TIMEOUT: i32 = 6;
    /// The reader of stdout went away: as if SIGPIPE had ended hd.
    pub(crate) const PIPE: i32 = 128 + 13;
}

/// The answer of a command: its exit code, or what failed.
pub(crate) type Outcome = Result<i32, CliError>;

/// What failed.
#[derive(Debug)]
pub(crate) struct CliError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    report: ErrorReport,
    exit: i32,
    /// Shows the line of the file, where there is one.
    diagnostic: Option<miette::Report>,
    /// What was known of the environment when it failed.
    state: Option<Report>,
    /// The error is on the screen already (a failed step with its output).
    silent: bool,
}

impl CliError {
    /// Makes an error from a stable word, an exit code and one sentence.
    pub(crate) fn new(code: &str, exit: i32, message: impl fmt::Display) -> Self {
        let report = ErrorReport {
            code: code.to_owned(),
            message: message.to_string(),
            ..ErrorReport::default()
        };
        Self::from_report(report, exit)
    }

    /// Takes an error that another part has put into words.
    pub(crate) fn from_report(report: ErrorReport, exit: i32) -> Self {
        Self(Box::new(Inner {
            report,
            exit,
            diagnostic: None,
            state: None,
            silent: false,
        }))
    }

    /// Makes an error of a failed system call on a path.
    pub(crate) fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(
            "io",
            exit::INTERNAL,
            format!("cannot {what} {}: {error}", path.display()),
        )
        .at(path.display().to_string())
    }

    /// Makes the error of a stdout whose reader went away: nothing is said about it.
    pub(crate) fn pipe() -> Self {
        let mut error = Self::new("pipe", exit::PIPE, "the reader of stdout went away");
        error.0.silent = true;
        error
    }

    /// Names the place.
    pub(crate) fn at(mut self, place: impl Into<String>) -> Self {
        self.0.report.place = place.into();
        self
    }

    /// Names the next step.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.report.hint = hint.into();
        self
    }

    /// Adds what shows the source line.
    pub(crate) fn diagnostic(mut self, diagnostic: miette::Report) -> Self {
        self.0.diagnostic = Some(diagnostic);
        self
    }

    /// Adds what was known of the environment.
    pub(crate) fn state(mut self, state: Report) -> Self {
        self.0.state = Some(state);
        self
    }

    /// Gives the error in the form of the JSON schema.
    pub(crate) fn report(&self) -> &ErrorReport {
        &self.0.report
    }

    /// Gives the exit code.
    pub(crate) fn exit(&self) -> i32 {
        self.0.exit
    }

    /// Changes the exit code, where a verb has codes of its own.
    pub(crate) fn with_exit(mut self, exit: i32) -> Self {
        self.0.exit = exit;
        self
    }

    /// Gives the one JSON object printed on failure.
    pub(crate) fn json(&self) -> Report {
        let mut report = self.0.state.clone().unwrap_or_default();
        report.schema = SCHEMA;
        report.error = Some(self.0.report.clone());
        report
    }

    /// Puts the error into words for a person; empty when it needs none.
    pub(crate) fn text(&self, colour: bool, width: usize) -> String {
        if self.0.silent {
            return String::new();
        }
        if let Some(diagnostic) = &self.0.diagnostic
            && let Some(text) = graphical(diagnostic.as_ref(), colour, width)
        {
            return text;
        }
        let ErrorReport {
            message,
            place,
            hint,
            ..
        } = &self.0.report;
        let mut text = String::from("hd: ");
        if !place.is_empty() && !message.contains(place.as_str()) {
            text.push_str(place);
            text.push_str(": ");
        }
        text.push_str(message);
        text.push('\n');
        if !hint.is_empty() {
            text.push_str("hint: ");
            text.push_str(hint);
            text.push('\n');
        }
        text
    }
}

fn graphical(diagnostic: &dyn Diagnostic, colour: bool, width: usize) -> Option<String> {
    let theme = if colour {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(width)
        .with_links(false);
    handler.render_report(&mut text, diagnostic).ok()?;
    Some(text)
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::new(error.code(), exit::USAGE, error.message())
            .at(error.place().to_string())
            .hint(error.hint().unwrap_or_default())
            .diagnostic(miette::Report::new(error.report().clone()))
    }
}

impl From<BatchError> for CliError {
    fn from(error: BatchError) -> Self {
        let failure = Failure::from(&error);
        Self::from_report(failure.error, failure.exit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_and_a_hint() {
        let error = CliError::new("step", 3, "exit code 9")
            .at("step-1")
            .hint("hd why step-1");
        assert_eq!(
            error.text(false, 80),
            "hd: step-1: exit code 9\nhint: hd why step-1\n"
        );
        let error = CliError::new("io", 1, "cannot read /x: gone").at("/x");
        assert_eq!(error.text(false, 80), "hd: cannot read /x: gone\n");
        assert_eq!(CliError::pipe().text(false, 80), "");
    }

    #[test]
    fn a_configuration_error_shows_its_line() {
        let text = "[environment]\nname = \"x\"\n\n[services.web]\ncomand = \"true\"\n";
        let error = CliError::from(hd_config::parse(text, "hd.toml").unwrap_err());
        assert_eq!(
            (error.exit(), error.report().place.as_str()),
            (2, "hd.toml:5:1")
        );
        let shown = error.text(false, 80);
        for part in [
            "hd.toml:5:1",
            "comand = \"true\"",
            "unknown key `comand`",
            "command",
        ] {
            assert!(shown.contains(part), "{part} is missing in {shown}");
        }
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }

    #[test]
    fn the_json_keeps_what_was_known() {
        let known = Report {
            name: "demo".to_owned(),
            files: 3,
            ..Report::default()
        };
        let json = CliError::new("step", 3, "m").state(known).json();
        assert_eq!(
            (json.schema, json.name.as_str(), json.files),
            (1, "demo", 3)
        );
        assert_eq!(json.error.map(|error| error.code), Some("step".to_owned()));
    }

    #[test]
    fn failures_of_the_runtime_keep_their_codes() {
        for (word, code) in [
            ("config", 2),
            ("image", 2),
            ("step", 3),
            ("service", 5),
            ("fuse", 7),
            ("store", 1),
        ] {
            assert_eq!(
                CliError::from(BatchError::new(word, "m").at("p")).exit(),
                code,
                "{word}"
            );
        }
    }
}
