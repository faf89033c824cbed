//! One who runs the sample and follows its edits.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::ask;
use super::candidates::{How, procfiles};
use super::compose::Engine;
use super::sample::Sample;
use super::write;
use crate::bench::running::free_port;
use crate::shell::{Doing, Failure};

/// How long the first answer may take: packages are installed, an image is pulled.
const FIRST_WITHIN: Duration = Duration::from_secs(240);
/// How long every other may.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// What one edit took, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    /// Until the new word was answered.
    pub(super) answer_ms: f64,
    /// Until the old process was told to stop, where it was asked in peace.
    pub(super) signal_ms: Option<f64>,
}

/// What all contenders have in common.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) sample: Sample,
    pub(super) hd: &'a Path,
    /// The search path of all but hd.
    pub(super) path: &'a OsStr,
    pub(super) engine: &'a Engine,
}

/// Somebody who runs the sample and follows its edits.
pub(super) struct Contender<'a> {
    ground: Ground<'a>,
    directory: PathBuf,
    how: How,
    port: u16,
    child: Option<Child>,
}

impl<'a> Contender<'a> {
    /// Starts it in a new directory and waits for the first answer.
    pub(super) fn start(
        ground: Ground<'a>,
        how: &How,
        in_image: bool,
        directory: PathBuf,
    ) -> Result<Self, Failure> {
        let port = free_port()?;
        let sample = ground.sample;
        sample.make(&directory, port, in_image.then(|| sample.image()))?;
        for (name, text) in procfiles(sample) {
            write(&directory.join(name), &text)?;
        }
        ground.engine.files(sample, &directory, port)?;
        let mut contender = Self {
            ground,
            directory,
            how: how.clone(),
            port,
            child: None,
        };
        // What a bench that was killed has left.
        contender.undo();
        contender.launch()?;
        contender.answers("first", FIRST_WITHIN)?;
        Ok(contender)
    }

    fn launch(&mut self) -> Result<(), Failure> {
        let command = match &self.how {
            How::Hd => {
                let mut command = Command::new(self.ground.hd);
                command.arg("up").env("HD_HOME", self.home());
                command
            }
            How::Hand(run) => shell(&format!("exec {run}"), self.ground.path),
            How::Stays { script, .. } => shell(script, self.ground.path),
            How::Engine { start, .. } => shell(start, self.ground.path),
        };
        let child = self.spawn(command)?;
        if matches!(self.how, How::Engine { .. }) {
            return self.ended(child);
        }
        self.child = Some(child);
        Ok(())
    }

    /// Starts a command in the directory; what it says goes to a file beside it.
    fn spawn(&self, mut command: Command) -> Result<Child, Failure> {
        let log = self.log();
        let said = File::options().create(true).append(true).open(&log);
        let said = said.doing(|| format!("opening {}", log.display()))?;
        let again = said.try_clone().doing(|| log.display().to_string())?;
        command
            .current_dir(&self.directory)
            .env("PORT", self.port.to_string())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(again)
            .stderr(said)
            // A group of its own, to end all of it.
            .process_group(0);
        command.spawn().doing(|| crate::shell::shown(&command))
    }

    fn ended(&self, mut child: Child) -> Result<(), Failure> {
        let status = child.wait().doing(|| "waiting for a command".to_owned())?;
        match status.success() {
            true => Ok(()),
            false => Err(self.failed(&status.to_string())),
        }
    }

    /// The `HD_HOME` beside its project.
    fn home(&self) -> PathBuf {
        self.directory.with_extension("home")
    }

    fn log(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    fn failed(&self, what: &str) -> Failure {
        let said = std::fs::read_to_string(self.log()).unwrap_or_default();
        let last = said.lines().rfind(|line| !line.trim().is_empty());
        Failure::new(format!("{what}; it said: {}", last.unwrap_or("nothing")))
    }

    /// Saves a new word and waits until it is answered.
    pub(super) fn edit(&mut self, word: &str) -> Result<Took, Failure> {
        let signalled = self.directory.join("signalled");
        let _ = std::fs::remove_file(&signalled);
        let sample = self.ground.sample;
        let text = sample.source(word);
        let at = SystemTime::now().duration_since(UNIX_EPOCH);
        let at_ms = at.unwrap_or_default().as_secs_f64() * 1000.0;
        let began = Instant::now();
        write(&self.directory.join(sample.file()), &text)?;
        let mut following = None;
        match &self.how {
            How::Hand(_) => {
                self.end();
                self.launch()?;
            }
            How::Engine {
                follow: Some(follow),
                ..
            } => following = Some(self.spawn(shell(follow, self.ground.path))?),
            _ => {}
        }
        self.answers(word, ANSWER_WITHIN)?;
        let answer_ms = began.elapsed().as_secs_f64() * 1000.0;
        if let Some(child) = following {
            self.ended(child)?;
        }
        let told = std::fs::read_to_string(&signalled).ok();
        let told = told.and_then(|text| text.trim().parse::<f64>().ok());
        Ok(Took {
            answer_ms,
            signal_ms: told.map(|told| (told - at_ms).max(0.0)),
        })
    }

    fn answers(&self, word: &str, within: Duration) -> Result<(), Failure> {
        match ask::until(self.port, word, within) {
            true => Ok(()),
            false => Err(self.failed(&format!("{word} is not answered in {within:?}"))),
        }
    }

    fn end(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // The group is gone already, or ends now.
        if let Ok(group) = i32::try_from(child.id()) {
            #[expect(unsafe_code, reason = "the standard library signals no group")]
            // SAFETY: kill takes two numbers and touches no memory; the group is our own child's.
            unsafe {
                libc::kill(-group, libc::SIGTERM);
            }
        }
        let _ = child.wait();
    }

    /// Removes what it made in an engine.
    fn undo(&self) {
        let (How::Engine { undo, .. }
        | How::Stays {
            undo: Some(undo), ..
        }) = &self.how
        else {
            return;
        };
        let undone = self.spawn(shell(undo, self.ground.path));
        if let Err(failure) = undone.and_then(|child| self.ended(child)) {
            eprintln!("xtask: {undo}: {failure}");
        }
    }
}

impl Drop for Contender<'_> {
    fn drop(&mut self) {
        self.end();
        self.undo();
    }
}

fn shell(script: &str, path: &OsStr) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("PATH", path);
    command
}
