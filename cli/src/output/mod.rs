//! What people and programs see: stdout is data, stderr is talk.

pub(crate) mod event_json;
pub(crate) mod human;
pub(crate) mod lines;
mod live;
mod pending;
mod printer;
mod queue;
pub(crate) mod reader;
pub(crate) mod style;
pub(crate) mod table;
mod teller;

use std::io::{ErrorKind, IsTerminal, Write};

use serde::Serialize;

pub(crate) use self::printer::{Printer, Scope};

use crate::args::{Look, Progress, When};
use crate::error::CliError;
use style::Style;

/// How to speak, decided once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// One JSON object on stdout instead of text.
    pub(crate) json: bool,
    /// Style of stdout.
    pub(crate) out: Style,
    /// Style of stderr.
    pub(crate) err: Style,
    /// How progress is shown; never [`Progress::Auto`].
    pub(crate) progress: Progress,
}

impl Output {
    /// Decides from the flags, the environment and whether there is a terminal.
    pub(crate) fn new(look: Look) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let facts = |terminal: bool| Facts {
            terminal: terminal && !dumb,
            no_color: set("NO_COLOR"),
            force: std::env::var_os("CLICOLOR_FORCE")
                .is_some_and(|value| !value.is_empty() && value != "0"),
        };
        let err = facts(std::io::stderr().is_terminal());
        let progress = match look.progress {
            Progress::Auto if err.terminal && !set("CI") => Progress::Tty,
            Progress::Auto => Progress::Plain,
            other => other,
        };
        Self {
            json: look.json,
            out: Style::new(facts(std::io::stdout().is_terminal()).colour(look.color)),
            err: Style::new(err.colour(look.color)),
            progress,
        }
    }

    /// Writes text to stdout.
    pub(crate) fn data(&self, text: &str) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }

    /// Writes one JSON value in one line to stdout.
    pub(crate) fn value(&self, value: &impl Serialize) -> Result<(), CliError> {
        let mut text =
            serde_json::to_string(value).map_err(|error| CliError::new("internal", 1, error))?;
        text.push('\n');
        self.data(&text)
    }

    /// Writes a line to stderr, unless nothing but errors is wanted.
    pub(crate) fn talk(&self, line: &str) {
        if self.progress != Progress::Quiet {
            say(&format!("{line}\n"));
        }
    }

    /// Writes an error: for people to stderr, and as JSON to stdout where that was asked for.
    pub(crate) fn error(&self, error: &CliError) {
        say(&error.text(self.err.colour(), columns()));
        if self.json && error.exit() != crate::error::exit::PIPE {
            // Nobody is left to be told that stdout is gone.
            let _ = self.value(&error.json());
        }
    }
}

/// Writes to stderr. A stderr that is gone is no reason to end.
pub(crate) fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Gives the width of the terminal on stderr, else 80.
pub(crate) fn columns() -> usize {
    size().1
}

/// Gives lines and columns of the terminal on stderr, else 24 × 80.
pub(crate) fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_row.into(), size.ws_col.into()),
        _ => (24, 80),
    }
}

fn written(result: std::io::Result<()>) -> Result<(), CliError> {
    result.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => CliError::pipe(),
        _ => CliError::new(
            "io",
            crate::error::exit::INTERNAL,
            format!("cannot write to stdout: {error}"),
        ),
    })
}

/// What decides on colours.
#[derive(Clone, Copy, Debug)]
struct Facts {
    terminal: bool,
    no_color: bool,
    force: bool,
}

impl Facts {
    fn colour(self, when: When) -> bool {
        match when {
            When::Always => true,
            When::Never => false,
            When::Auto => !self.no_color && (self.force || self.terminal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_decided_as_people_expect() {
        let facts = |terminal, no_color, force| Facts {
            terminal,
            no_color,
            force,
        };
        let cases = [
            (facts(true, false, false), When::Auto, true),
            (facts(false, false, false), When::Auto, false),
            (facts(true, true, false), When::Auto, false),
            (facts(false, false, true), When::Auto, true),
            (facts(false, true, true), When::Auto, false),
            (facts(false, true, false), When::Always, true),
            (facts(true, false, true), When::Never, false),
        ];
        for (facts, when, expected) in cases {
            assert_eq!(facts.colour(when), expected, "{facts:?} {when:?}");
        }
    }
}
