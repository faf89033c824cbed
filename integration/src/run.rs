//! Running a program to its end, with a deadline and its output in hand.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::poll::{LONG, within};
use crate::report::Report;

/// A command about to run.
#[derive(Debug)]
pub struct Run {
    command: Command,
    deadline: Duration,
}

/// A command that ended.
#[derive(Debug)]
pub struct Finished {
    /// The command line, for messages.
    pub line: String,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How it ended.
    pub status: ExitStatus,
}

impl Run {
    /// Prepares a program; standard input is empty and the deadline is [`LONG`].
    pub fn new(program: &Path) -> Self {
        Self {
            command: Command::new(program),
            deadline: LONG,
        }
    }

    /// Adds arguments.
    pub fn args<S: AsRef<std::ffi::OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, key: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Sets the working directory.
    pub fn dir(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Sets how long it may take; after that it is killed and the test fails.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The command itself, for what this type has no word for.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs to the end.
    pub fn finish(mut self) -> Finished {
        let line = format!("{:?}", self.command);
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("start {line}: {error}"));
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());
        let status = wait(&mut child, self.deadline);
        if status.is_none() {
            child.kill().expect("kill a command that takes too long");
            child.wait().expect("reap a killed command");
        }
        let (stdout, stderr) = (joined(stdout), joined(stderr));
        match status {
            Some(status) => Finished {
                line,
                stdout,
                stderr,
                status,
            },
            None => panic!("not within {:?}: {line}\n{stdout}\n{stderr}", self.deadline),
        }
    }
}

impl Finished {
    /// The exit code; a death by signal n counts as 128 + n, as in a shell.
    pub fn code(&self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        self.status
            .code()
            .unwrap_or_else(|| 128 + self.status.signal().unwrap_or_default())
    }

    /// Fails the test unless it exited with `code`.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "exit code of {}", self.said());
        self
    }

    /// Fails the test unless it exited with 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.expect_code(0)
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("stdout is not one JSON value ({error}): {}", self.said())
        })
    }

    /// Standard output as the frozen report of `up --once --json` or `status --json`.
    #[track_caller]
    pub fn report(&self) -> Report {
        Report::new(self.json())
    }

    /// Everything it said, for the message of a failed assertion.
    pub fn said(&self) -> String {
        let Self {
            line,
            stdout,
            stderr,
            status,
        } = self;
        format!("{line} ({status})\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

fn wait(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    within(deadline, || child.try_wait().expect("wait for a command"))
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    let mut pipe = pipe.expect("a piped stream");
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A read error ends the output; what came before it is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// A descendant that outlives the command may hold the pipe open: that is waited for, briefly.
fn joined(reader: JoinHandle<Vec<u8>>) -> String {
    let done = within(crate::poll::SHORT, || reader.is_finished().then_some(()));
    assert!(
        done.is_some(),
        "a process left behind holds the output of the command open"
    );
    String::from_utf8_lossy(&reader.join().expect("read the output")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Run {
        Run::new(Path::new("sh")).args(["-c", script])
    }

    #[test]
    fn codes_and_streams_are_told_apart() {
        let done = sh("echo out; echo err >&2; exit 3").finish();
        assert_eq!(
            (done.code(), &*done.stdout, &*done.stderr),
            (3, "out\n", "err\n")
        );
        assert_eq!(sh("kill -9 $$").finish().code(), 137);
    }

    #[test]
    #[should_panic(expected = "not within")]
    fn what_takes_too_long_is_killed() {
        sh("exec sleep 100")
            .deadline(Duration::from_millis(50))
            .finish();
    }
}
