//! Gives the kernel the content of small files before it asks, one message instead of a request
//! and an answer each.
//!
//! This happens on a thread of its own, never on one that answers requests: the kernel may hold a
//! page of the file locked until a read of it is answered.

use std::ffi::OsStr;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use fuser::{INodeNo, Notifier, ReplyDirectoryPlus};

use super::inodes::{Inode, ROOT};
use crate::error::ProjectionError;
use crate::lower::Lower;

/// Largest file that is pushed, bytes.
pub(super) const FILE_MAX: u64 = 128 << 10;
/// Most files and bytes of one push.
pub(super) const FILES_MAX: usize = 64;
pub(super) const BYTES_MAX: u64 = 1 << 20;
/// Pushes that may wait; beyond, files are left to be asked for.
const WAITING_MAX: usize = 16;

/// What the kernel is told without having asked.
enum Job<L> {
    Push(Push<L>),
    /// A name below the root is not there any more.
    Gone(String),
}

/// Files to push, and an answer that may go out only after them.
pub(super) struct Push<L> {
    pub(super) files: Vec<Arc<Inode<L>>>,
    pub(super) then: Option<ReplyDirectoryPlus>,
}

/// Where jobs go.
#[derive(Debug)]
pub(super) struct Pusher<L> {
    jobs: Sender<Job<L>>,
}

impl<L> Clone for Pusher<L> {
    fn clone(&self) -> Self {
        let jobs = self.jobs.clone();
        Self { jobs }
    }
}

/// The other end, waiting for a session to push into.
#[derive(Debug)]
pub(crate) struct PushThread<L> {
    jobs: Receiver<Job<L>>,
}

/// Makes both ends.
pub(super) fn pair<L>() -> (Pusher<L>, PushThread<L>) {
    let (jobs, incoming) = bounded(WAITING_MAX);
    (Pusher { jobs }, PushThread { jobs: incoming })
}

impl<L> Pusher<L> {
    /// Hands files over; when too many wait they stay to be asked for, and their answer goes out at once.
    pub(super) fn push(&self, push: Push<L>) {
        if let Err(refused) = self.jobs.try_send(Job::Push(push))
            && let Job::Push(push) = refused.into_inner()
        {
            for file in &push.files {
                file.content.leave();
            }
            if let Some(reply) = push.then {
                reply.ok();
            }
        }
    }

    /// Has a name below the root forgotten, with all below it. Waits while too much else is to be told.
    pub(super) fn gone(&self, name: &str) {
        // Without a session nothing is remembered.
        let _ = self.jobs.send(Job::Gone(name.to_owned()));
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
            match job {
                Job::Push(push) => push.send(notifier),
                Job::Gone(name) => {
                    // The kernel may never have looked it up.
                    let _ = notifier.inval_entry(INodeNo(ROOT), OsStr::new(&name));
                }
            }
        }
    }
}

impl<L: Lower> Push<L> {
    fn send(self, notifier: &Notifier) {
        for file in &self.files {
            let Some(lower) = file.lower().filter(|_| file.content.take()) else {
                continue;
            };
            let size = usize::try_from(file.node.attr.size).unwrap_or(usize::MAX);
            // A failure here is found again, and told, when the file itself is read.
            let Ok(content) = lower.read(&file.node, 0, size) else {
                continue;
            };
            // A file of the host may have become shorter or another one; the kernel must ask for it then.
            if content.bytes.len() == size && !content.is_of_another {
                let _ = notifier.store(INodeNo(file.number), 0, &content.bytes);
            }
        }
        if let Some(reply) = self.then {
            reply.ok();
        }
    }
}
