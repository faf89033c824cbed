//! The runtime from start to end: lock, leftovers, actors, shutdown, clean-up.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hd_sandbox::Record;
use hd_supervision::{Root, RootExit, Runtime, block_on};
use rustix::process::{Resource, getrlimit};

use crate::Settings;
use crate::chunk_store::{collect, users};
use crate::control::socket::Bound;
use crate::events::{Event, Events};
use crate::finish::{End, Finish};
use crate::hold::Hold;
use crate::invalidator::knows::Purpose;
use crate::messages::BatchError;
use crate::model::limits;
use crate::model::report::{ErrorReport, Report};
use crate::model::state::{Failure, StateBoard};
use crate::mount_server::journal::Journal;
use crate::service_supervisor::board::Board;
use crate::shared::Shared;
use crate::unchanged;
use crate::wiring::Wiring;

/// Time for pools and lanes to end after all actors have.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Descriptors that a runtime needs at least: event loops of its threads, store, project, sandbox.
const DESCRIPTORS_MIN: u64 = 64;

/// What a runtime is started for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Serve until told to stop.
    Serve,
    /// Make the steps true and end.
    Once {
        /// Steps to run even if a result is valid.
        rerun: Vec<String>,
    },
}

/// A runtime that holds its instance.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    mode: Mode,
    finish: Finish,
    _hold: Hold,
}

/// How a runtime ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Exit code (DESIGN §12).
    pub exit: i32,
    /// The last state.
    pub report: Report,
}

/// Ends a runtime from any thread.
#[derive(Clone, Debug)]
pub struct Stopper(Finish);

impl Stopper {
    /// Asks the runtime to end; `now` skips the grace of services.
    pub fn stop(&self, now: bool) {
        self.0.end(End::Asked { now });
    }
}

/// Clears what a killed runtime of the instance left, and opens the store.
pub fn start(
    settings: Settings,
    mode: Mode,
    events: Events,
    hold: Hold,
) -> Result<Running, BatchError> {
    if let Err(error) = hd_sandbox::open_files::raise() {
        tracing::debug!(%error, "the limit of open files stays what it is");
    }
    check_descriptors()?;
    clear_leftovers(&settings)?;
    let shared = Arc::new(Shared::new(settings, events)?);
    Ok(Running {
        shared,
        mode,
        finish: Finish::default(),
        _hold: hold,
    })
}

/// With fewer, threads could not even begin: an error now says more than any of those then.
fn check_descriptors() -> Result<(), BatchError> {
    let limit = getrlimit(Resource::Nofile).current;
    match limit.filter(|limit| *limit < DESCRIPTORS_MIN) {
        None => Ok(()),
        Some(limit) => Err(BatchError::new(
            "io",
            format!(
                "too many open files are needed: {limit} are allowed, hd needs {DESCRIPTORS_MIN}"
            ),
        )
        .hint("`ulimit -n 1024` allows more")),
    }
}

/// Ends and removes what a killed runtime of this instance left; the lock must be held.
pub fn clear_leftovers(settings: &Settings) -> Result<(), BatchError> {
    let paths = &settings.paths;
    if let Ok(bytes) = fs::read(paths.processes()) {
        let records: Vec<Record> = serde_json::from_slice(&bytes).unwrap_or_default();
        hd_sandbox::reap_recorded(&records).map_err(|e| BatchError::new("sandbox", e))?;
        let _ = fs::remove_file(paths.processes());
    }
    if let Err(error) = limits::sweep(paths) {
        tracing::warn!(%error, "control groups of the last run are left");
    }
    let _ = fs::remove_file(paths.socket());
    let _ = fs::remove_dir_all(paths.services());
    let _ = fs::remove_dir_all(paths.works());
    Journal::new(paths.clone(), settings.project_dir.clone())
        .clear()
        .map_err(|e| BatchError::new("io", e).at(settings.project_dir.display().to_string()))
}

impl Running {
    /// Gives a handle that ends the runtime.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.finish.clone())
    }

    /// Runs to the end on this thread.
    pub fn wait(self) -> Ended {
        let mut ended = self.work();
        self.name_what_is_lost(&mut ended.report);
        self.clean_up(&ended.report);
        if self.mode != Mode::Serve
            && let Some(note) = collect::within_limits(&self.shared)
        {
            self.shared.events.tell(Event::Note(note));
        }
        ended
    }

    /// Adds to an error which stored objects turned out to be damaged, and which paths need them.
    fn name_what_is_lost(&self, report: &mut Report) {
        let (store, trees) = (&self.shared.store, &*self.shared.trees);
        let lost = store.damaged();
        let (Some(error), false) = (&mut report.error, lost.is_empty()) else {
            return;
        };
        match users::paths_of(store, trees, &lost) {
            Ok(users) => {
                let told = users::told(&lost, &users);
                error.message.push_str(&format!("; {told}"));
                if error.code == "step" {
                    // That error is on the screen already, without this.
                    self.shared.events.tell(Event::Note(told));
                }
            }
            Err(failed) => tracing::warn!(%failed, "what needs the damaged objects is not known"),
        }
    }

    /// Gives the shared handles.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Gives why it ended, if it did.
    pub(crate) fn reason(&self) -> Option<End> {
        self.finish.get()
    }

    /// Runs the actors to their end on this thread; the instance is still held then.
    pub(crate) fn work(&self) -> Ended {
        let state = StateBoard::default();
        let board = Board::new(&self.shared.declared().project.services);
        let end = if self.is_unchanged(&state) {
            self.finish.end(End::Done);
            End::Done
        } else {
            let ended = block_on(self.run(state.clone(), board.clone()))
                .unwrap_or_else(|e| Err(BatchError::new("internal", e)));
            ended.unwrap_or_else(|error| End::Failed(Failure::from(&error)))
        };
        let mut report = self.shared.report(&state);
        report.services = board.reports();
        let exit = match end {
            End::Asked { .. } | End::Done => 0,
            End::Failed(Failure { error, exit }) => {
                report.error = Some(error);
                exit
            }
        };
        Ended { exit, report }
    }

    /// Tells whether there is nothing to do, and then publishes what there is.
    fn is_unchanged(&self, state: &StateBoard) -> bool {
        let asked_for_nothing = matches!(&self.mode, Mode::Once { rerun } if rerun.is_empty());
        asked_for_nothing && unchanged::look(&self.shared, state)
    }

    /// Leaves nothing behind but the last state.
    pub(crate) fn clean_up(&self, report: &Report) {
        let settings = &self.shared.settings;
        self.shared.end_network();
        self.shared.removals.finish();
        if let Err(error) = clear_leftovers(settings) {
            tracing::warn!(%error, "clean-up failed");
        }
        if let Some(guardian) = self.shared.guardian() {
            let _ = guardian.release();
        }
        let _ = write_state(&settings.paths.state(), report);
    }

    async fn run(&self, state: StateBoard, board: Board) -> Result<End, BatchError> {
        let runtime = Runtime::new();
        let (purpose, rerun) = match &self.mode {
            Mode::Serve => (Purpose::Serve, Vec::new()),
            Mode::Once { rerun } => (Purpose::Once, rerun.clone()),
        };
        let listener = match purpose {
            Purpose::Serve => self.socket()?,
            Purpose::Once => Bound::default(),
        };
        let wiring = Wiring {
            shared: self.shared.clone(),
            runtime: runtime.clone(),
            state,
            finish: self.finish.clone(),
            purpose,
            rerun,
            board: board.clone(),
            listener,
        };
        let root = wiring
            .root()?
            .start(&runtime)
            .map_err(|e| BatchError::new("internal", e))?;
        // One that only builds is soon over, and then writes its state once.
        let keeping = (purpose == Purpose::Serve).then(|| {
            let state = wiring.state.clone();
            tokio::task::spawn_local(keep_state(self.shared.clone(), state, board))
        });
        let outcome = self.until_the_end(root).await;
        keeping.inspect(tokio::task::JoinHandle::abort);
        let overdue = runtime.close(CLOSE_WITHIN).await;
        if !overdue.is_empty() {
            tracing::warn!(?overdue, "threads were still busy at the end");
        }
        Ok(outcome)
    }

    /// Binds the control socket, which the guardian removes if this process is killed.
    fn socket(&self) -> Result<Bound, BatchError> {
        self.shared.launcher()?;
        let socket = self.shared.settings.paths.socket();
        if let Some(guardian) = self.shared.guardian() {
            guardian
                .set_paths(vec![socket.clone()])
                .map_err(|e| BatchError::new("sandbox", e))?;
        }
        Bound::to(&socket).map_err(|e| {
            BatchError::new("io", format!("cannot listen for other commands: {e}"))
                .at(socket.display().to_string())
                .hint("HD_HOME names another place, on a file system that has sockets")
        })
    }

    async fn until_the_end(&self, root: Root) -> End {
        let stopper = root.stopper();
        let mut exit = std::pin::pin!(root.exit());
        let end = tokio::select! {
            end = self.finish.wait() => end,
            gone = &mut exit => return gave_up(gone),
        };
        stopper.stop();
        tokio::select! {
            _ = &mut exit => {}
            () = self.finish.wait_for_hurry() => {
                stopper.stop_now();
                let _ = exit.await;
            }
        }
        end
    }
}

/// Writes the state down whenever it changed, for the command that finds this process killed.
async fn keep_state(shared: Arc<Shared>, state: StateBoard, board: Board) {
    let mut changes = state.subscribe();
    while changes.changed().await.is_ok() {
        let mut report = shared.report(&state);
        report.services = board.reports();
        let path = shared.settings.paths.state();
        let write = move || write_state(&path, &report);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
            tracing::warn!(%error, "the state could not be written down");
        }
    }
}

/// Writes the state, unless the file says the same but for the time it took.
fn write_state(path: &Path, report: &Report) -> std::io::Result<()> {
    let timeless = |report: &Report| {
        let mut report = report.clone();
        report.ms = 0.0;
        report.steps.iter_mut().for_each(|step| step.ms = 0.0);
        serde_json::to_vec(&report).ok()
    };
    let stands = fs::read(path).ok();
    let stands = stands.and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok());
    if stands.is_some_and(|stands| timeless(&stands) == timeless(report)) {
        return Ok(());
    }
    let bytes = serde_json::to_vec_pretty(report)?;
    crate::model::files::replace_unsynced(path, &bytes)
}

fn gave_up(exit: RootExit) -> End {
    let message = match exit {
        RootExit::Stopped => "the actors ended by themselves".to_owned(),
        RootExit::Escalated(cause) => format!("hd gave up: {cause}"),
    };
    let hint = "this is a bug in hd; RUST_LOG=hd=debug shows more".to_owned();
    End::Failed(Failure {
        error: ErrorReport {
            code: "internal".into(),
            message,
            place: String::new(),
            hint,
        },
        exit: 1,
    })
}
