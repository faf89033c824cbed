//! From the first signal to the exit code: what this process does while a command runs inside.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use hd_actors::runtime::Stopper;
use hd_sandbox::{End, Entered, ExitStatus, Sandbox, Terminal};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};

use super::command::broken;
use crate::error::{CliError, Outcome, exit};
use crate::signals::{self, Received};
use crate::terminal::{self, Raw, Screen, relay};

/// What is passed on to the command.
const PASSED: [i32; 6] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];

/// A command that executes; dropping it kills it.
#[derive(Debug)]
pub(super) enum Inside {
    /// Beside a service.
    Entered(Entered),
    /// In a sandbox of its own.
    Sandbox(Sandbox),
}

impl Inside {
    fn signal(&self, signal: i32) -> hd_sandbox::Result<()> {
        match self {
            Self::Entered(entered) => entered.signal(signal),
            Self::Sandbox(sandbox) => sandbox.signal(signal),
        }
    }

    fn wait(&self) -> hd_sandbox::Result<Option<ExitStatus>> {
        match self {
            Self::Entered(entered) => entered.wait(None),
            Self::Sandbox(sandbox) => sandbox.wait(None),
        }
    }
}

/// Readable once the command has ended.
impl AsFd for Inside {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Entered(entered) => entered.as_fd(),
            Self::Sandbox(sandbox) => sandbox.as_fd(),
        }
    }
}

/// What a signal means now.
#[derive(Debug)]
enum Phase {
    /// Nothing runs: it ends this process.
    Idle,
    /// The steps run: the first stops them in peace, the second at once, the third this process.
    Building(Stopper, u32),
    /// The command may execute already, which is not known here yet: the first is kept for it,
    /// the second ends this process.
    Starting(Option<i32>),
    /// The command runs: it is the command's.
    Running(Live),
    /// Nothing matters any more but the end.
    Over,
}

#[derive(Clone, Debug)]
struct Live {
    inside: Arc<Inside>,
    terminal: Option<Arc<Terminal>>,
}

/// Receives the signals and hands each to whom it concerns.
#[derive(Debug)]
pub(super) struct Conductor {
    phase: Arc<Mutex<Phase>>,
    received: Received,
}

impl Conductor {
    /// Starts to receive signals; as long as nothing runs they end this process.
    pub(super) fn new() -> Result<Self, CliError> {
        let phase = Arc::new(Mutex::new(Phase::Idle));
        let (of_thread, received) = (phase.clone(), Received::default());
        let first = received.clone();
        let wanted = [&PASSED[..], &[SIGWINCH, SIGCONT]].concat();
        signals::each(&wanted, move |signal| {
            // Whatever the phase was for, a signal takes no time.
            let mut phase = of_thread.lock().unwrap_or_else(PoisonError::into_inner);
            take(&mut phase, &first, signal);
        })?;
        Ok(Self { phase, received })
    }

    /// From now on the steps run.
    pub(super) fn building(&self, stopper: Stopper) {
        self.enter(Phase::Building(stopper, 0));
    }

    /// From now on the command is being started.
    pub(super) fn starting(&self) {
        self.enter(Phase::Starting(None));
    }

    /// Nothing was started: a signal that was kept for it ends this process.
    pub(super) fn idle(&self) {
        if let Phase::Starting(Some(signal)) = self.replace(Phase::Idle) {
            std::process::exit(128 + signal);
        }
    }

    /// Gives the exit code of a process ended by the signal that came while the steps ran.
    pub(super) fn received(&self) -> Option<i32> {
        self.received.exit()
    }

    fn enter(&self, phase: Phase) {
        self.replace(phase);
    }

    fn replace(&self, phase: Phase) -> Phase {
        let mut slot = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut slot, phase)
    }

    /// Stays with the command until it has ended; answers its exit code, 128 + n for signal n.
    pub(super) fn conduct(&self, inside: Inside, terminal: Option<Terminal>) -> Outcome {
        Ok(self.until_the_end(inside, terminal)?.code())
    }

    /// The same; answers how it ended.
    pub(super) fn until_the_end(
        &self,
        inside: Inside,
        terminal: Option<Terminal>,
    ) -> Result<ExitStatus, CliError> {
        let inside = Arc::new(inside);
        let terminal = terminal.map(Arc::new);
        let live = Live {
            inside: inside.clone(),
            terminal: terminal.clone(),
        };
        if let Phase::Starting(Some(signal)) = self.replace(Phase::Running(live)) {
            // A command that has just ended needs no signal.
            let _ = inside.signal(signal);
        }
        let shown = terminal.map(|terminal| self.relay(&inside, terminal));
        let ended = inside.wait();
        self.enter(Phase::Over);
        let screen = shown.transpose()?;
        let status = ended.map_err(broken)?.ok_or_else(|| {
            CliError::new("internal", exit::INTERNAL, "the command was not waited for")
        })?;
        if let (Some(screen), End::Signal(_)) = (screen, status.end) {
            screen.give_back();
        }
        Ok(status)
    }

    /// Copies between the two terminals; when this one is gone, so is the other.
    fn relay(&self, inside: &Arc<Inside>, terminal: Arc<Terminal>) -> Result<Screen, CliError> {
        let raw = Raw::begin();
        // It may have been resized since its size was read.
        let _ = terminal.resize(terminal::size());
        let copied = relay::run(terminal.as_fd(), inside.as_fd());
        drop(raw);
        self.enter(Phase::Running(Live {
            inside: inside.clone(),
            terminal: None,
        }));
        copied
            .map_err(|e| CliError::new("io", exit::INTERNAL, format!("the terminal is gone: {e}")))
    }
}

fn take(phase: &mut Phase, received: &Received, signal: i32) {
    let about_terminal = [SIGWINCH, SIGCONT].contains(&signal);
    match phase {
        Phase::Running(Live {
            terminal: Some(terminal),
            ..
        }) if about_terminal => {
            // A terminal that is gone needs no size.
            let _ = terminal.resize(terminal::size());
        }
        _ if about_terminal => {}
        Phase::Idle | Phase::Building(_, 2..) | Phase::Starting(Some(_)) => {
            std::process::exit(128 + signal)
        }
        Phase::Starting(kept) => *kept = Some(signal),
        Phase::Building(stopper, count) => {
            received.note(signal);
            stopper.stop(*count > 0);
            *count += 1;
        }
        // A command that has just ended needs no signal.
        Phase::Running(live) => drop(live.inside.signal(signal)),
        Phase::Over => {}
    }
}
