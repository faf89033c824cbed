//! Processes that do what a test says, and a place to supervise them in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use hd_config::{Command, Service, Signal};
use hd_supervision::testkit::until;
use hd_supervision::{Lane, Runtime};
use tempfile::TempDir;

use super::board::{Board, Standing};
use super::directory::Directory;
use super::log::Output;
use super::ports::ServiceContext;
use super::spawner::{Process, Spawner, Waiting};
use crate::Settings;
use crate::events::{Event, Events, Listener};
use crate::messages::{BatchError, Ended};
use crate::model::asked::{Asked, Change};
use crate::model::declared::{Declaration, Invalid, Reader};
use crate::model::instance::InstancePaths;
use crate::model::process_book::ProcessBook;
use crate::model::report::ServiceState;
use crate::shared::Shared;

/// Spawns fakes and keeps them, oldest first. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Fakes(Arc<State>);

#[derive(Debug, Default)]
struct State {
    processes: Mutex<Vec<Arc<Fate>>>,
    answers: Mutex<VecDeque<Result<(), String>>>,
    refusals: AtomicU32,
    /// Whether processes are kept from being started.
    gate: Mutex<bool>,
    opened: Condvar,
    stubborn: Mutex<bool>,
    /// Sandboxes that wait for their process, and those that got one.
    waiting: AtomicU32,
    used: AtomicU32,
}

/// A sandbox that waits for its process.
#[derive(Debug)]
struct FakeSandbox(Fakes, Option<Output>);

/// What becomes of a fake process.
#[derive(Debug)]
pub(super) struct Fate {
    pid: u32,
    stubborn: bool,
    did: Mutex<Vec<&'static str>>,
    output: Mutex<Option<Output>>,
    ended: Mutex<Option<Ended>>,
    changed: Condvar,
}

/// A process; like a real one it ends when it is dropped.
#[derive(Debug)]
struct Fake(Arc<Fate>, Fakes);

impl Fakes {
    pub(super) fn count(&self) -> usize {
        self.0.processes.lock().unwrap().len()
    }

    /// The latest process.
    pub(super) fn latest(&self) -> Arc<Fate> {
        self.0
            .processes
            .lock()
            .unwrap()
            .last()
            .cloned()
            .expect("a process")
    }

    pub(super) async fn started(&self, count: usize) {
        until(&format!("process {count} is started"), || {
            self.count() >= count
        })
        .await;
        assert_eq!(self.count(), count);
    }

    /// The next processes do not heed the stop signal.
    pub(super) fn be_stubborn(&self) {
        *self.0.stubborn.lock().unwrap() = true;
    }

    /// The next starts fail.
    pub(super) fn refuse(&self, count: u32) {
        self.0.refusals.store(count, Ordering::SeqCst);
    }

    pub(super) fn answer(&self, answer: Result<(), String>) {
        self.0.answers.lock().unwrap().push_back(answer);
    }

    /// Gives how many sandboxes wait for their process.
    pub(super) fn waiting(&self) -> u32 {
        self.0.waiting.load(Ordering::SeqCst)
    }

    /// Gives how many processes were started in sandboxes that had waited.
    pub(super) fn used(&self) -> u32 {
        self.0.used.load(Ordering::SeqCst)
    }

    /// Keeps processes from being started, or no longer.
    pub(super) fn hold(&self, held: bool) {
        *self.0.gate.lock().unwrap() = held;
        self.0.opened.notify_all();
    }
}

impl Spawner for Fakes {
    fn before(&self, _: &Command, output: Output) -> Result<Arc<dyn Process>, BatchError> {
        self.spawn(output, None)
    }

    fn set_up(&self, output: Output) -> Result<Option<Box<dyn Waiting>>, BatchError> {
        self.0.waiting.fetch_add(1, Ordering::SeqCst);
        Ok(Some(Box::new(FakeSandbox(self.clone(), Some(output)))))
    }

    fn spawn(&self, output: Output, _: Option<OwnedFd>) -> Result<Arc<dyn Process>, BatchError> {
        drop(
            self.0
                .opened
                .wait_while(self.0.gate.lock().unwrap(), |held| *held)
                .unwrap(),
        );
        let refused = self
            .0
            .refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if refused.is_ok() {
            return Err(BatchError::new("sandbox", "no such program"));
        }
        let mut processes = self.0.processes.lock().unwrap();
        let fate = Arc::new(Fate {
            pid: u32::try_from(processes.len()).unwrap() + 1,
            stubborn: *self.0.stubborn.lock().unwrap(),
            did: Mutex::default(),
            output: Mutex::new(Some(output)),
            ended: Mutex::default(),
            changed: Condvar::new(),
        });
        processes.push(fate.clone());
        Ok(Arc::new(Fake(fate, self.clone())))
    }
}

impl Waiting for FakeSandbox {
    fn start(mut self: Box<Self>) -> Result<Arc<dyn Process>, BatchError> {
        let output = self.1.take().expect("it is started once");
        let started = self.0.spawn(output, None)?;
        self.0.0.used.fetch_add(1, Ordering::SeqCst);
        Ok(started)
    }
}

impl Drop for FakeSandbox {
    fn drop(&mut self) {
        self.0.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Fate {
    /// Ends it, the first time.
    pub(super) fn end(&self, ended: Ended) {
        let mut end = self.ended.lock().unwrap();
        if end.is_none() {
            *end = Some(ended);
            self.output.lock().unwrap().take();
            self.changed.notify_all();
        }
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        *self.ended.lock().unwrap()
    }

    /// Signals it got.
    pub(super) fn did(&self) -> Vec<&'static str> {
        self.did.lock().unwrap().clone()
    }
}

impl Process for Fake {
    fn pid(&self) -> u32 {
        self.0.pid
    }

    fn terminate(&self) {
        self.0.did.lock().unwrap().push("terminate");
        if !self.0.stubborn {
            self.0.end(Ended::Signal(15));
        }
    }

    fn kill(&self) {
        if self.0.ended().is_none() {
            self.0.did.lock().unwrap().push("kill");
        }
        self.0.end(Ended::Signal(9));
    }

    fn wait(&self, within: Option<Duration>) -> Option<Ended> {
        let deadline = within.map(|within| Instant::now() + within);
        let mut ended = self.0.ended.lock().unwrap();
        while ended.is_none() {
            ended =
                match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                    None => self.0.changed.wait(ended).unwrap(),
                    Some(Duration::ZERO) => return None,
                    Some(left) => self.0.changed.wait_timeout(ended, left).unwrap().0,
                };
        }
        *ended
    }

    fn owns(&self, pid: u32) -> bool {
        pid == std::process::id()
    }

    fn signal(&self, _: Signal) {
        self.0.did.lock().unwrap().push("signal");
    }

    fn beside(&self, _: &Command, _: Option<Output>, _: Duration) -> Result<(), String> {
        self.1
            .0
            .answers
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(|| Err("no answer yet".to_owned()))
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where services are supervised in a test.
#[derive(Debug)]
pub(super) struct World {
    pub(super) context: ServiceContext,
    pub(super) heard: Heard,
    _home: TempDir,
}

/// What listeners were told.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<Event>>>);

impl Listener for Heard {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Heard {
    /// The states a service went through, with the time told.
    pub(super) fn states(&self, service: &str) -> Vec<(ServiceState, Option<Duration>)> {
        let events = self.0.lock().unwrap();
        let of_service = events.iter().filter_map(|event| match event {
            Event::Service {
                name, state, after, ..
            } if name == service => Some((*state, *after)),
            _ => None,
        });
        of_service.collect()
    }

    /// All transitions, oldest first.
    pub(super) fn order(&self) -> Vec<(String, ServiceState)> {
        let events = self.0.lock().unwrap();
        let told = events.iter().filter_map(|event| match event {
            Event::Service { name, state, .. } => Some((name.clone(), *state)),
            _ => None,
        });
        told.collect()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let events = self.0.lock().unwrap();
        let lines = events.iter().filter_map(|event| match event {
            Event::Log { line, .. } => Some(line.clone()),
            _ => None,
        });
        lines.collect()
    }
}

/// Nobody edits the file of a test.
#[derive(Debug)]
struct Unread;

impl Reader for Unread {
    fn read(&self) -> Result<Declaration, Invalid> {
        Err(Invalid::from(&BatchError::new("config", "not read")))
    }

    fn want(&self, _: Asked) -> Result<Option<Change>, Invalid> {
        Err(Invalid::from(&BatchError::new("config", "not read")))
    }

    fn back(&self, _: Change) {}
}

impl World {
    pub(super) fn new(services: Vec<Service>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let heard = Heard::default();
        let mut project = hd_config::parse("[environment]\nname = \"test\"\n", "hd.toml").unwrap();
        project.services = services;
        project.options.restart_grace = Duration::from_millis(300);
        let settings = Settings {
            first: Declaration {
                project,
                env: BTreeMap::new(),
            },
            reader: Arc::new(Unread),
            project_dir: home.path().join("project"),
            config_path: PathBuf::new(),
            paths: InstancePaths::new(home.path(), &home.path().join("project")),
            base_override: None,
            jobs: None,
            host_env: BTreeMap::new(),
            own: BTreeSet::new(),
            started: Instant::now(),
        };
        let services = settings.first.project.services.clone();
        let directory = Directory::new(&services, Duration::from_millis(300));
        let book = ProcessBook::new(settings.paths.processes());
        let shared = Arc::new(Shared::new(settings, Events::new(Arc::new(heard.clone()))).unwrap());
        let context = ServiceContext {
            shared,
            runtime: Runtime::new(),
            lane: Lane::Main,
            board: Board::new(&services),
            book,
            directory,
        };
        Self {
            context,
            heard,
            _home: home,
        }
    }

    pub(super) fn standing(&self, service: &str) -> Standing {
        self.context.board.standing(service).unwrap()
    }

    pub(super) async fn reaches(&self, service: &str, state: ServiceState) {
        let is_there = || self.standing(service).report.state == state;
        until(
            &format!("{service} is {state:?}, now {:?}", self.standing(service)),
            is_there,
        )
        .await;
    }

    pub(super) fn log(&self, service: &str) -> String {
        let path = self
            .context
            .shared
            .settings
            .paths
            .service_logs()
            .join(format!("{service}.log"));
        std::fs::read_to_string(path).unwrap_or_default()
    }
}
