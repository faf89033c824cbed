//! Threads for work that blocks: bounded, panic-proof, joined at the end.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::lock;
use crate::panics::{self, Label};

/// Why a job has no result.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum JobError {
    /// The job panicked; the thread goes on with the next one.
    #[error("job panicked: {message}")]
    JobPanicked {
        /// The panic's message and place.
        message: String,
    },
    /// The pool is closed; the job did not run.
    #[error("pool {pool} is closed")]
    Closed {
        /// The name of the pool.
        pool: Arc<str>,
    },
}

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of named threads behind a bounded queue. Clones are the same pool.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    places: Arc<Semaphore>,
    queue: Mutex<Option<Sender<Job>>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    over: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Pool {
    /// Starts `threads` (at least 1) threads that share a queue of `queue_max` (at least 1) jobs.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn new(name: &str, threads: usize, queue_max: usize) -> io::Result<Self> {
        // A pool may be used without a runtime, and its panics are reported all the same.
        panics::install();
        let name: Arc<str> = name.into();
        let queue_max = queue_max.clamp(1, Semaphore::MAX_PERMITS);
        let (jobs, queue) = bounded(queue_max);
        let (held, over) = mpsc::channel(1);
        let workers = (0..threads.max(1))
            .map(|number| spawn_worker(&name, number, queue.clone(), held.clone()))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self(Arc::new(Shared {
            name,
            places: Arc::new(Semaphore::new(queue_max)),
            queue: Mutex::new(Some(jobs)),
            workers: Mutex::new(workers),
            over: Mutex::new(Some(over)),
        })))
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Runs `job` on a thread of the pool, waiting for a place in the queue first.
    ///
    /// When the returned future is dropped, a job that has not started is skipped; one that has
    /// started runs to its end.
    ///
    /// # Errors
    /// See [`JobError`].
    pub async fn run<T, F>(&self, job: F) -> Result<T, JobError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let closed = || JobError::Closed {
            pool: Arc::clone(&self.0.name),
        };
        let places = Arc::clone(&self.0.places);
        let place = places.acquire_owned().await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        let packed: Job = Box::new(move || {
            drop(place);
            if !reply.is_closed() {
                let result = catch_unwind(AssertUnwindSafe(job));
                let result = result.map_err(|payload| JobError::JobPanicked {
                    message: panics::describe(&*payload),
                });
                // The asker may have gone meanwhile: then nobody wants the result.
                let _ = reply.send(result);
            }
        });
        // A place in hand means room in the channel, so this never blocks.
        let queued = lock(&self.0.queue)
            .as_ref()
            .is_some_and(|queue| queue.send(packed).is_ok());
        if !queued {
            return Err(closed());
        }
        answer.await.map_err(|_| closed())?
    }

    /// Takes no further job, lets the queued ones finish until `deadline`, and joins the threads.
    ///
    /// Returns whether all ended; a thread that did not is left behind and reported.
    pub async fn close(&self, deadline: Instant) -> bool {
        self.0.places.close();
        lock(&self.0.queue).take();
        let over = lock(&self.0.over).take();
        if let Some(mut over) = over
            && timeout_at(deadline, over.recv()).await.is_err()
        {
            tracing::error!(
                pool = self.name(),
                "threads still busy at the deadline, left behind"
            );
            return false;
        }
        let workers = std::mem::take(&mut *lock(&self.0.workers));
        workers.into_iter().all(|worker| worker.join().is_ok())
    }
}

fn spawn_worker(
    pool: &Arc<str>,
    number: usize,
    queue: Receiver<Job>,
    held: mpsc::Sender<()>,
) -> io::Result<JoinHandle<()>> {
    let label = Arc::clone(pool);
    thread::Builder::new()
        .name(format!("{pool}-{number}"))
        .spawn(move || {
            let _held = held;
            let _label = Label::enter(&label);
            for job in queue {
                job();
            }
        })
}
