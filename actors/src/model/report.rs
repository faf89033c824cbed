//! The JSON that `up --once --json` and `status --json` print: schema 1, frozen.
//!
//! Fields are only ever added; later tools rely on each name and meaning here.

use serde::{Deserialize, Serialize};

/// Number of the schema that [`Report`] follows.
pub const SCHEMA: u32 = 1;

/// One object that tells all of an environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Schema number: [`SCHEMA`].
    pub schema: u32,
    /// Name of the environment.
    pub name: String,
    /// Base image as asked for; null when the host is the base.
    pub base: Option<String>,
    /// Root of the Env node, 64 hex digits; null before the first scan is done.
    pub root: Option<String>,
    /// Id of the composed tree with outputs, 64 hex digits; null before the steps are done.
    pub view: Option<String>,
    /// Project files after filters.
    pub files: u64,
    /// Bytes of the project files after filters.
    pub bytes: u64,
    /// Wall-clock milliseconds of the whole command.
    pub ms: f64,
    /// Steps in order, as of the latest batch.
    pub steps: Vec<StepReport>,
    /// Services by name.
    pub services: Vec<ServiceReport>,
    /// Actors by name (status of a running instance only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actors: Option<Vec<ActorReport>>,
    /// It is being ended (status of a running instance only).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ending: bool,
    /// How edits are watched, where that is not as usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watching: Option<WatchingReport>,
    /// How the files below the services are shown, once they are (status of a running instance only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<LowerReport>,
    /// What failed, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
}

/// How the files below the services are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LowerReport {
    /// `erofs` or `fuse`.
    pub back_end: String,
    /// Why it is that one.
    pub why: String,
    /// With `erofs`: what the kernel asked of hd, because there was no raw copy of a file.
    pub requests: Option<u64>,
    /// With `erofs`: raw copies made of what was asked for.
    pub copied: Option<u64>,
}

/// Edits that are held back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchingReport {
    /// `hd watch pause` was asked for.
    pub paused: bool,
    /// Paths that wait; null when everything is to be looked at.
    pub waiting: Option<u64>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// It was executed.
    Ran,
    /// A stored result was valid.
    Kept,
    /// It was executed and failed.
    Failed,
}

/// One step in the latest batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// `step-1`, `step-2`, … in order.
    pub name: String,
    /// What became of it.
    pub result: StepOutcome,
    /// Wall-clock milliseconds it took.
    pub ms: f64,
    /// Why it ran or was kept.
    pub reason: String,
    /// Short name made of its first words; `why` takes it too.
    #[serde(default)]
    pub slug: String,
    /// The command.
    #[serde(default)]
    pub command: String,
}

/// Why a service has exited that a person stopped.
pub const STOPPED: &str = "stopped";

/// State of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// A dependency or a step is not done.
    #[default]
    Waiting,
    /// Started, not ready yet.
    Starting,
    /// Ready: probe passed, port accepts, or it just runs.
    Ready,
    /// Being stopped.
    Stopping,
    /// Crashed; will be started again after a delay.
    Backoff,
    /// Crashed too often, or could not be started.
    Failed,
    /// Ended by itself, or stopped by a person, and stays so.
    Exited,
}

/// Restart counters of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    /// Restarts after it ended by itself.
    pub crash: u64,
    /// Restarts because something it sees changed.
    pub watch: u64,
}

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceReport {
    /// Its name in `hd.toml`.
    pub name: String,
    /// Its state.
    pub state: ServiceState,
    /// Process id on the host of its main process, when it runs.
    pub pid: Option<u32>,
    /// Port it listens on.
    pub port: Option<u16>,
    /// Its command.
    pub command: String,
    /// Its watch patterns.
    pub watch: Vec<String>,
    /// What it sees of the network, unless that is the machine's: `isolated` or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Ports of it that this machine has too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<PublishedPort>,
    /// Which of several equal ones it is, where `replicas` is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaReport>,
    /// What it uses of what it is limited to, as of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesReport>,
    /// What it finds beside its view, as `hd.toml` says it in the short form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Restart counters since `up`.
    pub restarts: Restarts,
    /// Why it is in this state.
    pub reason: String,
    /// Why changes of some files it watches restart it no more, if that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
}

impl ServiceReport {
    /// The name that `hd.toml` gives it: `web` of the replica `web-2`.
    #[must_use]
    pub fn declared(&self) -> &str {
        self.replica.as_ref().map_or(&self.name, |one| &one.of)
    }

    /// Tells whether a name means it: its own, or that of all its replicas.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.declared() == name
    }

    /// What it is listed by.
    pub(crate) fn place(&self) -> (&str, u32) {
        let number = self.replica.as_ref().map_or(0, |one| one.number);
        (self.declared(), number)
    }
}

/// What a service uses together with all it started, `hd exec` included; a limit that is not set is left
/// out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourcesReport {
    /// Bytes of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Used>,
    /// Used: processor time of this run in milliseconds. Limit: thousandths of one processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Used>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<Used>,
}

/// How much is used of how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Null where no control group counts it: each process is limited by itself, if at all.
    pub used: Option<u64>,
    /// The limit.
    pub limit: u64,
}

/// Which of several equal services one is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// The service as `hd.toml` names it.
    pub of: String,
    /// Its number, from 1.
    pub number: u32,
}

/// A port of an isolated service that this machine has too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Address of this machine.
    pub address: String,
    /// Port of this machine.
    pub port: u16,
    /// Port of the service.
    pub target: u16,
}

/// How an actor answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorState {
    /// It answered.
    Alive,
    /// It did not answer in time; the last published snapshot stands in.
    Busy,
    /// It is not running.
    Dead,
}

/// One actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorReport {
    /// Its name in the supervision tree.
    pub name: String,
    /// How it answered.
    pub state: ActorState,
    /// Restarts since `up`.
    pub restarts: u64,
    /// Messages waiting for it.
    pub queued: u64,
}

/// What failed, for people and tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// Stable word for the kind of failure, such as `config`, `step`, `service`, `image`.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// Where: `file:line:column`, a path, a digest, a step or service name; may be empty.
    pub place: String,
    /// What to do next; may be empty.
    pub hint: String,
}
