//! One run of a service: how its process is started, watched and ended.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hd_config::{Command, Service};
use hd_supervision::{Port, Refused};

use super::ahead::Ahead;
use super::board::Board;
use super::common::Common;
use super::forward::Forwarding;
use super::holder;
use super::hooks::{self, Meanwhile, Turns};
use super::lifecycle::describe;
use super::log::{Drained, ServiceLog};
use super::memory::Memory;
use super::probe::Probing;
use super::reach::Reach;
use super::schedule::Plan;
use super::seen::Seen;
use super::socket::HeldSocket;
use super::spawner::{Process, Spawner};
use crate::messages::{Ended, Probed, ProcessExited};

/// How long the process of an earlier supervisor may take to be gone after it was killed.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether what is in the way of a start goes away, 2 s in all, counted from when no
/// service is being stopped, or about to be: an edit may give a port to one service whose owner so far, another one,
/// is still ending.
const FREED_LOOKS: u32 = 40;
/// Pause between two of these looks.
const FREED_EVERY: Duration = Duration::from_millis(50);
/// How long the last words of an ended process may take to the log.
const DRAIN_WITHIN: Duration = Duration::from_secs(1);
/// How long the supervisor may take to accept an exit before it is tried again.
const TELL_WITHIN: Duration = Duration::from_secs(5);

/// Everything needed to start a run; blocking, for a thread of a pool.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) run: u64,
    /// Why, for the log.
    pub(crate) because: String,
    pub(crate) service: Arc<Service>,
    /// What may be wanted of it before it is done.
    pub(crate) meanwhile: Meanwhile,
    pub(crate) spawner: Arc<dyn Spawner>,
    pub(crate) log: ServiceLog,
    pub(crate) memory: Memory,
    pub(crate) common: Common,
    /// Where all services stand.
    pub(crate) board: Board,
    /// What was made for it while the process before ended.
    pub(crate) ahead: Ahead,
}

/// Why there is no run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotStarted {
    /// Something is in the way that will not go away by trying again.
    InTheWay(String),
    /// It did not work.
    Failed(String),
}

/// A process that was started, not watched yet.
#[derive(Debug)]
pub(crate) struct Started {
    process: Arc<dyn Process>,
    drained: Drained,
    seen: Seen,
}

impl Start {
    /// Starts the process.
    pub(crate) fn start(&self) -> Result<Started, NotStarted> {
        if let Some(before) = self.memory.process()
            && before.wait(Some(GONE_WITHIN)).is_none()
        {
            return Err(NotStarted::Failed(format!(
                "the process before (pid {}) does not end",
                before.pid()
            )));
        }
        let failed = |e: &dyn std::fmt::Display| NotStarted::Failed(e.to_string());
        let socket = self.socket_once_free()?;
        let is_over = || self.meanwhile.has_ended();
        let ready = self.spawner.make_ready(&is_over);
        ready.map_err(|e| failed(&e))?;
        let before = &self.service.pre_start;
        hooks::before_start(before, &*self.spawner, &self.log, &self.meanwhile)
            .map_err(NotStarted::Failed)?;
        let (process, drained, seen) = match self.prepared() {
            Some(running) => running,
            None => {
                let seen = Seen::of(&self.service);
                let (output, drained) = self.log.pipes(&seen).map_err(|e| failed(&e))?;
                let process = self.spawner.spawn(output, socket).map_err(|e| failed(&e))?;
                (process, drained, seen)
            }
        };
        self.memory.set_process(&process);
        let because = if self.because.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.because)
        };
        self.log
            .remark(&format!("started, pid {}{because}", process.pid()));
        tracing::debug!(run = self.run, pid = process.pid(), "service started");
        Ok(Started {
            process,
            drained,
            seen,
        })
    }

    /// Starts the process in the sandbox that was made ahead, if there is one. Where that fails a new one is tried, and
    /// says why.
    fn prepared(&self) -> Option<(Arc<dyn Process>, Drained, Seen)> {
        let made = self.ahead.take_for(&self.spawner, &self.service)?;
        let started = made.start();
        if let Err(error) = &started {
            tracing::debug!(service = self.service.name, %error, "what was made ahead is of no use");
        }
        started.ok()
    }

    /// Listens on its published ports from now on, if it is on another network than the machine's.
    fn publish(&self, reach: &Reach) -> Result<(), NotStarted> {
        let Reach::Within(network) = reach else {
            self.common.withdraw();
            return Ok(());
        };
        let (name, ports) = (self.service.declared(), &self.service.ports);
        let start = || Forwarding::start(name, ports, network);
        let published = self.common.publish(ports, network, start);
        published.map_err(NotStarted::InTheWay)
    }

    /// The same as [`Self::socket`], once what is in the way has had a moment to go.
    fn socket_once_free(&self) -> Result<Option<OwnedFd>, NotStarted> {
        let mut looks = 0;
        loop {
            // Looked at first: who ends while the port is looked at may have given it up only then.
            let may_go = self.board.any_on_its_way_out(&self.service);
            let socket = self.socket();
            let is_in_the_way = matches!(socket, Err(NotStarted::InTheWay(_)));
            let is_over = !may_go && looks >= FREED_LOOKS;
            if !is_in_the_way || is_over || self.meanwhile.has_ended() {
                return socket;
            }
            thread::park_timeout(FREED_EVERY);
            looks = if may_go { 0 } else { looks + 1 };
        }
    }

    /// Gives the socket to hand over; where none is held, the port must be free.
    fn socket(&self) -> Result<Option<OwnedFd>, NotStarted> {
        let reach = self.spawner.reach();
        let reach = reach.map_err(|e| NotStarted::Failed(e.to_string()))?;
        let held = self.service.socket.zip(self.service.port);
        self.common.used_by(&self.service.name, &reach, held);
        self.publish(&reach)?;
        let Some(port) = self.service.port else {
            return Ok(None);
        };
        let Some(address) = self.service.socket else {
            let who = holder::in_use(&reach, port);
            return who.map_or(Ok(None), |who| Err(NotStarted::InTheWay(who)));
        };
        let held = self
            .common
            .socket(|| HeldSocket::listen(&reach, address, port))
            .map_err(NotStarted::InTheWay)?;
        let descriptor = held.descriptor();
        descriptor
            .map(Some)
            .map_err(|e| NotStarted::Failed(e.to_string()))
    }
}

impl Started {
    /// Gives the line it is waited for, if one is.
    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }
}

/// A run under watch. Dropped before its end, it kills its process.
#[derive(Debug)]
pub(crate) struct Run {
    number: u64,
    process: Arc<dyn Process>,
    /// Commands of watch rules that were run beside it.
    turns: Mutex<Vec<(Command, Turns)>>,
    _probing: Option<Probing>,
}

/// Where news of a run goes.
#[derive(Clone, Debug)]
pub(crate) struct News {
    pub(crate) exited: Port<ProcessExited>,
    pub(crate) probed: Port<Probed>,
    pub(crate) log: ServiceLog,
}

impl Run {
    /// Watches a started process: a thread waits for its end, another one probes it.
    pub(crate) fn watch(
        number: u64,
        started: Started,
        plan: Option<Plan>,
        news: &News,
    ) -> io::Result<Self> {
        let Started {
            process, drained, ..
        } = started;
        let mut run = Self {
            number,
            process: process.clone(),
            turns: Mutex::default(),
            _probing: None,
        };
        let complained: Arc<AtomicBool> = Arc::default();
        let exit = Exit {
            run: number,
            process: process.clone(),
            complained: complained.clone(),
            drained,
            news: news.clone(),
        };
        thread::Builder::new()
            .name(format!("wait {}", news.exited.name()))
            .spawn(move || exit.wait())?;
        if let Some(plan) = plan {
            let probed = news.probed.clone();
            run._probing = Some(Probing::start(plan, number, process, complained, probed)?);
        }
        Ok(run)
    }

    /// Gives its number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Gives what keeps a command from running beside itself.
    pub(crate) fn turns(&self, command: &Command) -> Turns {
        let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, turns)) = all.iter().find(|(one, _)| one == command) {
            return turns.clone();
        }
        let turns = Turns::default();
        all.push((command.clone(), turns.clone()));
        turns
    }

    /// Gives its process.
    pub(crate) fn process(&self) -> &Arc<dyn Process> {
        &self.process
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Threads hold the process too, so its own drop may come late. One that has ended is as well.
        self.process.kill();
    }
}

struct Exit {
    run: u64,
    process: Arc<dyn Process>,
    complained: Arc<AtomicBool>,
    drained: Drained,
    news: News,
}

impl Exit {
    /// Waits for the end; what it complains of until then is told, once.
    fn end(&self) -> Option<Ended> {
        let every = self.process.complains();
        let mut told = every.is_none();
        loop {
            let ended = self.process.wait(every.filter(|_| !told));
            if ended.is_some() || told {
                return ended;
            }
            if let Some(why) = self.process.complaint() {
                told = true;
                let news = Probed {
                    run: self.run,
                    outcome: Err(why),
                };
                // Refused: its supervisor is gone, and with it the run.
                let _ = self.news.probed.deliver_blocking(news, TELL_WITHIN);
                // After that, lest a success that is to follow it comes before.
                self.complained.store(true, Ordering::Relaxed);
            }
        }
    }

    fn wait(self) {
        let Some(ended) = self.end() else {
            return;
        };
        if !self.drained.wait(DRAIN_WITHIN) {
            self.news
                .log
                .remark("something outside of the service holds its output open");
        }
        self.news.log.remark(&describe(ended));
        let mut news = ProcessExited {
            run: self.run,
            ended,
        };
        // An exit must not get lost. Down means that its supervisor is a later one, to which this
        // run means nothing.
        while let Err(Refused::Full(again)) = self.news.exited.deliver_blocking(news, TELL_WITHIN) {
            news = again;
        }
    }
}
