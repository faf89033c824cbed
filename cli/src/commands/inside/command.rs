//! What is to be run inside, and what it gets.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use hd_sandbox::{Command, Failure, SandboxError, Stdio, TtySize};

use crate::args::HowArgs;
use crate::error::{CliError, exit};
use crate::terminal;

/// Exit code when hd could not run the command.
const NOT_RUN: i32 = 125;

/// A command a person wants run inside.
#[derive(Debug)]
pub(super) struct Wish {
    /// Program and arguments.
    pub(super) argv: Vec<OsString>,
    /// Set on top of the surroundings.
    pub(super) env: BTreeMap<OsString, OsString>,
    /// Beside or as this service.
    pub(super) service: Option<String>,
    /// `--base`.
    pub(super) base: Option<String>,
    /// A terminal of this size; none when stdin and stdout are not both one.
    pub(super) tty: Option<TtySize>,
    /// Descriptors 0 and 1 in place of this process's own; an absent one is `/dev/null`.
    pub(super) pipes: Option<(Option<OwnedFd>, Option<OwnedFd>)>,
}

impl Wish {
    pub(super) fn new(
        argv: Vec<OsString>,
        how: &HowArgs,
        service: Option<String>,
        base: Option<String>,
    ) -> Result<Self, CliError> {
        // With only one of them the bytes of the other must come through as they are.
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let tty = (terminal && !how.no_tty).then(terminal::size);
        let mut env = BTreeMap::new();
        if let (Some(_), Some(term)) = (tty, std::env::var_os("TERM")) {
            env.insert("TERM".into(), term);
        }
        for text in &how.env {
            if let Some((name, value)) = variable(text, |name| std::env::var_os(name))? {
                env.insert(name, value);
            }
        }
        Ok(Self {
            argv,
            env,
            service,
            base,
            tty,
            pipes: None,
        })
    }

    /// Puts the command into the surroundings of another one.
    pub(super) fn within(&self, mut surroundings: Command) -> Command {
        surroundings.argv.clone_from(&self.argv);
        surroundings.set_env(self.env.clone());
        surroundings.tty = self.tty;
        surroundings
    }

    /// Gives the descriptors of the command: this process's own, unless it gets a terminal; then only a stderr that
    /// goes elsewhere.
    pub(super) fn stdio(&self) -> Result<Stdio, CliError> {
        if self.tty.is_some() {
            let stderr = std::io::stderr();
            return Ok(Stdio {
                stderr: match stderr.is_terminal() {
                    true => None,
                    false => own(stderr)?,
                },
                ..Stdio::default()
            });
        }
        if let Some((stdin, stdout)) = &self.pipes {
            let copy = |fd: &Option<OwnedFd>| fd.as_ref().map_or(Ok(None), own);
            return Ok(Stdio {
                stdin: copy(stdin)?,
                stdout: copy(stdout)?,
                stderr: own(std::io::stderr())?,
                extra: Vec::new(),
            });
        }
        Ok(Stdio {
            stdin: own(std::io::stdin())?,
            stdout: own(std::io::stdout())?,
            stderr: own(std::io::stderr())?,
            extra: Vec::new(),
        })
    }
}

/// Copies a descriptor; one that is closed is `/dev/null` inside.
fn own(fd: impl AsFd) -> Result<Option<OwnedFd>, CliError> {
    match rustix::io::fcntl_dupfd_cloexec(fd, 3) {
        Ok(copy) => Ok(Some(copy)),
        Err(rustix::io::Errno::BADF) => Ok(None),
        Err(e) => Err(CliError::new(
            "io",
            NOT_RUN,
            format!("cannot pass a descriptor on: {e}"),
        )),
    }
}

/// Reads `NAME=VALUE`, or `NAME` for the caller's value, if it has one.
fn variable(
    text: &OsStr,
    caller: impl Fn(&OsStr) -> Option<OsString>,
) -> Result<Option<(OsString, OsString)>, CliError> {
    let bytes = text.as_bytes();
    let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    };
    if name.is_empty() {
        let message = format!("`--env {}` names no variable", text.display());
        return Err(CliError::new("usage", exit::USAGE, message).hint("--env KEY=VALUE"));
    }
    let name = OsString::from_vec(name.to_vec());
    let value = match value {
        Some(value) => Some(OsString::from_vec(value.to_vec())),
        None => caller(&name),
    };
    Ok(value.map(|value| (name, value)))
}

/// Makes the error of a command that could not be started: 127, 126 or 125.
pub(super) fn not_started(failure: &Failure) -> CliError {
    let hint = match failure.exit_code() {
        127 => "it is looked for inside, where the steps and the base put things",
        126 => "it must be a program, or a script that names its interpreter",
        _ => "",
    };
    CliError::new("exec", failure.exit_code(), failure).hint(hint)
}

/// Makes the error of a sandbox that did not do its part.
pub(super) fn broken(error: SandboxError) -> CliError {
    match error {
        SandboxError::Failed(failure) => not_started(&failure),
        other => CliError::new("sandbox", NOT_RUN, other),
    }
}

/// Makes the error of a command that has nothing to run in.
pub(super) fn nowhere(message: impl std::fmt::Display) -> CliError {
    CliError::new("service", NOT_RUN, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_set_or_passed_on() {
        let caller = |name: &OsStr| (name == "MINE").then(|| OsString::from("mine"));
        let cases = [
            ("A=b=c", Some(("A", "b=c"))),
            ("A=", Some(("A", ""))),
            ("MINE", Some(("MINE", "mine"))),
            ("MINE=other", Some(("MINE", "other"))),
            ("NOBODY", None),
        ];
        for (text, expected) in cases {
            let expected = expected.map(|(name, value)| (name.into(), value.into()));
            assert_eq!(
                variable(OsStr::new(text), caller).unwrap(),
                expected,
                "{text}"
            );
        }
        for text in ["", "=x"] {
            assert_eq!(variable(OsStr::new(text), caller).unwrap_err().exit(), 2);
        }
    }

    #[test]
    fn the_wish_replaces_the_command_and_keeps_the_rest() {
        let wish = Wish {
            argv: vec!["ls".into()],
            env: BTreeMap::from([("A".into(), "new".into())]),
            service: None,
            base: None,
            tty: None,
            pipes: None,
        };
        let mut service = Command::new(["serve"]);
        service.env = vec![("A".into(), "old".into()), ("B".into(), "b".into())];
        service.cwd = "/app".into();
        service.uid = 7;
        let command = wish.within(service);
        assert_eq!((command.argv, command.uid), (vec!["ls".into()], 7));
        assert_eq!(command.cwd, std::path::Path::new("/app"));
        let env = [("B", "b"), ("A", "new")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(command.env, env);
    }
}
