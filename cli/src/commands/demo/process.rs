//! Child processes that end when the demo is interrupted.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::one_line;
use crate::client::pause;
use crate::error::{CliError, exit};

/// Time between two looks at a child.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Exit code of a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;
/// How long a child may take to end in peace.
const GRACE: Duration = Duration::from_secs(20);

/// Knows whether somebody wants the demo to end.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch(Arc<Marks>);

#[derive(Debug, Default)]
struct Marks {
    /// Somebody wants it to end.
    interrupted: AtomicBool,
    /// A command was ended for want of time.
    timed_out: AtomicBool,
}

impl Watch {
    /// Wants it to end.
    pub(super) fn interrupt(&self) {
        self.0.interrupted.store(true, Ordering::Relaxed);
    }

    /// Fails once it shall end.
    pub(super) fn check(&self) -> Result<(), CliError> {
        if self.is_interrupted() {
            return Err(CliError::new("interrupted", INTERRUPTED, "interrupted"));
        }
        Ok(())
    }

    /// Tells whether it shall end.
    pub(super) fn is_interrupted(&self) -> bool {
        self.0.interrupted.load(Ordering::Relaxed)
    }

    /// Tells whether commands may have been ended before they were done.
    pub(super) fn has_cut(&self) -> bool {
        self.is_interrupted() || self.0.timed_out.load(Ordering::Relaxed)
    }
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Whether it exited with 0.
    pub(super) good: bool,
    /// All it wrote to stdout.
    pub(super) stdout: String,
    /// All it wrote to stderr.
    pub(super) stderr: String,
    /// From start to end.
    pub(super) took: Duration,
}

impl Ended {
    /// Gives it when it exited with 0, else its last words.
    pub(super) fn success(self) -> Result<Self, String> {
        match self.good {
            true => Ok(self),
            false => Err(self.last_words()),
        }
    }

    /// Gives its last words: what it most likely failed of.
    pub(super) fn last_words(&self) -> String {
        // Complaints are on stderr.
        let mut lines = self.stdout.lines().chain(self.stderr.lines()).rev();
        let line = lines.find(|line| !line.trim().is_empty());
        let line = line.unwrap_or("it said nothing").trim();
        crate::output::style::tame(line, false)
    }
}

/// Runs a command to its end; the deadline and an interruption end it.
pub(super) fn finish(
    watch: &Watch,
    command: &mut Command,
    within: Duration,
) -> Result<Ended, CliError> {
    let io = |e: std::io::Error| CliError::io("start", Path::new(command_name(command)), &e);
    // Files, not pipes: a process that outlives the command cannot make this wait.
    let (mut stdout, mut stderr) = (tempfile::tempfile(), tempfile::tempfile());
    let clone = |file: &std::io::Result<File>| match file {
        Ok(file) => file.try_clone(),
        Err(error) => Err(std::io::Error::from(error.kind())),
    };
    let outputs = clone(&stdout).and_then(|out| Ok((out, clone(&stderr)?)));
    let (out, err) = outputs.map_err(io)?;
    let started = Instant::now();
    let mut child = Group::spawn(command.stdout(out).stderr(err))?;
    let status = loop {
        if let Some(good) = child.ended()? {
            break good;
        }
        watch.check()?;
        if started.elapsed() > within {
            watch.0.timed_out.store(true, Ordering::Relaxed);
            let message = format!(
                "{} takes longer than {} s",
                shown(command),
                within.as_secs()
            );
            return Err(CliError::new("timeout", exit::TIMEOUT, message));
        }
        pause(LOOK_EVERY);
    };
    let took = started.elapsed();
    Ok(Ended {
        good: status,
        stdout: read(&mut stdout),
        stderr: read(&mut stderr),
        took,
    })
}

/// Runs a command that may be unable to start or to end in time: only an interruption is an error. The
/// inner error says in one line what happened.
pub(super) fn attempt(
    watch: &Watch,
    command: &mut Command,
    within: Duration,
) -> Result<Result<Ended, String>, CliError> {
    let ended = finish(watch, command, within);
    if ended.is_err() {
        watch.check()?;
    }
    Ok(ended.map_err(|error| one_line(&error)))
}

fn read(file: &mut std::io::Result<File>) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = file {
        // What cannot be read back was only for messages.
        let _ = file
            .seek(SeekFrom::Start(0))
            .and_then(|_| file.read_to_end(&mut bytes));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn command_name(command: &Command) -> &str {
    command.get_program().to_str().unwrap_or("a program")
}

/// Writes a command as one would type it: variables that were set, program, arguments.
pub(super) fn shown(command: &Command) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let quoted = |word: &std::ffi::OsStr| {
        let word = word.to_string_lossy();
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    // PATH says where a program was found, not what is to be typed.
    let typed = command.get_envs().filter(|(name, _)| *name != "PATH");
    let variables = typed
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quoted(value?))));
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = variables.chain(words.map(quoted)).collect();
    words.join(" ")
}

/// A child in a process group of its own, so that Ctrl-C in a terminal reaches only the demo.
/// Dropping it ends the group.
#[derive(Debug)]
pub(super) struct Group {
    child: Child,
    ended: bool,
}

impl Group {
    /// Starts a command; its standard input is empty.
    pub(super) fn spawn(command: &mut Command) -> Result<Self, CliError> {
        let child = command.stdin(Stdio::null()).process_group(0).spawn();
        let child =
            child.map_err(|e| CliError::io("start", Path::new(command_name(command)), &e))?;
        Ok(Self {
            child,
            ended: false,
        })
    }

    /// Gives the child, to take its pipes.
    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Tells whether it has ended, and then whether with 0.
    pub(super) fn ended(&mut self) -> Result<Option<bool>, CliError> {
        let status = self
            .child
            .try_wait()
            .map_err(|e| CliError::io("wait for", Path::new("a child"), &e))?;
        self.ended |= status.is_some();
        Ok(status.map(|status| status.success()))
    }

    /// Waits for it to end by itself; `false` when it does not.
    pub(super) fn wait(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while matches!(self.ended(), Ok(None)) {
            if Instant::now() > deadline {
                return false;
            }
            pause(LOOK_EVERY);
        }
        true
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // One that is gone needs no signal.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.ended || self.wait(Duration::ZERO) {
            return;
        }
        self.signal(Signal::TERM);
        if !self.wait(GRACE) {
            self.signal(Signal::KILL);
            self.wait(GRACE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn output_and_success_are_told_apart() {
        let watch = Watch::default();
        let good = finish(&watch, &mut sh("echo out; echo err >&2"), LONG).unwrap();
        assert_eq!(
            (good.good, &*good.stdout, &*good.stderr),
            (true, "out\n", "err\n")
        );
        let bad = finish(
            &watch,
            &mut sh("echo why >&2; echo data; echo >&2; exit 3"),
            LONG,
        )
        .unwrap();
        assert_eq!((bad.good, bad.last_words().as_str()), (false, "why"));
        let missing = finish(&watch, &mut Command::new("/no/such/program"), LONG).unwrap_err();
        assert!(missing.report().message.contains("/no/such/program"));
    }

    #[test]
    fn an_interruption_and_a_deadline_end_the_child() {
        let watch = Watch::default();
        let error = finish(&watch, &mut sh("exec sleep 100"), Duration::ZERO).unwrap_err();
        assert_eq!(error.exit(), exit::TIMEOUT);
        let slow = attempt(&watch, &mut sh("exec sleep 100"), Duration::ZERO).unwrap();
        let why = slow.unwrap_err();
        assert!(why.ends_with("takes longer than 0 s"), "{why}");
        watch.interrupt();
        attempt(&watch, &mut sh("exec sleep 100"), LONG).unwrap_err();
        let started = Instant::now();
        let error = finish(&watch, &mut sh("sleep 100"), LONG).unwrap_err();
        assert_eq!(error.exit(), INTERRUPTED);
        assert!(started.elapsed() < LONG);
    }

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        let mut command = sh("echo a'b");
        command.env("A", "1 2").env_remove("B");
        assert_eq!(shown(&command), r"A='1 2' sh -c 'echo a'\''b'");
    }
}
