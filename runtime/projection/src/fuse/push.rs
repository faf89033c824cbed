//! Gives the kernel the content of small files before it asks, one message instead of a request
//! and an answer each.
//!
//! This happens on a thread of its own, never on one that answers requests: the kernel may hold a
//! page of the file locked until a read of it is answered.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use fuser::{INodeNo, Notifier, ReplyDirectoryPlus};

use super::inodes::Inode;
use crate::error::ProjectionError;
use crate::lower::Lower;

/// Largest file that is pushed, bytes.
pub(super) const FILE_MAX: u64 = 128 << 10;
/// Most files and bytes of one push.
pub(super) const FILES_MAX: usize = 64;
pub(super) const BYTES_MAX: u64 = 1 << 20;
/// Pushes that may wait; beyond, files are left to be asked for.
const WAITING_MAX: usize = 16;

/// Files to push, and an answer that may go out only after them.
pub(super) struct Job {
    pub(super) files: Vec<(u64, Arc<Inode>)>,
    pub(super) then: Option<ReplyDirectoryPlus>,
}

/// Where jobs go.
#[derive(Debug)]
pub(super) struct Pusher {
    jobs: Sender<Job>,
}

/// The other end, waiting for a session to push into.
#[derive(Debug)]
pub(crate) struct PushThread<L> {
    jobs: Receiver<Job>,
    lower: Arc<L>,
}

/// Makes both ends.
pub(super) fn pair<L: Lower>(lower: Arc<L>) -> (Pusher, PushThread<L>) {
    let (jobs, incoming) = bounded(WAITING_MAX);
    let thread = PushThread {
        jobs: incoming,
        lower,
    };
    (Pusher { jobs }, thread)
}

impl Pusher {
    /// Hands a job over; when too many wait its files stay to be asked for, and its answer goes
    /// out at once.
    pub(super) fn push(&self, job: Job) {
        if let Err(refused) = self.jobs.try_send(job) {
            let job = refused.into_inner();
            for (_, file) in &job.files {
                file.content.leave();
            }
            if let Some(reply) = job.then {
                reply.ok();
            }
        }
    }
}

impl<L: Lower> PushThread<L> {
    /// Starts to push; it ends with the file system that gives it jobs.
    pub(crate) fn start(self, name: &str, notifier: Notifier) -> Result<(), ProjectionError> {
        thread::Builder::new()
            .name(format!("push {name}"))
            .spawn(move || self.run(&notifier))
            .map(drop)
            .map_err(|source| ProjectionError::Session {
                name: name.to_owned(),
                source,
            })
    }

    fn run(self, notifier: &Notifier) {
        for job in self.jobs {
            for (number, file) in &job.files {
                if !file.content.take() {
                    continue;
                }
                let size = usize::try_from(file.node.attr.size).unwrap_or(usize::MAX);
                // A failure here is found again, and told, when the file itself is read.
                let Ok(bytes) = self.lower.read(&file.node, 0, size) else {
                    continue;
                };
                // A file of the host may have become shorter; the kernel must ask for it then.
                if bytes.len() != size || notifier.store(INodeNo(*number), 0, &bytes).is_err() {
                    continue;
                }
            }
            if let Some(reply) = job.then {
                reply.ok();
            }
        }
    }
}
