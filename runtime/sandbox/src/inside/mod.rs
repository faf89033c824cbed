//! The code of the helper processes: single-threaded, on their own side of the channel.

mod enter;
mod guardian;
mod init;
mod mounts;
mod namespace;
mod network;
mod privileges;
mod seccomp;
mod supervise;
mod workload;

use crate::event::{Failure, Stage};
use crate::helper::Role;
use crate::sys::{self, Closing};
use crate::wire::{Channel, Job, Order, Report, Wires};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

/// The exit code of a helper that failed.
const FAILED: i32 = 125;

/// The answer of a step inside a helper.
type Outcome<T> = Result<T, Failure>;

/// Adds the phase and what was tried to a system error.
trait Tried<T> {
    fn tried(self, stage: Stage, what: impl std::fmt::Display) -> Outcome<T>;
}

impl<T, E: Into<std::io::Error>> Tried<T> for Result<T, E> {
    fn tried(self, stage: Stage, what: impl std::fmt::Display) -> Outcome<T> {
        self.map_err(|error| Failure::new(stage, what, error))
    }
}

/// Runs a helper; answers its exit code.
pub(crate) fn run(role: Role) -> i32 {
    let Ok(channel) = prepare() else {
        return FAILED;
    };
    if role == Role::Guardian {
        return guardian::run(&channel);
    }
    match work(&channel) {
        Ok(code) => code,
        Err(failure) => {
            // Nobody is left to tell when this fails.
            let _ = channel.send(&Report::Failed(failure), &[]);
            FAILED
        }
    }
}

/// Closes what was inherited and moves the channel away from descriptor 0.
fn prepare() -> std::io::Result<Channel> {
    sys::close_from(3, Closing::Now)?;
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(rustix::stdio::stdout())?;
    Ok(Channel::from_fd(socket))
}

fn work(channel: &Channel) -> Outcome<i32> {
    let started = channel
        .receive::<Order>()
        .tried(Stage::Helper, "receive the job")?;
    let Some((Order::Start, mut fds)) = started else {
        return Ok(FAILED);
    };
    if fds.is_empty() {
        return Ok(FAILED);
    }
    let job: Job = serde_json::from_reader(std::io::BufReader::new(File::from(fds.remove(0))))
        .map_err(std::io::Error::from)
        .tried(Stage::Helper, "read the job")?;
    let mut fds = Fds(fds.into_iter());
    match job {
        Job::Spawn { spec, join, wires } => {
            let joined = fds.take(join.count())?;
            let stdio = fds.workload(wires)?;
            namespace::spawn(channel, *spec, join, joined, stdio)
        }
        Job::Namespace { stage, user } => namespace::create(channel, &stage, user),
        Job::Network { join } => {
            let joined = fds.take(join.count())?;
            network::run(channel, join, &joined)
        }
        Job::RunIn {
            stage,
            root,
            ops,
            join,
        } => {
            let joined = fds.take(join.count())?;
            namespace::run_in(channel, &stage, &root, &ops, join, &joined)
        }
        Job::Enter {
            rights,
            command,
            user,
            wires,
        } => {
            let target = fds.take(1)?;
            let stdio = fds.workload(wires)?;
            enter::run(channel, target[0].as_fd(), user, rights, &command, stdio)
        }
    }
}

/// The descriptors of a job, taken in the order they were sent.
struct Fds(std::vec::IntoIter<OwnedFd>);

impl Fds {
    fn take(&mut self, count: usize) -> Outcome<Vec<OwnedFd>> {
        let taken: Vec<_> = self.0.by_ref().take(count).collect();
        if taken.len() == count {
            return Ok(taken);
        }
        let error = std::io::Error::from_raw_os_error(libc::EBADF);
        Err(Failure::new(
            Stage::Helper,
            "take the descriptors of the job",
            error,
        ))
    }

    fn workload(&mut self, wires: Wires) -> Outcome<workload::Descriptors> {
        let mut standard = [None, None, None];
        for (slot, present) in standard.iter_mut().zip(wires.standard) {
            if present {
                *slot = self.take(1)?.pop();
            }
        }
        Ok(workload::Descriptors {
            standard,
            extra: self.take(wires.extra)?,
        })
    }
}
