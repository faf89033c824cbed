//! The typed, validated content of `[services.NAME]`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::image_defaults::Open;
use crate::network::{Published, ServiceNetwork};
use crate::replica::Replica;
use crate::shell_line;
use crate::signal::Signal;
use crate::volume::Volume;
use crate::watch::WatchSet;

/// A command as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A string: for `sh -c`.
    Shell(String),
    /// A list: program and arguments, no shell; never empty.
    Exec(Vec<String>),
}

impl Command {
    /// What is executed: a string by the shell, its last command in the place of the shell where that is
    /// certain to be the same.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Shell(line) => ["/bin/sh", "-c", &shell_line::executing(line)]
                .map(str::to_owned)
                .into(),
            Self::Exec(words) => words.clone(),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(line) => f.write_str(line),
            Self::Exec(words) => f.write_str(&words.join(" ")),
        }
    }
}

/// One service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its name: `a-z`, `0-9`, `_`, `-`.
    pub name: String,
    /// An OCI image of its own to run on, in the place of the environment: it sees neither the project nor what
    /// steps made.
    pub base: Option<String>,
    /// What runs.
    pub command: Command,
    /// Which files restart it (or do something gentler); by default none.
    pub watch: WatchSet,
    /// The TCP port it listens on; with `auto_port` none until [`Service::assign_port`].
    pub port: Option<u16>,
    /// `port = "auto"`: hd looks for a free one.
    pub auto_port: bool,
    /// hd holds the listening socket of `port`, at this address, and hands it over.
    pub socket: Option<IpAddr>,
    /// What must be so before it starts; each service at most once.
    pub depends_on: Vec<DependsOn>,
    /// What happens when it ends by itself.
    pub restart: RestartPolicy,
    /// How long that waits, and how often it is tried.
    pub backoff: Backoff,
    /// Its own environment, unexpanded; beats its `env_file` and that of the project.
    pub env: BTreeMap<String, String>,
    /// Files of `KEY=value` lines, relative to the project, later ones win.
    pub env_file: Vec<String>,
    /// Where it runs: absolute inside, or relative to the project; the project itself by default. Always absolute on
    /// a base of its own.
    pub working_dir: Option<String>,
    /// Who it runs as, where that is not who the project's commands run as.
    pub user: Option<String>,
    /// What asks it to stop.
    pub stop_signal: Signal,
    /// Time between `stop_signal` and the kill; `[options] restart_grace` where it is left out.
    pub stop_grace: Option<Duration>,
    /// Commands that must succeed before each start, one after the other.
    pub pre_start: Vec<Command>,
    /// Commands run beside it after each start.
    pub post_start: Vec<Command>,
    /// Commands run beside it before `stop_signal`, within the grace.
    pub pre_stop: Vec<Command>,
    /// It starts only with one of these profiles, or when it is named; always when empty.
    pub profiles: Vec<String>,
    /// What it finds beside its view; no two at one place.
    pub volumes: Vec<Volume>,
    /// What it sees of the network; its `port` is one of that.
    pub network: ServiceNetwork,
    /// Ports of the isolated network that the machine has too.
    pub ports: Vec<Published>,
    /// What all its processes may use together.
    pub resources: Resources,
    /// Long-running or one-shot.
    pub kind: Kind,
    /// How readiness is probed, where `port` is not enough.
    pub healthcheck: Option<Healthcheck>,
    /// What it leaves to its image.
    pub open: Open,
    /// Which of several equal ones it is, where `replicas` is said.
    pub replica: Option<Replica>,
}

impl Service {
    /// Makes a service that only has a shell command.
    #[must_use]
    pub fn new(name: &str, command: &str) -> Self {
        Self {
            name: name.to_owned(),
            base: None,
            command: Command::Shell(command.to_owned()),
            watch: WatchSet::default(),
            port: None,
            auto_port: false,
            socket: None,
            depends_on: Vec::new(),
            restart: RestartPolicy::Always,
            backoff: Backoff::default(),
            env: BTreeMap::new(),
            env_file: Vec::new(),
            working_dir: None,
            user: None,
            stop_signal: Signal::TERM,
            stop_grace: None,
            pre_start: Vec::new(),
            post_start: Vec::new(),
            pre_stop: Vec::new(),
            profiles: Vec::new(),
            volumes: Vec::new(),
            network: ServiceNetwork::Host,
            ports: Vec::new(),
            resources: Resources::default(),
            kind: Kind::Service,
            healthcheck: None,
            open: Open::default(),
            replica: None,
        }
    }

    /// Tells whether it listens on a port, known or not.
    #[must_use]
    pub fn has_port(&self) -> bool {
        self.port.is_some() || self.auto_port
    }

    /// Tells whether it starts by itself with these profiles.
    #[must_use]
    pub fn is_enabled(&self, active: &[String]) -> bool {
        self.profiles.is_empty() || self.profiles.iter().any(|name| active.contains(name))
    }

    /// Gives it the port that was found for `port = "auto"`, and a probe that asks its own port too.
    pub fn assign_port(&mut self, found: u16) {
        self.port = Some(found);
        let probe = self.healthcheck.as_mut().map(|check| &mut check.test);
        if let Some(Probe::Http { port: port @ 0, .. }) = probe {
            *port = found;
        }
    }

    /// Name of the variable that tells every service the port of this one: `HD_PORT_WEB`.
    #[must_use]
    pub fn port_variable(&self) -> String {
        port_variable(&self.name)
    }

    /// The name that `hd.toml` gives it: `web` of the replica `web-2`.
    #[must_use]
    pub fn declared(&self) -> &str {
        let replica = self.replica.as_ref();
        replica.map_or(&self.name, |replica| &replica.of)
    }

    /// Tells whether a name means it: its own, or that of all its replicas.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.declared() == name
    }
}

/// Name of the variable that tells every service the port of one.
#[must_use]
pub fn port_variable(service: &str) -> String {
    let name = service.to_ascii_uppercase().replace('-', "_");
    format!("HD_PORT_{name}")
}

/// What all processes of a service may use together; no limit where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Processor time in thousandths of one processor.
    pub cpus: Option<u32>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// How often a service that ends by itself is started again, and how long that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    /// Ends in a row after which it is given up; none for never.
    pub max: Option<u32>,
    /// Delay after the first end.
    pub min_delay: Duration,
    /// Longest delay.
    pub max_delay: Duration,
    /// What each further end multiplies the delay by; at least 1.
    pub factor: f64,
    /// A run that lasted this long makes the next end the first one again.
    pub reset_after: Duration,
}

impl Default for Backoff {
    /// About 25 s of trying.
    fn default() -> Self {
        Self {
            max: Some(8),
            min_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
            factor: 2.0,
            reset_after: Duration::from_secs(10),
        }
    }
}

impl Backoff {
    /// The delay after so many ends in a row, from 1.
    #[must_use]
    pub fn delay(&self, ends: u32) -> Duration {
        let power = i32::try_from(ends.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.min_delay.as_secs_f64() * self.factor.powi(power);
        let longest = self.max_delay.max(self.min_delay);
        // Beyond what a duration holds it is beyond the longest one too.
        Duration::try_from_secs_f64(seconds).map_or(longest, |delay| delay.min(longest))
    }
}

/// What a service waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependsOn {
    /// The other service.
    pub service: String,
    /// What must be so.
    pub condition: Condition,
}

/// When a dependency is satisfied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Its process runs.
    Started,
    /// It is ready: the probe passed, else the port accepts, else it runs. What the list form means.
    Healthy,
    /// It ended with exit code 0. What the list form means for a one-shot.
    Completed,
}

/// What happens when a service ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// It starts again; the default.
    Always,
    /// It starts again unless it ended with exit code 0.
    OnFailure,
    /// It stays ended; the default of a one-shot.
    Never,
}

/// Whether a service is meant to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It runs until stopped.
    Service,
    /// It runs once, exit code 0 is success.
    Oneshot,
}

/// How readiness is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healthcheck {
    /// What is tried.
    pub test: Probe,
    /// Time between two probes.
    pub interval: Duration,
    /// A probe that takes longer has failed.
    pub timeout: Duration,
    /// So many failures in a row, after `start_period`, make the service unhealthy; at least 1.
    pub retries: u32,
    /// Failures in this time after the start do not count.
    pub start_period: Duration,
}

impl Healthcheck {
    /// Default of `interval`.
    pub const INTERVAL: Duration = Duration::from_secs(5);
    /// Default of `timeout`.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// Default of `retries`.
    pub const RETRIES: u32 = 3;
    /// Default of `start_period`.
    pub const START_PERIOD: Duration = Duration::from_secs(30);
}

/// One way to find out whether a service is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A command in the service's view; exit code 0 is success.
    Exec(Command),
    /// `GET`; a status below 400 is success.
    Http {
        /// Host name or address.
        host: String,
        /// TCP port; 0 is the service's own, until [`Service::assign_port`].
        port: u16,
        /// Path and query, begins with `/`.
        path: String,
    },
    /// The same over TLS. The certificate is checked unless the address is a loopback one.
    Https {
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
        /// Path and query, begins with `/`.
        path: String,
    },
    /// The service says so itself: `READY=1` to the socket that `NOTIFY_SOCKET` names, as `sd_notify(3)` does.
    Notify,
    /// A line the service prints: this regular expression matches it.
    Log(String),
    /// A TCP connection that is accepted.
    Tcp {
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_longest() {
        let backoff = Backoff::default();
        let delays = [1, 2, 3, 7, 8, 4_000_000_000].map(|ends| backoff.delay(ends).as_millis());
        assert_eq!(delays, [100, 200, 400, 6400, 10_000, 10_000]);
        let constant = Backoff {
            factor: 1.0,
            ..backoff
        };
        assert_eq!(constant.delay(50), Duration::from_millis(100));
    }

    #[test]
    fn a_port_that_was_found_reaches_the_probe_that_asks_for_it() {
        let mut web = Service::new("web-ui", "serve");
        web.healthcheck = Some(Healthcheck {
            test: Probe::Http {
                host: "127.0.0.1".to_owned(),
                port: 0,
                path: "/".to_owned(),
            },
            interval: Healthcheck::INTERVAL,
            timeout: Healthcheck::TIMEOUT,
            retries: 1,
            start_period: Healthcheck::START_PERIOD,
        });
        web.assign_port(4711);
        assert_eq!(web.port_variable(), "HD_PORT_WEB_UI");
        let check = web.healthcheck.map(|check| check.test);
        assert!(matches!(check, Some(Probe::Http { port: 4711, .. })));
    }
}
